"""Image quality of TV-Lambda for low-dose computed tomography, on objects that were not used in training.

The scans are simulated: parallel rays, Poisson noise. Filtered back projection with a Hann window, total variation with
one weight c * sigma for all images (tuned on training images), with the weight that the counts of the scan choose
(`LowestLoss`), and with the best weight for the image (chosen with the truth); a map that is fitted to the scan, and
with `--model` TV-Lambda and a fit that begins with it, all of them with the same number of iterations.

    python benchmarks/low_dose.py --data-root DIR --output FILE.pt --figure FILE.png
    python benchmarks/low_dose.py --data-root DIR --output FILE.pt --model WEIGHTS
    python benchmarks/low_dose.py --data-root DIR --held-out --model WEIGHTS
    python benchmarks/low_dose.py --large 250
    python benchmarks/low_dose.py --large 1000 --astra

Test images are slices of `ct-heads/CT_AVM.nii.gz`, an angiography, and the CT slices that the package pydicom has among
its test files. With `--held-out`, TV-Lambda is compared with the best weight for each of some objects that were left
out of the training, to choose weights. The last forms measure time and memory for 362 x 362 pixels, 513 bins and a
number of angles, with the sparse matrix and with the ASTRA toolbox.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import torch
from mrpro_lambda.data_terms import PoissonCounts
from mrpro_lambda.datasets import (
    ImageSource,
    LowDoseParallelBeam,
    LowDoseSample,
    SimulatedScans,
    draw_phantom,
    read_images,
)
from mrpro_lambda.metrics import nrmse, psnr, ssim
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.operators import AstraRayTransformOp, ParallelBeam, RayTransformOp, filtered_back_projection
from mrpro_lambda.oracle import best_weight
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from mrpro_lambda.recipes import LowDoseRecipe
from mrpro_lambda.weighting import FittedToScan, LowestLoss, NoiseWeight, Weight
from PIL import Image
from torch.utils.data import default_collate

METRICS = ('PSNR', 'SSIM', 'NRMSE')
HIGHER_IS_BETTER = torch.tensor([1, 1, -1])
WEIGHTS = [0.005 * 1.7**i for i in range(6)]
DICOM = ('CT_small.dcm', 'J2K_pixelrep_mismatch.dcm')


def dicom_slices(size: int) -> list[torch.Tensor]:
    """Read the CT slices of pydicom as attenuation relative to the largest one, in a square of some size."""
    images = []
    for name in DICOM:
        dataset = pydicom.dcmread(Path(pydicom.data.__file__).parent / 'test_files' / name)
        values = dataset.pixel_array.astype(np.float32) * float(dataset.get('RescaleSlope', 1))
        hounsfield = torch.as_tensor(values + float(dataset.get('RescaleIntercept', 0)))
        relative = ((hounsfield + 1000) / 1000).clamp_min(0)
        resized = torch.nn.functional.interpolate(relative[None, None], (size, size), mode='bicubic', antialias=True)
        images.append(resized[0, 0].clamp_min(0) / resized.max())
    return images


def images(root: Path, size: int, *, test: bool) -> list[torch.Tensor]:
    """Read test images, or some of the training images to tune the weight on."""
    if test:
        slices = range(20, 130, 14)
        return dicom_slices(size) + read_images(ImageSource(root / 'ct-heads/CT_AVM.nii.gz', size=size, slices=slices))
    selected = read_images(ImageSource(root / 'ct-heads/CT_pitch.nii.gz', size=size, slices=(12, 20, 28, 36, 44)))
    selected += read_images(ImageSource(root / 'low-field-brain/6A/3T_T1w.mat', size=size))[1:3]
    heart = ImageSource(root / 'cardiac-short-axis/images_256x256_uint8.npz', ids=('SC-HF-I-01',), size=size)
    return selected + read_images(heart)[:1]


def held_out(root: Path, size: int) -> dict[str, list[torch.Tensor]]:
    """Read objects that were left out of the training of the weights that ship."""
    brains = [ImageSource(root / f'low-field-brain/6B/3T_{name}.mat', size=size) for name in ('FLAIR', 'T2w')]
    heart = ImageSource(root / 'cardiac-short-axis/images_256x256_uint8.npz', ids=('SC-HF-NI-03',), size=size)
    generator = torch.Generator().manual_seed(1)
    return {
        'head phantom': read_images(ImageSource(root / 'ct-heads/CT_pitch.nii.gz', size=size, slices=(20, 23, 26, 29))),
        'hearts': read_images(heart)[:2],
        'brains': [image for source in brains for image in read_images(source)[1:3]],
        'random objects': [draw_phantom(size, generator) for _ in range(16)],
    }


def simulate(selected: list[torch.Tensor], n_angles: int, n_photons: float, size: int, seed: int) -> LowDoseSample:
    """Simulate a scan of each image and stack them."""
    family = LowDoseParallelBeam(n_angles)
    data = SimulatedScans(selected, family, noise=n_photons**-0.5, crop=size, seed=seed)
    return default_collate([data[i] for i in range(len(data))])


def measure(img: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return all metrics of each image."""
    return torch.stack([psnr(img, target), ssim(img, target), nrmse(img, target)], -1)


def scalar_results(sample: LowDoseSample, n_iterations: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return metrics, shape (weights, images, metrics), and images of total variation for all weights."""
    solver = LowDoseRecipe().build().solver.replace(n_iterations=n_iterations)
    found = []
    for weight in WEIGHTS:
        model = LambdaMapModel(NoiseWeight(weight), solver)
        with torch.no_grad():
            found.append(model(sample.data, sample.acquisition_op(), sample.initial_image, sample.noise_std))
        print(f'c = {weight:.4f}: {psnr(found[-1], sample.img).mean():.2f} dB', flush=True)
    return torch.stack([measure(img, sample.img) for img in found]), found


def of_the_scan(sample: LowDoseSample, weight: Weight, n_iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images whose weights are chosen by the counts of each scan alone, and the maps."""
    found, maps = [], []
    solver = LowDoseRecipe().build().solver.replace(n_iterations=n_iterations)
    for i in range(len(sample.img)):
        one = LowDoseSample(*(x[i : i + 1] for x in sample))
        term = one.acquisition_op()
        if not isinstance(term.acquisition_op, RayTransformOp):
            raise TypeError(f'The scan needs a RayTransformOp, got {type(term.acquisition_op).__name__}.')
        initial = partial(filtered_back_projection, ray_transform_op=term.acquisition_op, cutoff=0.641)
        start = time.process_time()
        model = LambdaMapModel(weight, solver)
        result = model.solve(one.data, term, one.initial_image, one.noise_std, initial=initial)
        report = result.report or {}
        note = report.get('taken', report.get('factor'))
        quality = psnr(result.img, one.img).item()
        print(f'{type(weight).__name__} {i}: {quality:.2f} dB, {time.process_time() - start:.0f} s, {note}', flush=True)
        found.append(result.img)
        maps.append(torch.as_tensor(result.lambda_map).expand(1, *result.img.shape))
    return torch.cat(found), torch.cat(maps, 1)


def trained_model(name: str, n_iterations: int) -> LambdaMapModel:
    """Load weights by their name or from a file."""
    trained = load_pretrained(name) if name in list_pretrained() else load_weights(name)[0]
    return LambdaMapModel(trained.weight, trained.solver.replace(n_iterations=n_iterations))


def row(name: str, values: torch.Tensor, *, signed: bool = False) -> str:
    """Return a row of a table: means with standard errors."""
    error = values.std(0) / math.sqrt(len(values))
    sign = '+' if signed else ''
    pairs = zip(values.mean(0).tolist(), error.tolist(), (2, 4, 4), strict=True)
    return f'| {name} | ' + ' | '.join(f'{m:{sign}.{d}f} ({e:.{d}f})' for m, e, d in pairs) + ' |'


def large(n_angles: int, n_iterations: int, *, astra: bool) -> None:
    """Print time of one core and memory for images of 362 x 362 pixels."""
    size, width = 362, 0.26 / 362
    torch.set_num_threads(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    times = [time.process_time()]
    geometry = ParallelBeam.half_turn(n_angles, 513, math.sqrt(2) * 0.26 / 513)
    operator = (AstraRayTransformOp if astra else RayTransformOp)(geometry, (size, size), width)
    times.append(time.process_time())
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, size),) * 2, indexing='ij')
    img = 0.2 * ((x / 0.7).hypot(y / 0.9) < 1) + 0.3 * ((x - 0.2).hypot(y) < 0.2)
    target = img[None, None, None].float()
    term = PoissonCounts(operator)
    data = term.from_counts(term.draw(target, torch.Generator().manual_seed(0)))
    _ = operator.norm_squared_bound
    term.circulant_bound(target, ())
    times.append(time.process_time())
    initial = filtered_back_projection(data, operator, cutoff=0.641).clamp_min(0)
    times.append(time.process_time())
    model = LambdaMapModel(NoiseWeight(0.02), LowDoseRecipe().build().solver.replace(n_iterations=n_iterations))
    with torch.no_grad():
        model(data, term, initial)
    times.append(time.process_time())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    held = sum(buffer.numel() * buffer.element_size() for buffer in operator.buffers()) / 2**30
    setup, _, back_projection, solve = (after - earlier for earlier, after in pairwise(times))
    print(
        f'| {n_angles} | {operator.n_entries / 1e6:.0f} M | {setup:.1f} s | {held:.2f} GB | {peak - before:.2f} GB | '
        f'{back_projection:.1f} s | {1e3 * solve / n_iterations:.0f} ms |'
    )


def figure(path: Path, sample: LowDoseSample, columns: dict[str, torch.Tensor], lambda_map: torch.Tensor) -> None:
    """Write the images of two slices in rows, each pixel as 2 x 2, with the map last in a window of its own."""
    rows = []
    for index in (1, 0):
        largest = sample.img[index].max()
        tiles = [(x[index, 0, 0] / largest).clamp(0, 1) for x in (sample.img, *columns.values())]
        logarithm = lambda_map[0, index, 0, 0].log()
        low, high = logarithm.quantile(0.01), logarithm.quantile(0.99)
        rows.append(torch.cat([*tiles, ((logarithm - low) / (high - low)).clamp(0, 1)], 1))
    img = (255 * torch.cat(rows)).round().to(torch.uint8).repeat_interleave(2, 0).repeat_interleave(2, 1)
    Image.fromarray(img.numpy()).save(path, optimize=True)


def main() -> None:
    """Run the evaluation and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path)
    parser.add_argument('--model', help='name or file of the weights')
    parser.add_argument('--output', type=Path, help='file for the results of total variation, used again if it exists')
    parser.add_argument('--figure', type=Path)
    parser.add_argument('--size', type=int, default=96)
    parser.add_argument('--angles', type=int, default=60)
    parser.add_argument('--photons', type=float, default=4096)
    parser.add_argument('--iterations', type=int, default=150)
    parser.add_argument('--held-out', action='store_true', help='compare with objects that were left out of training')
    parser.add_argument('--train', action='store_true', help='fit to training images, to choose settings')
    parser.add_argument('--fit-steps', type=int, default=60, help='steps of a fit to the scan, 0 for none')
    parser.add_argument('--fit-rate', type=float, default=3e-3)
    parser.add_argument('--large', type=int, metavar='ANGLES')
    parser.add_argument('--astra', action='store_true')
    args = parser.parse_args()
    if args.large is not None:
        large(args.large, 20, astra=args.astra)
        return
    if args.data_root is None or (args.model if args.held_out else args.output) is None:
        parser.error('--data-root is needed without --large, with --output, or --held-out with --model')
    torch.set_num_threads(1)
    settings = args.angles, args.photons, args.size
    weights = torch.tensor(WEIGHTS)
    if args.held_out:
        for name, objects in held_out(args.data_root, args.size).items():
            sample = simulate(objects, *settings, seed=7000)
            scalar = best_weight(weights, scalar_results(sample, args.iterations)[0] * HIGHER_IS_BETTER)
            term = sample.acquisition_op()
            model = trained_model(args.model, args.iterations)
            found = model.solve(sample.data, term, sample.initial_image, sample.noise_std).img
            gain = measure(found, sample.img) - scalar.quality.float() * HIGHER_IS_BETTER
            print(row(f'{name}, {len(objects)}: gain over the best number', gain, signed=True))
        return
    fitted = FittedToScan(n_steps=args.fit_steps, learning_rate=args.fit_rate) if args.fit_steps else None
    if args.train:
        tuning = simulate(images(args.data_root, args.size, test=False), *settings, seed=5000)
        of_the_scan(tuning, LowestLoss(), args.iterations)
        if fitted is not None:
            of_the_scan(tuning, fitted, args.iterations)
        return
    sample = simulate(images(args.data_root, args.size, test=True), *settings, seed=1000)
    if args.output.exists():
        kept = torch.load(args.output)
    else:
        print('training images')
        tuning = simulate(images(args.data_root, args.size, test=False), *settings, seed=5000)
        kept = {'tuning': scalar_results(tuning, args.iterations)[0]}
        print('test images')
        kept['test'], kept['images'] = scalar_results(sample, args.iterations)
        torch.save(kept, args.output)
    tuned = int(kept['tuning'][..., 0].mean(1).argmax())
    oracle = best_weight(weights, kept['test'] * HIGHER_IS_BETTER).quality.float() * HIGHER_IS_BETTER
    results = {
        'filtered back projection': measure(sample.initial_image, sample.img),
        'scalar TV, tuned': kept['test'][tuned],
        'scalar TV, oracle': oracle,
    }
    columns = {'filtered back projection': sample.initial_image, 'scalar TV, tuned': kept['images'][tuned]}
    lambda_map = None
    rules: dict[str, Weight] = {'scalar TV, chosen by the scan': LowestLoss()}
    if fitted is not None:
        rules['map fitted to the scan'] = fitted
    for name, rule in rules.items():
        if name not in kept:
            kept[name] = of_the_scan(sample, rule, args.iterations)
            torch.save(kept, args.output)
        found, maps = kept[name]
        results[name] = measure(found, sample.img)
        if rule is fitted:
            columns[name], lambda_map = found, maps
    if args.model is not None:
        model = trained_model(args.model, args.iterations)
        solved = model.solve(sample.data, sample.acquisition_op(), sample.initial_image, sample.noise_std)
        results['TV-Lambda'] = measure(solved.img, sample.img)
        columns['TV-Lambda'], lambda_map = solved.img, solved.lambda_map
        print(f'TV-Lambda: {psnr(solved.img, sample.img).mean():.2f} dB, {solved.solution}', flush=True)
        if fitted is not None:
            begun = FittedToScan(model.weight, n_steps=20, learning_rate=1e-3)
            found, _ = of_the_scan(sample, begun, args.iterations)
            results['TV-Lambda, fitted to the scan'] = measure(found, sample.img)
    print(f'\n{len(sample.img)} images, {args.angles} angles, c = {WEIGHTS[tuned]:.4f}\n')
    print('| | ' + ' | '.join(METRICS) + ' |\n' + '|---' * (len(METRICS) + 1) + '|')
    for name, values in results.items():
        print(row(name, values))
    for method in [name for name in results if name not in ('filtered back projection', 'scalar TV, oracle')]:
        for name in ('scalar TV, tuned', 'scalar TV, oracle'):
            if method != name:
                print(row(f'{method}: gain over {name}', results[method] - results[name], signed=True))
    if lambda_map is not None:
        for i, name in enumerate(DICOM):
            line = ', '.join(f'{key} {values[i, 0]:.2f}' for key, values in results.items())
            print(f'{name}: {line} dB')
        if args.figure is not None:
            figure(args.figure, sample, columns, lambda_map)


if __name__ == '__main__':
    main()
