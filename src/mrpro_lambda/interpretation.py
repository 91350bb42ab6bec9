r"""What each filter of a dictionary contributes to a reconstruction :math:`x = x_{low} + \sum_k d_k \star s_k`.

The image and the coefficients are those of a `~mrpro_lambda.solvers.Solution`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_axes, check_number, check_tensor, check_type
from mrpro_lambda.metrics import psnr
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import BandLimitOp, ConvolutionalDictionaryOp, gram_operator
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.regularizers import DictionarySparsity

Activity = Literal['energy', 'l1_norm']


class FilterStatistics(NamedTuple):
    r"""How much each filter is used: vectors of length `n_filters` in double precision, over all images of a batch."""

    energy: torch.Tensor
    r"""Energy :math:`\|d_k \star s_k\|_2^2` of the contribution. The contributions are not orthogonal: the sum is not
    the energy of :math:`D s`."""
    l1_norm: torch.Tensor
    r"""Norm :math:`\|s_k\|_1` of the coefficients, real and imaginary part apart, as they are penalized."""
    active: torch.Tensor
    """Fraction of the coefficients that are not zero."""


class PruningStep(NamedTuple):
    """What is left of the quality of a reconstruction with some of the filters."""

    keep: tuple[int, ...]
    """Filters that are kept, those of highest energy first."""
    psnr_left_out: torch.Tensor
    """PSNR in dB if the contributions of the other filters are left out of the image, shape `other`."""
    psnr_solved: torch.Tensor
    """PSNR in dB if the problem is solved with the smaller dictionary, shape `other`."""

    @property
    def n_filters(self) -> int:
        """Number of filters that are kept."""
        return len(self.keep)


@torch.no_grad()
def filter_contributions(
    regularizer: DictionarySparsity, coefficients: torch.Tensor, filters: Sequence[int] | None = None
) -> torch.Tensor:
    r"""Return the images :math:`d_k \star s_k` that the filters contribute.

    Over all filters their sum is :math:`D s = x - x_{low}`. Apart from the result, one image is in memory at a time.

    Parameters
    ----------
    regularizer
        Regularizer with the dictionary.
    coefficients
        Coefficients :math:`s`, shape `(n_filters, *image)`.
    filters
        Numbers of the filters, in this order. Default: all.

    Returns
    -------
        Contributions, shape `(len(filters), *image)`.

    Raises
    ------
    ValueError
        If the coefficients are not those of the dictionary, or if there are no such filters.
    """
    _check_coefficients(regularizer, coefficients)
    indices = list(range(regularizer.n_maps)) if filters is None else _checked(filters, regularizer.n_maps, 'filters')
    first = _contribution(regularizer, coefficients, indices[0])
    contributions = first.new_empty((len(indices), *first.shape))
    contributions[0] = first
    for i, k in enumerate(indices[1:], start=1):
        contributions[i] = _contribution(regularizer, coefficients, k)
    return contributions


@torch.no_grad()
def filter_statistics(regularizer: DictionarySparsity, coefficients: torch.Tensor) -> FilterStatistics:
    r"""Return how much each filter is used.

    The filters are treated one after another, so that only a few images are in memory.

    Parameters
    ----------
    regularizer
        Regularizer with the dictionary.
    coefficients
        Coefficients :math:`s`, shape `(n_filters, *image)`.

    Returns
    -------
        Energy :math:`\|d_k \star s_k\|_2^2`, norm :math:`\|s_k\|_1` and fraction of non-zero coefficients of each
        filter.

    Raises
    ------
    ValueError
        If the coefficients are not those of the dictionary.
    """
    _check_coefficients(regularizer, coefficients)
    rows = []
    for k, code in enumerate(coefficients):
        contribution = real_parts(_contribution(regularizer, coefficients, k))
        energy = contribution.double().square().sum()
        l1_norm = real_parts(code).abs().sum(dtype=torch.float64)
        rows.append(torch.stack((energy, l1_norm, code.count_nonzero().double() / code.numel())))
    return FilterStatistics(*torch.stack(rows).unbind(1))


def most_active(statistics: FilterStatistics, n: int, by: Activity = 'energy') -> list[int]:
    """Return the numbers of the filters that are used most, in descending order.

    Parameters
    ----------
    statistics
        Statistics, from `filter_statistics`.
    n
        Number of filters.
    by
        What counts. Filters that are equal in it keep their order.

    Raises
    ------
    ValueError
        If there are not as many filters, or if it is unknown what counts.
    """
    check_type('statistics', statistics, FilterStatistics)
    check_number('n', n, integer=True)
    if by not in get_args(Activity):
        raise ValueError(f'by must be one of {get_args(Activity)}, got {by!r}.')
    values: torch.Tensor = getattr(statistics, by)
    if not 0 <= n <= len(values):
        raise ValueError(f'n must be from 0 to the number of filters, {len(values)}, got {n}.')
    order: list[int] = values.argsort(descending=True, stable=True)[:n].tolist()
    return order


def prune(regularizer: DictionarySparsity, keep: Sequence[int]) -> DictionarySparsity:
    """Return the regularizer with some of its filters, the same boundary and the same smooth part.

    Parameters
    ----------
    regularizer
        Regularizer.
    keep
        Numbers of the filters to keep, in this order.

    Raises
    ------
    ValueError
        If no filter is kept, or if there are no such filters.
    """
    check_type('regularizer', regularizer, DictionarySparsity)
    indices = _checked(keep, regularizer.n_maps, 'keep')
    synthesis_op = regularizer.synthesis_op
    return DictionarySparsity(
        synthesis_op.filters[indices], boundary=synthesis_op.boundary, beta=regularizer.low_pass_op.beta
    )


@torch.no_grad()
def pruning_curve(
    model: LambdaMapModel,
    data: torch.Tensor,
    acquisition_op: LinearOperator,
    initial_image: torch.Tensor,
    target: torch.Tensor,
    *,
    noise_std: torch.Tensor | float | None = None,
    lambda_map: float | Sequence[float] | torch.Tensor | None = None,
    numbers: Sequence[int],
    mask: torch.Tensor | None = None,
) -> list[PruningStep]:
    r"""Return what the quality of a reconstruction loses with fewer filters.

    The problem is solved with all filters, which are put in the order of their energy :math:`\|d_k \star s_k\|_2^2`. Of
    the first :math:`n`, the set :math:`I`, there are two images: what they contribute to that solution,
    :math:`x_{low} + \sum_{k \in I} d_k \star s_k`; and the solution of the problem with these filters and their Lambda
    maps only, in which they take over from those that are missing.

    Each Lambda map stays that of the whole dictionary. Of a network that sees each filter by itself (V3) it does not
    depend on the others anyway.

    Parameters
    ----------
    model
        Model with a dictionary.
    data, acquisition_op, initial_image, noise_std, lambda_map
        As in `LambdaMapModel.forward`.
    target
        True image, shape `(*other, coils, z, y, x)`.
    numbers
        Numbers of filters to keep. That of all filters gives the reconstruction itself, 0 gives the smooth part.
    mask
        Where the quality is measured, see `~mrpro_lambda.metrics.psnr`.

    Returns
    -------
        Quality for each number, in the order of `numbers`.

    Raises
    ------
    ValueError
        If the model has no dictionary, if a number is more than there are filters, or if target or mask have not the
        shape of the image.
    """
    check_type('model', model, LambdaMapModel)
    check_type('acquisition_op', acquisition_op, LinearOperator)
    for name, value in (('data', data), ('initial_image', initial_image), ('target', target)):
        check_tensor(name, value)
    check_axes('numbers', numbers, negative=False)
    regularizer = model.solver.regularizer
    if not isinstance(regularizer, DictionarySparsity):
        raise ValueError(f'The model must have a dictionary, got {type(regularizer).__name__}.')
    n_filters = regularizer.n_maps
    if any(not 0 <= n <= n_filters for n in numbers):
        raise ValueError(f'numbers must be from 0 to the number of filters, {n_filters}, got {list(numbers)}.')
    for name, tensor in (('target', target), ('mask', mask)):
        if tensor is not None and tensor.shape != initial_image.shape:
            raise ValueError(
                f'{name} must have the shape of initial_image, got {tuple(tensor.shape)} and '
                f'{tuple(initial_image.shape)}.'
            )
    if lambda_map is None:
        lambda_map = model.estimate(initial_image, noise_std)
    lambda_map = regularizer.lambda_map(lambda_map, initial_image)
    solution = model.solve(data, acquisition_op, initial_image, lambda_map=lambda_map).solution
    if solution is None or solution.coefficients is None:
        raise ValueError(f'The solver must return coefficients, which {type(model.solver).__name__} does not.')
    order = most_active(filter_statistics(regularizer, solution.coefficients), n_filters)

    smooth, band_limit_op = regularizer.offset(initial_image), None
    if model.band_limit:
        band_limit_op = BandLimitOp.from_gram(gram_operator(acquisition_op), regularizer.dim)
    steps = []
    for n in numbers:
        left_out = solved = solution.img
        if n < n_filters:
            left_out = smooth
            if n:
                keep = sorted(order[:n])
                pruned = prune(regularizer, keep)
                left_out = smooth + pruned.synthesis_op(solution.coefficients[keep])[0]
                solver = copy.deepcopy(model.solver)  # with all settings, which each solver has its own of
                solver.regularizer = pruned
                smaller = LambdaMapModel(None, solver, band_limit=model.band_limit)
                solved = smaller.solve(data, acquisition_op, initial_image, lambda_map=lambda_map[keep]).img
            if band_limit_op is not None:
                (left_out,) = band_limit_op(left_out)
            if not n:  # without filters there is nothing to solve
                solved = left_out
        steps.append(PruningStep(tuple(order[:n]), psnr(left_out, target, mask), psnr(solved, target, mask)))
    return steps


def _contribution(regularizer: DictionarySparsity, coefficients: torch.Tensor, k: int) -> torch.Tensor:
    """Return what one filter contributes. Its own operator holds the transfer function of this filter only."""
    synthesis_op = regularizer.synthesis_op
    return ConvolutionalDictionaryOp(synthesis_op.filters[k : k + 1], synthesis_op.boundary)(coefficients[k : k + 1])[0]


def _check_coefficients(regularizer: DictionarySparsity, coefficients: torch.Tensor) -> None:
    """Check the shape of coefficients."""
    check_type('regularizer', regularizer, DictionarySparsity)
    check_tensor('coefficients', coefficients)
    if coefficients.ndim <= len(regularizer.dim) or len(coefficients) != regularizer.n_maps:
        raise ValueError(
            f'coefficients must have shape (n_filters, *image) with n_filters={regularizer.n_maps}, got shape '
            f'{tuple(coefficients.shape)}.'
        )


def _checked(indices: Sequence[int], n_filters: int, name: str) -> list[int]:
    """Check numbers of filters."""
    check_axes(name, indices, negative=False)
    if not indices or len(set(indices)) != len(indices) or any(not 0 <= k < n_filters for k in indices):
        raise ValueError(
            f'{name} must be numbers of filters from 0 to {n_filters - 1}, at least one and each once, got '
            f'{list(indices)}.'
        )
    return list(indices)
