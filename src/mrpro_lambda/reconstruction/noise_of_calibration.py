"""Noise of fully sampled k-space of several coils, also without air in the image."""

from __future__ import annotations

import torch

_N_COLUMNS = 144
"""Largest number of samples of a patch, over all coils."""

_N_COILS = 16
"""Largest number of coils that are looked at together."""

_FRACTIONS = (8, 4)
"""Parts of the directions that are noise: the smallest eighth, and the smallest quarter."""

MANY_COILS = 8
"""Number of coils from which on the smallest quarter is noise."""

_N_DRAWS = 3
"""How often noise is added."""

_N_ROWS = 1.8
"""Smallest number of patches, relative to the number of their samples."""

_RIDGE = 0.4
"""Weight of the assumption that the coils have the same noise, relative to what the directions tell."""


def calibration_variance(box: torch.Tensor) -> tuple[float, float] | None:
    r"""Estimate the variance of complex noise in a fully sampled box of k-space.

    The patches of :math:`w \times w` samples of all coils, the rows of the calibration matrix of ESPIRiT [UEC2014]_,
    span a space of lower dimension than they have samples: the coils are smooth functions of one image. In the
    directions :math:`v_i` of the smallest eigenvalues :math:`\lambda_i` of their covariance there is noise only. Its
    covariance :math:`\Sigma` between the coils, the same for all samples, is fitted to :math:`v_i^H (\Sigma \otimes 1)
    v_j = \lambda_i \delta_{ij}`. The result is too small, because the directions are those of the smallest noise, by a
    factor that depends on the numbers of patches and samples. It is measured: noise of the fitted covariance is added,
    and the variance is divided by its rise relative to what was added.

    Parameters
    ----------
    box
        Samples, shape `(images, coils, y, x)`. Images have directions of their own.

    Returns
    -------
        Variances, the mean over coils, from the smallest eighth of the directions and from the smallest quarter. Where
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
        if (n_y - width + 1) * (n_x - width + 1) >= _N_ROWS * n_columns and n_columns >= max(_FRACTIONS):
            break
    else:
        return None
    coils = coils.to(torch.complex128)
    largest = coils.abs().max()
    if not largest > 0:
        return None
    coils = coils / largest
    fitted = _covariances(coils, width)
    generator = torch.Generator().manual_seed(0)
    rises = [0.0] * len(fitted)
    for _ in range(_N_DRAWS):
        white = torch.randn(coils.shape, generator=generator, dtype=coils.dtype).to(coils.device)
        for i, covariance in enumerate(fitted):
            # about as much as there is
            noise = torch.einsum('cd,dyx->cyx', torch.linalg.cholesky(2 * covariance), white)
            risen = _covariances(coils + noise, width)[i]
            rises[i] += ((_mean(risen) - _mean(covariance)) / (2 * _mean(covariance))) / _N_DRAWS
    small, more = (
        _mean(covariance) * largest.item() ** 2 / rise if rise > 0 else 0.0
        for covariance, rise in zip(fitted, rises, strict=True)
    )
    return small, more


def _covariances(coils: torch.Tensor, width: int) -> list[torch.Tensor]:
    """Fit the covariance of the noise of the coils to the smallest directions of the patches, for each fraction."""
    n = len(coils)
    patches = coils.unfold(-2, width, 1).unfold(-2, width, 1).movedim(0, 2).flatten(2).flatten(0, 1)
    eigenvalues, directions = torch.linalg.eigh(patches.mT @ patches.conj() / len(patches))
    fitted = []
    for fraction in _FRACTIONS:
        size = max(1, len(eigenvalues) // fraction)
        levels, parts = eigenvalues[:size].clamp_min(0), directions[:, :size].reshape(n, -1, size)
        equations = torch.einsum('coi,doj->ijcd', parts.conj(), parts).reshape(size**2, n**2)
        normal, right = equations.mH @ equations, equations.mH @ levels.diag().to(coils.dtype).flatten()
        ridge = _RIDGE * normal.diagonal().real.mean()
        identity = torch.eye(n, dtype=coils.dtype, device=coils.device)
        right = right + ridge * levels.mean() * identity.flatten()
        solution = torch.linalg.solve(normal + ridge * torch.eye(n**2, dtype=coils.dtype, device=coils.device), right)
        covariance = solution.reshape(n, n)
        values, vectors = torch.linalg.eigh((covariance + covariance.mH) / 2)
        smallest = 1e-3 * values[-1].clamp_min(torch.finfo(values.dtype).tiny)
        fitted.append((vectors * values.clamp_min(smallest)) @ vectors.mH)
    return fitted


def _mean(covariance: torch.Tensor) -> float:
    """Return the mean variance of the coils."""
    return covariance.diagonal().real.mean().item()
