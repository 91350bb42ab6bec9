"""Steps towards the data of one coil after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.models.data_consistency.DataConsistency import DataConsistency
from mrpro_lambda.models.data_consistency.Measured import Measured


class Kaczmarz(DataConsistency):
    r"""Sweeps over the coils, :math:`x \leftarrow x - \omega A_c^H (A_c x - y_c) / \|A_c\|^2` [KAC1937]_ [ELF1980]_.

    The rows of a block, the samples of one coil, are nearly orthogonal, which is what a step for all of them at once
    needs; for data that some image explains, the distance to it never increases. With one coil on a Cartesian grid it
    is the orthogonal projection to the images with the data.

    References
    ----------
    .. [KAC1937] Kaczmarz S (1937) Angenaeherte Aufloesung von Systemen linearer Gleichungen. Bull Int Acad Pol Sci Lett
       A 35
    .. [ELF1980] Elfving T (1980) Block-iterative methods for consistent and inconsistent linear equations. Numer Math
       35(1) https://doi.org/10.1007/BF01396365
    """

    def __init__(self, step: float = 1.0, *, n_sweeps: int = 1) -> None:
        r"""Initialize the step.

        Parameters
        ----------
        step
            Relative step size :math:`\omega`, above 0 and below 2.
        n_sweeps
            Number of sweeps over the coils.
        """
        super().__init__()
        check_number('n_sweeps', n_sweeps, 1, integer=True)
        check_number('step', step, 0, 2)
        if not 0 < step < 2:
            raise ValueError(f'step must be above 0 and below 2, got {step!r}.')
        self.n_sweeps = n_sweeps
        self.step = step

    @classmethod
    def examples(cls) -> Mapping[str, Self]:
        """Return one sweep, and two."""
        return {'Kaczmarz': cls(), 'Kaczmarz, two sweeps': cls(0.5, n_sweeps=2)}

    def forward(self, img: torch.Tensor, measured: Measured) -> torch.Tensor:
        """Sweep over the coils, see `DataConsistency.forward`."""
        for _ in range(self.n_sweeps):
            for coil in measured.coils:
                norm = coil.norm(img)  # zero for coils that fill up a batch
                img = img - self.step * coil.gradient(img) / torch.where(norm > 0, norm, 1)
        return img
