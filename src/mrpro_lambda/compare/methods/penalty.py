"""Regularizers by their names in configurations, each with a solver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.regularizers import (
    DictionarySparsity,
    Regularizer,
    Sparsity,
    Tikhonov,
    TotalGeneralizedVariation,
    TotalVariation,
    WaveletSparsity,
)
from mrpro_lambda.solvers import ADMM, ConjugateGradient, Solver

Penalty = Literal['tv', 'isotropic-tv', 'tgv', 'wavelets', 'l1', 'fused-lasso', 'tikhonov', 'smoothness', 'cdl']
"""Names of regularizers of images in the plane."""

_DIM = (-2, -1)
_PENALTIES: dict[str, Callable[[], Regularizer]] = {
    'tv': lambda: TotalVariation(_DIM),
    'isotropic-tv': lambda: TotalVariation(_DIM, isotropic=True, complex_modulus=True),
    'tgv': lambda: TotalGeneralizedVariation(_DIM),
    'wavelets': lambda: WaveletSparsity(_DIM, undecimated=True, complex_modulus=True),
    'l1': Sparsity,
    'fused-lasso': lambda: TotalVariation(_DIM) + Sparsity(),
    'tikhonov': Tikhonov,
    'smoothness': lambda: Tikhonov(_DIM),
}
_BAND_LIMITED = ('tv', 'isotropic-tv', 'tgv', 'l1', 'fused-lasso')
"""Those that are limited to the measured band, as in the recipes: beyond it there would be staircases and spikes."""
_PENALTY_FACTOR = {'cdl': 0.18, 'tgv': 0.4}
"""Penalty of ADMM where a certificate is looked for, as in the recipes."""


def regularizer_of(name: Penalty, filters: torch.Tensor | None = None, beta: float = 4.0) -> Regularizer:
    """Return a regularizer by its name.

    Parameters
    ----------
    name
        Name.
    filters
        Filters for `'cdl'`.
    beta
        Strength of its low-pass filter.

    Raises
    ------
    ValueError
        If there are no filters for `'cdl'`, or filters for another.
    """
    if (name == 'cdl') != (filters is not None):
        raise ValueError(f"A dictionary belongs to regularizer = 'cdl', and only to it, got {name!r}.")
    return _PENALTIES[name]() if filters is None else DictionarySparsity(filters, beta=beta)


def solver_of(
    name: Penalty,
    regularizer: Regularizer,
    *,
    n_iterations: int | None = None,
    tolerance: float | None = None,
    max_iterations: int | None = None,
) -> Solver:
    """Return a solver, of a number of iterations or to a tolerance.

    Parameters
    ----------
    name
        Name of the regularizer.
    regularizer
        Regularizer.
    n_iterations
        Number of iterations.
    tolerance, max_iterations
        Certified gap to solve to, and the largest number of iterations, without `n_iterations`.
    """
    if name in ('tikhonov', 'smoothness'):
        return ConjugateGradient(
            regularizer, n_iterations=n_iterations, tolerance=tolerance, max_iterations=max_iterations
        )
    if n_iterations is not None:
        return ADMM(regularizer, n_iterations=n_iterations, penalty_factor=0.5)
    factor = _PENALTY_FACTOR.get(name, 1.0)
    return ADMM(regularizer, tolerance=tolerance, max_iterations=max_iterations, penalty_factor=factor)


def limits_band(name: Penalty) -> bool:
    """Tell whether images are limited to the measured band.

    Parameters
    ----------
    name
        Name of the regularizer.
    """
    return name in _BAND_LIMITED


def filters_of(dictionary: str | Path | None) -> torch.Tensor | None:
    """Load the filters of a dictionary, if one is named.

    Parameters
    ----------
    dictionary
        Name or file.
    """
    return None if dictionary is None else load_dictionary(dictionary).filters
