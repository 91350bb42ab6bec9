"""Noise of fully sampled k-space of several coils, also without air in the image."""

from __future__ import annotations

import torch

_N_COLUMNS = 144
"""Largest number of samples of a patch, over all coils."""

_N_COILS = 16
"""Largest number of coils that are looked at together."""

_FRACTIONS = (8, 4)
"""Parts of the eigenvalues that are noise: the smallest eighth, and the smallest quarter for comparison."""

_N_DRAWS = 3
"""How often noise is added."""

_N_ROWS = 4096
"""Largest number of patches of an image."""


def calibration_variance(box: torch.Tensor) -> tuple[float, float] | None:
    r"""Estimate the variance of complex white noise in a fully sampled box of k-space.

    The patches of :math:`w \times w` samples of all coils, the rows of the calibration matrix of ESPIRiT [UEC2014]_,
    span a space of lower dimension than they have samples: the coils are smooth functions of one image. In the other
    directions there is noise only. The smallest eigenvalues of their covariance are smaller than its variance, because
    they are the smallest, by a factor that depends on the numbers of patches and samples. It is measured: noise of a
    known variance is added, and the estimate is the mean eigenvalue divided by what it rose per added variance.

    Parameters
    ----------
    box
        Samples, shape `(images, coils, y, x)`. Images have directions of their own.

    Returns
    -------
        Variance, the mean over coils, from the smallest eighth of the eigenvalues and from the smallest quarter. Where
        the second one is larger, signal is in it. `None` if there are too few samples.

    References
    ----------
    .. [UEC2014] Uecker M, Lai P, Murphy MJ, et al. (2014) ESPIRiT - an eigenvalue approach to autocalibrating parallel
       MRI: Where SENSE meets GRAPPA. MRM 71(3) https://doi.org/10.1002/mrm.24751
    """
    groups = box.tensor_split(-(-box.shape[1] // _N_COILS), dim=1)
    estimates = [estimate for group in groups for image in group if (estimate := _variances(image)) is not None]
    if not estimates:
        return None
    small, more = torch.tensor(estimates).mean(0).tolist()
    return small, more


def _variances(coils: torch.Tensor) -> tuple[float, float] | None:
    """Return the estimates from the smallest eighth and quarter of the eigenvalues, for coils of shape `(n, y, x)`."""
    n_coils, n_y, n_x = coils.shape
    for width in range(min(n_y, n_x, int((_N_COLUMNS / n_coils) ** 0.5)), 1, -1):
        n_columns = n_coils * width**2
        if (n_y - width + 1) * (n_x - width + 1) >= 2 * n_columns >= 2 * max(_FRACTIONS):
            break
    else:
        return None
    coils = coils.to(torch.complex128)
    largest = coils.abs().max()
    if not largest > 0:
        return None
    coils = coils / largest
    smallest = _means(coils, width)
    generator = torch.Generator().manual_seed(0)
    estimates = []
    for i in range(len(_FRACTIONS)):
        added = 2 * smallest[i]  # about as much as there is
        rise = 0.0
        for _ in range(_N_DRAWS):
            noise = torch.randn(coils.shape, generator=generator, dtype=coils.dtype).to(coils.device)
            rise += (_means(coils + added.sqrt() * noise, width)[i] - smallest[i]).item() / _N_DRAWS
        estimates.append((smallest[i] * added * largest**2).item() / rise if rise > 0 else 0.0)
    return estimates[0], estimates[1]


def _means(coils: torch.Tensor, width: int) -> list[torch.Tensor]:
    """Return the means of the smallest eigenvalues of the covariance of the patches."""
    patches = coils.unfold(-2, width, 1).unfold(-2, width, 1).movedim(0, 2).flatten(2).flatten(0, 1)
    eigenvalues = torch.linalg.eigvalsh(patches.mH @ patches / len(patches)).clamp_min(0)
    return [eigenvalues[: len(eigenvalues) // fraction].mean() for fraction in _FRACTIONS]
