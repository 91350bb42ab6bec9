"""Coil maps of each source and method: the images that they lead to, and ESPIRiT beside that of SigPy.

A fully sampled brain of 16 coils is undersampled with three masks each. Total variation with one small weight, the same
for all, is solved with each of the maps. PSNR and SSIM of the magnitude over the foreground, relative to the fully
sampled image combined with smooth maps of its own; and the relative error of the samples that were not measured, which
no choice of a reference can favor. Prints tables in Markdown.

    python benchmarks/coil_maps.py --data-root DIR [--table sources|settings|crop|sigpy]
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from mrpro.data import CsmData, IData, KData, KTrajectory, SpatialDimension
from mrpro.operators import FourierOp
from mrpro_lambda.coil_maps import CoilMapMethod, center_images, espirit, espirit_maps, find_coil_maps, windowed
from mrpro_lambda.datasets import CartesianLines, VariableDensityRandom
from mrpro_lambda.metrics import foreground_mask, psnr, ssim
from mrpro_lambda.raw_data import read_kdata
from mrpro_lambda.reconstruction import AdaptiveTotalVariationReconstruction

N_MASKS = 3
WEIGHT = 5e-4
"""Weight relative to the largest magnitude of the fully sampled image."""

Function = Callable[[IData], CsmData]
Maps = Callable[[KData, KData], CsmData]
"""From undersampled and full data to maps."""


def masks() -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the name and the mask of each sampling of 96 x 96 points."""
    shape = (96, 96)
    for seed in range(N_MASKS):
        generator = torch.Generator().manual_seed(seed)
        yield 'random points, R = 4', VariableDensityRandom(4.0, 16 / 96).mask(shape, generator) > 0
        yield 'random lines, R = 4', CartesianLines(4.0, 16).mask(shape, generator) > 0
        for step in (3, 4):
            regular = torch.zeros(shape, dtype=torch.bool)
            regular[seed::step] = regular[40:56] = True
            yield f'regular lines, R = {step}', regular


def undersampled(kdata: KData, mask: torch.Tensor) -> KData:
    """Keep the samples of a mask."""
    points = mask.nonzero() - 48
    ky, kx = (k.float().reshape(1, 1, 1, -1, 1) for k in points.T)
    traj = KTrajectory(torch.zeros(1, 1, 1, 1, 1), ky, kx)
    return KData(kdata.header, kdata.data[..., 0, :, :][..., mask][..., None, :, None], traj)


def of_center(method: CoilMapMethod) -> Maps:
    """Return maps of the fully sampled center of undersampled data."""
    return lambda kdata, _: find_coil_maps(kdata, method=method).csm


def of_square(method: Function, width: int, *, smooth: bool = False) -> Maps:
    """Return maps of a central square."""
    region = SpatialDimension(1, width, width)

    def maps(kdata: KData, _: KData) -> CsmData:
        images = center_images(kdata, region)
        return method(windowed(images, region) if smooth else images)

    return maps


def of_image(method: Function) -> Maps:
    """Return maps of the aliased image."""

    def maps(kdata: KData, _: KData) -> CsmData:
        return method(center_images(kdata, SpatialDimension(1, 96, 96)))

    return maps


def of_full(method: Function) -> Maps:
    """Return maps of the fully sampled data."""
    return lambda _, full: method(center_images(full, SpatialDimension(1, 96, 96)))


def compare(full: KData, candidates: dict[str, Maps], title: str) -> None:
    """Print the means over the masks of each sampling and maps."""
    images = center_images(full, SpatialDimension(1, 96, 96)).data
    smooth = CsmData.from_idata_inati(
        windowed(center_images(full, SpatialDimension(1, 32, 32)), SpatialDimension(1, 32, 32))
    )
    reference = (smooth.data.conj() * images).sum(-4, keepdim=True).abs()
    foreground = foreground_mask(reference)
    weight = WEIGHT * float(reference.max())
    results: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for sampling, mask in masks():
        kdata = undersampled(full, mask)
        for name, maps in candidates.items():
            csm = maps(kdata, full)
            reconstruction = AdaptiveTotalVariationReconstruction(
                kdata, None, csm, regularization_dim=(-2, -1), regularization_weight=weight
            )
            solution = reconstruction.solve(kdata).solution
            img = solution.img
            (predicted,) = FourierOp.from_kdata(full)(csm.data * img)
            missing = ~mask
            error = (predicted - full.data)[..., missing].norm() / full.data[..., missing].norm()
            values = (
                psnr(img.abs(), reference, foreground).item(),
                ssim(img.abs(), reference, foreground).item(),
                error.item(),
                float(solution.n_iterations),
            )
            results.setdefault((sampling, name), []).append(values)
    samplings = list(dict.fromkeys(sampling for sampling, _ in results))
    print(f'\n| {title} | {" | ".join(samplings)} |\n|---{"|---:" * len(samplings)}|')
    for name in candidates:
        means = [torch.tensor(results[sampling, name]).mean(0).tolist() for sampling in samplings]
        cells = [f'{p:.2f} / {s:.3f} / {e:.3f} / {n:.0f}' for p, s, e, n in means]
        print(f'| {name} | {" | ".join(cells)} |', flush=True)


def table_of_sources(full: KData) -> None:
    """Compare sources and methods."""
    inati, walsh = CsmData.from_idata_inati, CsmData.from_idata_walsh
    compare(
        full,
        {
            'center, ESPIRiT': of_center('espirit'),
            'center, Inati': of_center('inati'),
            'center, Walsh': of_center('walsh'),
            'image, Inati': of_image(inati),
            'image, Walsh': of_image(walsh),
            'full data, ESPIRiT': of_full(espirit),
            'full data, Inati': of_full(inati),
        },
        'maps: PSNR / SSIM / error of missing samples / iterations',
    )


def table_of_settings(full: KData) -> None:
    """Compare settings of ESPIRiT."""
    candidates = {
        f'{width} x {width} samples, kernel {kernel}, threshold {threshold}': of_square(
            partial(espirit, calibration_width=width, kernel_width=kernel, threshold=threshold), width
        )
        for width, kernel, threshold in (
            (16, 6, 0.02), (16, 5, 0.02), (16, 4, 0.02), (16, 6, 0.01), (16, 6, 0.05), (12, 6, 0.02), (12, 4, 0.02),
            (8, 6, 0.02), (8, 4, 0.02),
        )
    }  # fmt: skip
    inati = CsmData.from_idata_inati
    candidates |= {f'{n} x {n} samples, Inati': of_square(inati, n, smooth=True) for n in (8, 12, 16)}
    compare(full, candidates, 'settings')


def table_of_crops(full: KData) -> None:
    """Compare what is done outside of the object."""
    crops = {
        f'crop {crop}': of_square(partial(espirit, calibration_width=16, crop=crop), 16)
        for crop in (0.0, 0.5, 0.8, 0.95)
    }
    compare(full, crops, 'crop')


def table_of_sigpy(full: KData) -> None:
    """Compare time and result with SigPy."""
    from sigpy.mri.app import EspiritCalib

    print('\n| grid | seconds | of SigPy | largest difference where the eigenvalue is above 0.95 |\n|---|---|---|---|')
    for n in (96, 192, 256):
        kspace = torch.nn.functional.pad(full.data[0, :, 0], ((n - 96) // 2,) * 4)
        matrix = SpatialDimension(1, n, n)
        (coil_images,) = FourierOp(matrix, matrix, full.traj).adjoint(full.data)
        start = time.perf_counter()
        ours = espirit_maps(coil_images)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        theirs = torch.from_numpy(EspiritCalib(kspace.numpy(), crop=0.0, show_pbar=False).run())
        seconds_theirs = time.perf_counter() - start
        csm = ours.csm[0, :, 0]
        phase = (csm * theirs.conj()).sum(0).sgn()
        difference = (csm - theirs * phase).norm(dim=0)[ours.eigenvalue[0, 0, 0] > 0.95].max()
        print(f'| {n} x {n} | {seconds:.1f} | {seconds_theirs:.1f} | {difference:.1e} |', flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    tables = {
        'sources': table_of_sources,
        'settings': table_of_settings,
        'crop': table_of_crops,
        'sigpy': table_of_sigpy,
    }
    parser.add_argument('--table', choices=list(tables), nargs='*', default=list(tables))
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    full = read_kdata(args.data_root / 'brain-16coil-full/kspace_96x96.h5', 'cartesian')
    for table in args.table:
        tables[table](full)


if __name__ == '__main__':
    main()
