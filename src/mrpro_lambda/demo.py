"""Demonstration on a real brain image: one weight for the whole image against a learned map."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mrpro.data import IHeader, SpatialDimension
from mrpro.operators import LinearOperator

from mrpro_lambda.datasets import AcquisitionSample, SimulatedAcquisitions, VariableDensityRandom
from mrpro_lambda.export import json_text, output_folder, write_dicom, write_nifti
from mrpro_lambda.metrics import foreground_mask, nrmse, psnr, ssim
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import CartesianAcquisitionOp
from mrpro_lambda.oracle import oracle_weight
from mrpro_lambda.plotting import plot_comparison
from mrpro_lambda.pretrained import load_pretrained
from mrpro_lambda.progress import Progress
from mrpro_lambda.solvers import ADMM, Solution

WEIGHTS = 'tv-variable-density'
_RANGE = (10**-1.3, 10**0.5)
_COARSE, _FINE = 9, 5  # number of weights that are solved at once in the two stages of the search


def run_demo(output: str | Path, *, seed: int = 0, progress: bool = False) -> dict[str, dict[str, Any]]:
    """Simulate a noisy accelerated acquisition, reconstruct it in three ways, and write figure, metrics and images.

    The image is the T1-weighted coronal slice that the package dipy brings along. A quarter of its k-space is sampled
    at random with variable density by one coil, with noise of a tenth of the root mean square of the image. It is
    reconstructed by zero-filling, by total variation with the best weight for this image, found with the true image,
    and with a learned map. The two convex problems are solved with the same solver.

    Parameters
    ----------
    output
        Folder to write: `comparison.png`, `metrics.json`, and the image of the learned map as `dicom/` and
        `image.nii.gz`. It must be empty or not exist.
    seed
        Seed of phase, sampling and noise.
    progress
        Show a progress bar.

    Returns
    -------
        Metrics by method: in the whole image and in the foreground, seconds, and the certificate of the solver.

    Raises
    ------
    ValueError
        If the extra `demo` is not installed, or if the folder is not empty.
    """
    with output_folder(output) as folder:
        image = _image()
        model = load_pretrained(WEIGHTS)
        sample = SimulatedAcquisitions([image], VariableDensityRandom(acceleration=4), noise=0.1, seed=seed)[0]
        if not isinstance(sample, AcquisitionSample):
            raise TypeError('The acquisition must be Cartesian.')
        target, data, initial = (x[None] for x in (sample.img, sample.data, sample.initial_image))
        noise_std = sample.noise_std.item()
        acquisition_op = CartesianAcquisitionOp(sample.mask[None])

        with Progress(_COARSE + _FINE + 3, 'Reconstructions', show=progress) as bar:
            weight = _best_weight(model, data, acquisition_op, initial, target, noise_std, bar.update)
            start = time.perf_counter()
            acquisition_op.adjoint(data)
            zero_filled_seconds = time.perf_counter() - start
            bar.update()
            start = time.perf_counter()
            scalar = model.solve(data, acquisition_op, initial, lambda_map=weight * noise_std)
            scalar_seconds = time.perf_counter() - start
            bar.update()
            start = time.perf_counter()
            lambda_map = model.estimate(initial, noise_std)
            learned = model.solve(data, acquisition_op, initial, lambda_map=lambda_map)
            learned_seconds = time.perf_counter() - start
            bar.update()

        images = {'zero-filled': initial, 'scalar TV (oracle)': scalar.img, 'TV-Lambda': learned.img}
        metrics = {name: _metrics(img, target) for name, img in images.items()}
        metrics['zero-filled'] |= {'seconds': zero_filled_seconds}
        metrics['scalar TV (oracle)'] |= {
            'seconds': scalar_seconds,
            **_certificate(scalar.solution),
            'weight_relative_to_noise': weight,
        }
        metrics['TV-Lambda'] |= {'seconds': learned_seconds, **_certificate(learned.solution)}

        (folder / 'metrics.json').write_text(json_text(metrics), 'utf-8')
        region = _region(foreground_mask(target)[0, 0, 0])
        titled = {f'{name[0].upper()}{name[1:]}': img for name, img in images.items()}
        figure = plot_comparison(titled, target, lambda_map=lambda_map[0], noise_std=noise_std, region=region)
        figure.savefig(folder / 'comparison.png', dpi=150, bbox_inches='tight', pad_inches=0.03)
        header = IHeader(resolution=SpatialDimension(1e-3, 1e-3, 1e-3))
        write_dicom(folder / 'dicom', learned.img.abs(), header)
        write_nifti(folder / 'image.nii.gz', learned.img.abs(), header)
    return metrics


def metrics_table(metrics: dict[str, dict[str, Any]]) -> str:
    """Format the metrics of `run_demo` as a table."""
    columns = {
        'PSNR': ('psnr', '.2f'),
        'foreground': ('psnr_foreground', '.2f'),
        'SSIM': ('ssim', '.4f'),
        'foreground ': ('ssim_foreground', '.4f'),
        'NRMSE': ('nrmse', '.4f'),
        'seconds': ('seconds', '.2f'),
        'gap': ('relative_gap', '.1e'),
    }
    rows = [['method', *(title.strip() for title in columns)]]
    for name, values in metrics.items():
        rows.append([name, *(f'{values[key]:{form}}' if key in values else '-' for key, form in columns.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    lines = ['  '.join(row) for row in cells]
    return '\n'.join([lines[0], '-' * len(lines[0]), *lines[1:]])


def _image() -> torch.Tensor:
    """Read the brain image of dipy."""
    try:
        import dipy
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ValueError(f"The demo needs the extra 'demo', pip install 'mrpro-lambda[demo]': {error}.") from error
    path = Path(dipy.__file__).parent / 'data' / 'files' / 't1_coronal_slice.npy'
    if not path.is_file():
        raise ValueError(f'This version of dipy ({dipy.__version__}) does not have the image {path.name}.')
    return torch.as_tensor(np.load(path, allow_pickle=False))


def _best_weight(
    model: LambdaMapModel,
    data: torch.Tensor,
    acquisition_op: LinearOperator,
    initial: torch.Tensor,
    target: torch.Tensor,
    noise_std: float,
    update: Callable[[int], object],
) -> float:
    """Return the weight relative to the noise level for which total variation has the highest PSNR.

    The weights of the coarse grid are solved with fewer iterations.
    """

    def quality(weights: torch.Tensor, model: LambdaMapModel) -> torch.Tensor:
        n = len(weights)
        batch = (data.expand(n, -1, -1, -1, -1), acquisition_op, initial.expand(n, -1, -1, -1, -1))
        with torch.no_grad():
            img = model(*batch, lambda_map=(weights * noise_std).reshape(1, n, 1, 1, 1, 1))
        update(n)
        return psnr(img, target.expand_as(img))

    short = LambdaMapModel(None, ADMM(model.solver.regularizer, n_iterations=96), band_limit=model.band_limit)
    return oracle_weight(
        partial(quality, model=model),
        *_RANGE,
        coarse_quality=partial(quality, model=short),
        n_coarse=_COARSE,
        n_fine=_FINE,
    )


def _metrics(img: torch.Tensor, target: torch.Tensor) -> dict[str, Any]:
    """Return the metrics of an image in the whole image and in the foreground."""
    mask = foreground_mask(target)
    values = {
        'psnr': psnr(img, target),
        'psnr_foreground': psnr(img, target, mask),
        'ssim': ssim(img, target),
        'ssim_foreground': ssim(img, target, mask),
        'nrmse': nrmse(img, target),
    }
    return {name: value.item() for name, value in values.items()}


def _certificate(solution: Solution) -> dict[str, Any]:
    """Return the certificate of a solution for the metrics."""
    return {
        'relative_gap': solution.relative_gap,
        'objective': solution.objective.sum().item(),
        'n_iterations': solution.n_iterations,
        'reason': solution.reason,
    }


def _region(mask: torch.Tensor, margin: int = 10) -> tuple[slice, slice]:
    """Return the smallest square around a mask, with a margin, within the image."""
    spans = [mask.any(1 - d).nonzero()[[0, -1], 0].tolist() for d in (0, 1)]
    size = min(*mask.shape, max(high - low for low, high in spans) + 1 + 2 * margin)
    starts = [
        min(max(0, (low + high + 1 - size) // 2), n - size) for (low, high), n in zip(spans, mask.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + size), slice(starts[1], starts[1] + size)
