"""Image with what led to it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mrpro.data import IData, KHeader

from mrpro_lambda.operators import ConvolutionalDictionaryOp
from mrpro_lambda.solvers import Solution
from mrpro_lambda.summary import summary_html


class Reconstructed(NamedTuple):
    """Image with what led to it."""

    idata: IData
    """Image."""
    initial_idata: IData
    """Zero-filled image, which the network saw."""
    img: torch.Tensor
    """Image, shape `(*other, coils, z, y, x)`."""
    lambda_map: torch.Tensor | None
    """Lambda map, shape `(n_maps, *image)`; `None` for models without."""
    noise_std: float
    """Standard deviation of the complex noise of a k-space sample, in the units of the image."""
    solution: Solution | None
    """Result of the solver, with its certificate; `None` for models without, of whose image nothing is proven."""
    dictionary_op: ConvolutionalDictionaryOp | None
    """Dictionary, if the method has one."""
    notes: list[str]
    """What to know about the result: the text of each warning."""
    report: dict[str, Any]
    """What was chosen for the data and found in them, and the certificate or `None`, in types that JSON knows."""
    residual: torch.Tensor | None = None
    """Residual in units of the noise, see `~mrpro_lambda.reconstruction.residual_image`, of the shape of the image."""
    kheader: KHeader | None = None
    """Header of the raw data."""

    def __repr__(self) -> str:
        """Return a line without the values of the tensors."""
        return (
            f'Reconstructed(model={self.report["model"]!r}, noise_std={self.noise_std:.4g}, solution={self.solution})'
        )

    def _repr_html_(self) -> str:
        """Return the middle slice beside the summary, for notebooks."""
        resolution = self.idata.header.resolution
        aspect = float(resolution.y) / float(resolution.x)
        return summary_html(self.img, self.report | {'notes': self.notes}, aspect=aspect)
