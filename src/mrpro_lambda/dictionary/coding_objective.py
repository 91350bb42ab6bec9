"""How well a dictionary codes images."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mrpro_lambda.dictionary.sparse_codes import check_coding, check_images, high_pass, objective_values, sparse_codes


def coding_objective(
    filters: torch.Tensor,
    images: Sequence[torch.Tensor],
    sparsity: float,
    beta: float = 4.0,
    *,
    n_iterations: int = 300,
) -> float:
    r"""Return the mean over images of the minimum that `learn_dictionary` minimizes over the filters.

    Of two dictionaries of the same size, the one with the lower value is the better model of the images.

    Parameters
    ----------
    filters
        Filters of unit norm, shape `(n_filters, ky, kx)`.
    images
        Real images, each of shape `(y, x)`, scaled to a maximum of 1. Best others than those learned from.
    sparsity
        Weight of the sparsity.
    beta
        Strength of the low-pass filter.
    n_iterations
        Iterations of the sparse coding, with a circular boundary.

    Returns
    -------
        Mean of the objective.
    """
    check_images(images)
    check_coding(filters, sparsity, n_iterations)
    values = []
    for image in high_pass(images, beta):
        x = image[None].to(filters)
        codes = sparse_codes(filters, x, sparsity, n_iterations)
        values.append(objective_values(filters, x, codes, sparsity).item())
    return sum(values) / len(values)
