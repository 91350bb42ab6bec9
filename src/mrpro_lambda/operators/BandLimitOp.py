"""Projection of an image to the measured band of k-space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp


class BandLimitOp(LinearOperator):
    r"""Projection :math:`P = F^{-1} B F` to the smallest symmetric box of k-space that holds all samples.

    Where an acquisition measures a central region only, a total variation minimizer fills the unmeasured frequencies
    with those of a piecewise constant image, which are wrong. Removing them costs one pair of FFTs. The box is
    symmetric, so that the half of k-space that partial Fourier acquisitions leave out is kept. Where the samples reach
    the edges of k-space, nothing changes, and so it is where fewer points are left to an edge than the largest gap
    between samples has: of regular lines, those beyond the last one are a gap as the others are.
    """

    def __init__(self, band: torch.Tensor, dim: Sequence[int]) -> None:
        """Initialize the projection.

        Parameters
        ----------
        band
            Transfer function of zeros and ones in the order of `torch.fft.fftn`, broadcastable to the image.
        dim
            Negative axes of the Fourier transform.
        """
        super().__init__()
        self.band = band
        self.dim = tuple(dim)

    @classmethod
    def from_gram(cls, gram: LinearOperator, joint_dim: Sequence[int] = ()) -> Self | None:
        """Create the projection from the Gram operator of an acquisition.

        Parameters
        ----------
        gram
            Gram operator, from `gram_operator`.
        joint_dim
            Negative axes along which the band is the union of the bands of all entries, for example the time axis of
            an acquisition that samples each frame differently.

        Returns
        -------
            Projection, or `None` where the whole k-space grid is in the band or the acquisition is not Cartesian.
        """
        if not isinstance(gram, CirculantGramOp) or not gram.dim:
            return None
        sampled = gram.transfer > 0
        ndim = sampled.ndim
        for d in joint_dim:
            if d not in gram.dim and -d <= ndim:
                sampled = sampled.any(dim=d, keepdim=True)
        if ndim > 3:
            sampled = sampled.any(dim=-4, keepdim=True)  # coils share one image
        band = torch.ones(1, dtype=torch.bool, device=sampled.device)
        sizes = {} if gram.pad_op is None else dict(zip(gram.pad_op.dim, gram.pad_op.original_shape, strict=True))
        for d in gram.dim:
            others = tuple(o for o in gram.dim if o != d)
            occupied = sampled.any(dim=others, keepdim=True) if others else sampled
            n = sampled.shape[d]
            frequency = _frequency(n, d, sampled.device)
            limit = torch.where(occupied, frequency, 0).amax(dim=d, keepdim=True)
            left = (n * (frequency.amax() - limit)).round()
            limit = torch.where(left < _largest_step(occupied, d), limit.new_tensor(0.5), limit)  # up to the edges
            # in cycles per pixel, which image and encoded k-space have in common where their fields of view differ
            band = band & (_frequency(sizes.get(d, n), d, sampled.device) <= limit + 1e-6)
        return None if bool(band.all()) else cls(band.float(), gram.dim)

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Project an image to the band."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Project an image to the band. Prefer calling the instance."""
        y = torch.fft.ifftn(torch.fft.fftn(x, dim=self.dim) * self.band, dim=self.dim)
        return (y if x.is_complex() else y.real,)

    def adjoint(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Apply the projection itself, which is self-adjoint."""
        return self.forward(x)


def _frequency(n: int, dim: int, device: torch.device) -> torch.Tensor:
    """Return the moduli of the frequencies of an FFT in cycles per pixel, along a negative axis."""
    return torch.fft.fftfreq(n, device=device).abs().reshape(n, *(1,) * (-dim - 1))


def _largest_step(occupied: torch.Tensor, dim: int) -> torch.Tensor:
    """Return the largest distance between neighbors of those frequencies of an FFT that are sampled, at least 1."""
    occupied = torch.fft.fftshift(occupied, dim=dim).movedim(dim, -1)
    index = torch.arange(occupied.shape[-1], device=occupied.device)
    last = torch.where(occupied, index, -1).cummax(-1).values
    last = torch.cat((torch.full_like(last[..., :1], -1), last[..., :-1]), -1)
    step = torch.where(occupied & (last >= 0), index - last, 1)
    return step.amax(-1, keepdim=True).movedim(-1, dim)
