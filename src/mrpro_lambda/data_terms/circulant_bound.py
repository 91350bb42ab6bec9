"""Circulant upper bound of a Gram operator."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.data_terms.gram_norm import gram_norm
from mrpro_lambda.operators.acquisition_factors import without_sensitivities
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.operators.largest_of_images import largest_of_images
from mrpro_lambda.operators.RayTransformOp import RayTransformOp

_FLOOR = 0.01
"""Density of the weakly sampled frequencies, relative to the largest one, in the bound.

With a tenth, 48 spokes of 16 coils and 96 x 96 voxels took more than 600, more than 600 and 309 iterations to a gap of
1e-2 at weights of 0.05, 0.4 and 2 times the noise, with a hundredth and a penalty of the same size 600, 372 and 100.
"""

_COMPENSATED = 0.1
"""The same in the compensation, which amplifies noise and decides about the penalty."""

_RAY_STEPS, _RAY_MARGIN = 40, 0.1
"""Steps of the method of Lanczos for a ray transform, and by how much the largest eigenvalue may be above its value."""
_RAY_BOUNDS: WeakKeyDictionary[RayTransformOp, dict[tuple, CirculantBound]] = WeakKeyDictionary()
"""Those of operators that are there: data terms come and go with the counts."""


class CirculantBound(NamedTuple):
    r"""A circulant operator :math:`C \ge A^H A`."""

    density: torch.Tensor
    """Sampling density (float64) in the order of `torch.fft.fftn`, broadcastable to the image, to compensate for."""
    transfer: torch.Tensor
    """Transfer function of the bound (float64)."""
    dim: tuple[int, ...]
    """Axes along which the density varies."""
    exact: bool
    r"""Whether :math:`C = A^H A`."""

    def compensate(self, img: torch.Tensor) -> torch.Tensor:
        """Divide the spectrum of an adjoint image by the density, where there is any."""
        if bool(((self.density == 0) | (self.density == 1)).all()):
            return img  # there is nothing at frequencies without samples
        inverse = torch.where(self.density > 0, 1 / self.density, 0).to(img.dtype.to_real())
        if not self.dim:
            return img * inverse
        compensated = torch.fft.ifftn(torch.fft.fftn(img, dim=self.dim) * inverse, dim=self.dim)
        return compensated if img.is_complex() else compensated.real


def circulant_bound(
    acquisition_op: LinearOperator, gram: LinearOperator, img: torch.Tensor, coupled_dim: tuple[int, ...]
) -> CirculantBound:
    r"""Find a circulant upper bound of the Gram operator of an acquisition.

    For a single-coil Cartesian acquisition it is the Gram operator itself, unless the regularizer couples images that
    are sampled differently. With coil sensitivities it is a multiple of the identity. For non-Cartesian acquisitions it
    is the circulant operator next to the Toeplitz operator :math:`F^H F` [CHA1988]_, the sampling density, times the
    smallest factor that makes it a bound, estimated by the method of Lanczos. Images that the regularizer does not
    couple have bounds of their own.

    For a ray transform it is that of the responses to an impulse in the middle, of lags up to half an image [STR1986]_,
    with 1 % of its largest value more at all frequencies. Its factor follows from 40 steps of the method of Lanczos
    from a random start and is an upper bound but for a probability of :math:`1.65 \sqrt{n} e^{-25}` with :math:`n`
    pixels [KUC1992]_, 1e-8 for 362 x 362.

    Parameters
    ----------
    acquisition_op, gram
        Acquisition operator and its Gram operator.
    img
        An image of the shape, precision and device that the operators are for.
    coupled_dim
        Negative axes that the regularizer couples.

    References
    ----------
    .. [CHA1988] Chan T (1988) An optimal circulant preconditioner for Toeplitz systems. SIAM J Sci Stat Comput 9(4)
       https://doi.org/10.1137/0909051
    .. [KUC1992] Kuczyński J, Woźniakowski H (1992) Estimating the largest eigenvalue by the power and Lanczos
       algorithms with a random start. SIAM J Matrix Anal Appl 13(4) https://doi.org/10.1137/0613066
    .. [STR1986] Strang G (1986) A proposal for Toeplitz matrix calculations. Stud Appl Math 74(2)
       https://doi.org/10.1002/sapm1986742171
    """
    if isinstance(acquisition_op, RayTransformOp):
        return _ray_bound(acquisition_op, gram, img)
    if isinstance(gram, CirculantGramOp):
        if not gram.circulant:
            return _multiple_of_identity(gram, img, coupled_dim)
        transfer, coupled = _union(gram.transfer.to(torch.float64), gram.dim, coupled_dim)
        return CirculantBound(transfer, transfer, gram.dim, not coupled)
    non_cartesian = without_sensitivities(acquisition_op)
    if non_cartesian is None:
        return _multiple_of_identity(gram, img, coupled_dim)
    fourier_op, axes = non_cartesian
    density, _ = _union(_sampling_density(gram_operator(fourier_op), img, axes), axes, coupled_dim)
    size = largest_of_images(density)
    base = density + _FLOOR * size
    transfer = gram_norm(gram, img, base, axes, coupled_dim=coupled_dim) * base
    return CirculantBound(density + _COMPENSATED * size, transfer, axes, False)


def _ray_bound(acquisition_op: RayTransformOp, gram: LinearOperator, img: torch.Tensor) -> CirculantBound:
    """Find the bound of a ray transform once."""
    bounds = _RAY_BOUNDS.setdefault(acquisition_op, {})
    key = (img.ndim, img.dtype, img.device)
    if key not in bounds:
        shape = acquisition_op.image_shape
        middle = [n // 2 for n in shape]
        impulse = img.new_zeros((*(1,) * (img.ndim - 2), *shape))
        impulse[..., middle[0], middle[1]] = 1
        kernel = gram(impulse)[0].roll([-n for n in middle], (-2, -1))
        density = torch.fft.fft2(kernel.to(torch.complex128)).real.clamp_min(0)
        density = density + 0.01 * density.amax()
        margin = 1 / (1 - _RAY_MARGIN)
        factor = gram_norm(gram, impulse, density, (-2, -1), n_iterations=_RAY_STEPS, margin=margin)
        bounds[key] = CirculantBound(density, factor * density, (-2, -1), False)
    return bounds[key]


def _multiple_of_identity(gram: LinearOperator, img: torch.Tensor, coupled_dim: tuple[int, ...]) -> CirculantBound:
    """Take the norm of the Gram operator for all frequencies."""
    norm = gram_norm(gram, img, coupled_dim=coupled_dim)
    return CirculantBound(norm, norm, (), False)


def _union(transfer: torch.Tensor, axes: tuple[int, ...], coupled_dim: tuple[int, ...]) -> tuple[torch.Tensor, bool]:
    """Take the maximum over images that the regularizer couples; tell whether they differed."""
    coupled = tuple(d for d in coupled_dim if d not in axes and -d <= transfer.ndim and transfer.shape[d] > 1)
    return (transfer.amax(dim=coupled, keepdim=True) if coupled else transfer), bool(coupled)


def _sampling_density(gram: LinearOperator, img: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    r"""Return the transfer function of the circulant operator that is closest to a Toeplitz operator.

    With the responses :math:`t` of the Toeplitz operator, the circulant one has
    :math:`c_k = (1 - k/n)\, t_k + (k/n)\, t_{k-n}` along each axis of size :math:`n`. The responses at lags of all
    signs are those to impulses in the corners of the image.
    """
    kernel = torch.zeros_like(img)
    shape = img.shape
    for corner in product((0, -1), repeat=len(axes)):
        impulse = torch.zeros_like(img)
        index: list[slice | int] = [slice(None)] * img.ndim
        for axis, position in zip(axes, corner, strict=True):
            index[axis] = position
        impulse[tuple(index)] = 1
        (response,) = gram(impulse)
        for axis, position in zip(axes, corner, strict=True):
            n = shape[axis]
            lag = torch.arange(n, device=img.device)
            # an impulse at the end shows lags from 1 - n to 0, which wrap around to 1 ... n
            weight = 1 - lag / n if position == 0 else (lag + 1) / n * (lag + 1 < n)
            response = response * weight.reshape(n, *(1,) * (-axis - 1))
            response = response if position == 0 else response.roll(1, axis)
        kernel += response
    density: torch.Tensor = torch.fft.fftn(kernel.to(torch.complex128), dim=axes).real
    return density.clamp_min(0)
