"""Image with what led to it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mrpro.data import IData

from mrpro_lambda.operators import ConvolutionalDictionaryOp
from mrpro_lambda.solvers import Solution


class Reconstructed(NamedTuple):
    """Image with what led to it."""

    idata: IData
    """Image."""
    initial_idata: IData
    """Zero-filled image, which the network saw."""
    lambda_map: torch.Tensor
    """Lambda map, shape `(n_maps, *image)`."""
    noise_std: float
    """Standard deviation of the complex noise of a k-space sample, in the units of the image."""
    solution: Solution
    """Result of the solver, with its certificate."""
    dictionary_op: ConvolutionalDictionaryOp | None
    """Dictionary, if the method has one."""
    notes: list[str]
    """What to know about the result: the text of each warning."""
    report: dict[str, Any]
    """What was chosen for the data and found in them, and the certificate, in types that JSON knows."""
