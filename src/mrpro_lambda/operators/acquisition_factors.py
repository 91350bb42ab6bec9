"""The factors of an acquisition operator. No other file uses private names of mrpro."""

from __future__ import annotations

from math import prod

import torch
from mrpro.operators import (
    CartesianSamplingOp,
    FastFourierOp,
    FourierOp,
    IdentityOp,
    LinearOperator,
    NonUniformFastFourierOp,
    SensitivityOp,
    ZeroPadOp,
)
from mrpro.operators.FourierOp import FourierGramOp
from mrpro.operators.LinearOperator import (
    LinearOperatorComposition,
    LinearOperatorElementwiseProductLeft,
    LinearOperatorElementwiseProductRight,
)
from mrpro.operators.NonUniformFastFourierOp import NonUniformFastFourierOpGramOp

from mrpro_lambda.operators.CartesianAcquisitionOp import CartesianAcquisitionOp
from mrpro_lambda.operators.ModulationOp import ModulationOp

Factor = LinearOperator | torch.Tensor
"""An operator, or numbers that its argument is multiplied with."""


class RepeatedSamplingOp(LinearOperator):
    """Cartesian sampling with an adjoint that adds up the samples of the same point of k-space.

    That of mrpro 0.261015 keeps one of them: with a central line that was acquired three times, the two sides of
    :math:`<Ax, y> = <x, A^H y>` differed by 20 %.
    """

    def __init__(self, sampling_op: CartesianSamplingOp) -> None:
        """Initialize the sampling from that of mrpro."""
        super().__init__()
        self.sampling_op = sampling_op

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Select the samples, shape `(*other, coils, k2, k1, k0)`, from the full k-space grid."""
        return super().__call__(x)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor,]:
        """Select the samples. Prefer calling the instance."""
        return self.sampling_op(x)

    def adjoint(self, y: torch.Tensor) -> tuple[torch.Tensor,]:
        """Add the samples to the full k-space grid."""
        op = self.sampling_op
        if not op._needs_indexing:
            return (y,)
        samples, inside, index = y.flatten(-3), op._inside_encoding_matrix_idx, op._fft_idx
        if inside is not None:
            samples = samples.take_along_dim(inside[(None,) * (samples.ndim - inside.ndim)], -1)
        leading = torch.broadcast_shapes(samples.shape[:-1], index.shape[:-1])
        shape = op._sorted_grid_shape.zyx
        grid = samples.new_zeros(*leading, prod(shape))
        grid = grid.scatter_add(-1, index.expand(*leading, -1), samples.expand(*leading, -1))
        return (grid.unflatten(-1, shape),)

    def density(self, weight: torch.Tensor) -> torch.Tensor:
        """Add weights of the samples, broadcastable to the data, to the grid: all 1, it is the number of samples."""
        op = self.sampling_op
        if not op._needs_indexing:
            return weight
        weight = weight.to(op._fft_idx.device)
        weight = weight[(None,) * (op._fft_idx.ndim + 2 - weight.ndim)]
        return self.adjoint(weight.expand(*weight.shape[:-3], *op._trajectory_shape[-3:]))[0]

    def multiplicity(self) -> torch.Tensor:
        """Count how often the point of each sample was sampled, broadcastable to the data."""
        if not self.sampling_op._needs_indexing:
            return torch.ones(())
        count = self.density(torch.ones(()))
        return self(count.expand(*count.shape[:-3], *self.sampling_op._sorted_grid_shape.zyx))[0].clamp_min(1)


def acquisition_factors(op: LinearOperator) -> list[Factor]:
    r"""Return the factors of an acquisition operator, the outermost first.

    That of a Cartesian acquisition, :math:`A = W M F S`, are weights of the samples, `RepeatedSamplingOp` or
    `~mrpro.operators.CartesianMaskingOp`, `~mrpro.operators.FastFourierOp` and `~mrpro.operators.SensitivityOp`,
    however the operator is nested. Identities are left out. An operator that is not known is a factor of its own.

    Parameters
    ----------
    op
        Acquisition operator.
    """
    match op:
        case IdentityOp():
            return []
        case LinearOperatorComposition():
            return acquisition_factors(op._operator1) + acquisition_factors(op._operator2)
        case LinearOperatorElementwiseProductRight():
            return [_as_tensor(op._scalar), *acquisition_factors(op._operator)]
        case LinearOperatorElementwiseProductLeft():
            return [*acquisition_factors(op._operator), _as_tensor(op._scalar)]
        case CartesianAcquisitionOp():
            return [op.mask, op.fourier_op, *([] if op.csm is None else [SensitivityOp(op.csm)])]
        case CartesianSamplingOp():
            return [RepeatedSamplingOp(op)]
        case FourierOp():
            parts: list[Factor] = [RepeatedSamplingOp(op._cart_sampling_op)] if op._cart_sampling_op else []
            parts += [op._fast_fourier_op] if op._fast_fourier_op else []
            nufft_op = op._non_uniform_fast_fourier_op
            # together, mrpro has a faster Gram operator for them
            return [op] if nufft_op and not _has_repeats(op) else [*parts, nufft_op] if nufft_op else parts
    return [op]


def with_true_adjoint(op: LinearOperator) -> LinearOperator:
    """Return an acquisition operator whose adjoint adds up repeated Cartesian samples, see `RepeatedSamplingOp`.

    Parameters
    ----------
    op
        Acquisition operator.

    Returns
    -------
        The operator itself where no sample is repeated.

    Raises
    ------
    ValueError
        If repeated samples are in an operator that can not be taken apart, for example a sum.
    """
    if not _has_repeats(op):
        return op
    factors = acquisition_factors(op)
    for factor in factors:
        if isinstance(factor, LinearOperator) and not isinstance(factor, RepeatedSamplingOp) and _has_repeats(factor):
            raise ValueError(
                'Repeated Cartesian samples must add up in the adjoint of an acquisition operator, but that of mrpro '
                f'keeps one of them, and {type(factor).__name__} can not be taken apart to correct it: use a '
                'composition of FourierOp, SensitivityOp and weights, or average the repeated samples.'
            )
    return _product(factors)


def sample_multiplicity(op: LinearOperator) -> torch.Tensor | None:
    """Count how often the point of each sample of a Cartesian acquisition was sampled.

    Parameters
    ----------
    op
        Acquisition operator.

    Returns
    -------
        Counts, broadcastable to the data; `None` if no sample is repeated.
    """
    counts = (factor.multiplicity() for factor in acquisition_factors(op) if isinstance(factor, RepeatedSamplingOp))
    return next((count for count in counts if bool((count > 1).any())), None)


def without_sensitivities(op: LinearOperator) -> tuple[LinearOperator, tuple[int, ...]] | None:
    """Take the coil sensitivities from a non-Cartesian acquisition, with weights of the samples or without.

    Returns
    -------
        Operator, and the axes of its Fourier transform; `None` for any other acquisition.
    """
    factors = acquisition_factors(op)
    while factors and isinstance(factors[-1], SensitivityOp | ModulationOp):
        factors.pop()
    if not factors:
        return None
    *weights, fourier_op = factors
    if any(not isinstance(weight, torch.Tensor) or weight.shape[-4:-3] not in ((), (1,)) for weight in weights):
        return None
    if isinstance(fourier_op, FourierOp):
        dim = (*fourier_op._nufft_dims, *fourier_op._fft_dims)
    elif isinstance(fourier_op, NonUniformFastFourierOp):
        dim = fourier_op._direction_zyx
    else:
        return None
    return _product([*weights, fourier_op]), tuple(sorted(dim))


def without_coil_maps(op: LinearOperator) -> LinearOperator:
    """Return an acquisition without what the image is multiplied with first, where the operator tells it."""
    factors = acquisition_factors(op)
    while len(factors) > 1 and isinstance(factors[-1], SensitivityOp | ModulationOp):
        factors.pop()
    return _product(factors) if factors else op


def split_coil_maps(op: LinearOperator) -> tuple[LinearOperator, torch.Tensor | None]:
    """Split an acquisition into that of coil images and what the image is multiplied with to obtain them.

    Returns
    -------
        Acquisition of coil images, and coil sensitivities of shape `(*other, coils, z, y, x)`; `None` if the operator
        has none.
    """
    csm: torch.Tensor | None = None
    for factor in acquisition_factors(op)[::-1]:
        if isinstance(factor, SensitivityOp | ModulationOp):
            maps = factor.csm_tensor if isinstance(factor, SensitivityOp) else factor.modulation
            csm = maps if csm is None else csm * maps
        else:
            break
    return without_coil_maps(op), csm


def fourier_axes(op: FastFourierOp) -> tuple[int, ...]:
    """Return the axes of an FFT."""
    return op._dim


def zero_padding(op: FastFourierOp) -> ZeroPadOp | None:
    """Return the zero-padding between image and encoded field of view of an FFT, if there is any."""
    return None if tuple(op._pad_op.original_shape) == tuple(op._pad_op.padded_shape) else op._pad_op


def toeplitz_kernel(op: LinearOperator) -> tuple[torch.Tensor, tuple[int, ...]] | None:
    r"""Return the kernel of the convolution that is :math:`F^H F`, and its axes, if there is no other transform."""
    gram: LinearOperator | None = op.gram
    if isinstance(gram, FourierGramOp) and gram.fast_fourier_gram is None:
        gram = gram.nufft_gram
    if not isinstance(gram, NonUniformFastFourierOpGramOp) or gram._kernel is None or gram._kernel.is_complex():
        return None
    return gram._kernel, tuple(gram._dim)


def has_odd_nufft(op: LinearOperator) -> bool:
    """Tell whether a non-Cartesian axis of the image has an odd size."""
    nufft_op = op._non_uniform_fast_fourier_op if isinstance(op, FourierOp) else op
    return isinstance(nufft_op, NonUniformFastFourierOp) and any(n % 2 for n in nufft_op._im_size)


def _product(factors: list[Factor]) -> LinearOperator:
    """Compose factors, the outermost first."""
    op: LinearOperator = IdentityOp()
    for factor in reversed(factors):
        op = factor @ op if isinstance(factor, LinearOperator) else factor * op
    return op


def _as_tensor(scalar: torch.Tensor | complex) -> torch.Tensor:
    """Convert a number to a tensor that does not change the precision of what it is multiplied with."""
    if isinstance(scalar, torch.Tensor):
        return scalar
    return torch.tensor(scalar, dtype=torch.complex128 if isinstance(scalar, complex) else torch.float64)


def _has_repeats(op: LinearOperator) -> bool:
    """Tell whether any sampling within an operator that is not a `RepeatedSamplingOp` has repeated samples."""
    modules = list(op.modules())
    corrected = [module.sampling_op for module in modules if isinstance(module, RepeatedSamplingOp)]
    return any(
        isinstance(module, CartesianSamplingOp)
        and not any(module is sampling_op for sampling_op in corrected)
        and bool((RepeatedSamplingOp(module).density(torch.ones(())) > 1).any())
        for module in modules
    )
