"""Cine MRI with TV-Lambda: quality, time and memory.

    python benchmarks/cine.py quality --data-root DIR [--model FILE] [--published FILE] --output FILE.json
    python benchmarks/cine.py speed --data-root DIR
    python benchmarks/cine.py memory

`quality`: k-t lines at R = 6, 4 coils, noise 0.1 of the root mean square, on the 4-chamber cine and on test persons,
whose motion is interpolated between two frames. Zero-filled; one weight for space and time, and two, in units of the
noise and tuned on training persons; the tuned two times the best factor for the series, which needs the truth; a
formula of three numbers for each map, fitted to the scan alone; the learned map; and that of published weights. Each
solve has 100 iterations of ADMM.

`speed`: the 4-chamber cine of 30 frames of 231 x 231 with 8 coils, ADMM to its certified gap of 1e-2, with mrpro's
`pdhg` beside it: both take turns of 5 iterations in one process, each with its own clock.

`memory`: training steps of a patch of 16 frames of 128 x 128 with 4 coils and 128 iterations, in fresh processes.

Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from mrpro.algorithms.optimizers.pdhg import PDHGStatus, pdhg
from mrpro.operators import FiniteDifferenceOp, LinearOperatorMatrix
from mrpro.operators.functionals import L1NormViewAsReal, L2NormSquared
from mrpro_lambda.datasets import AcquisitionSample, ImageSource, KtLines, SimulatedCine, read_images
from mrpro_lambda.metrics import foreground_mask, nrmse, psnr, ssim
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.nets.inputs import ImageInput
from mrpro_lambda.oracle import best_weight
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from mrpro_lambda.published import load_published_dynamic_weights
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM, ActiveSetBackward, CheckpointedBackward, FullBackward, Problem
from mrpro_lambda.solvers.certificate import certificate
from mrpro_lambda.weighting import ActivityWeight, FittedToScan
from torch.utils.data import default_collate

from measure import PeakMemory, fresh_process, number, table

CINE = 'cardiac-cine/cine_4chamber_30x231x231_uint8.npy'
SHORT_AXIS = 'cardiac-short-axis/images_256x256_uint8.npz'
REGULARIZER = TotalVariation((-5, -2, -1))
METRICS = ('PSNR', 'SSIM', 'NRMSE', 'PSNR foreground', 'SSIM foreground')
ACCELERATION, NOISE, N_COILS, SIZE, CROP, N_FRAMES = 6.0, 0.1, 4, 144, 112, 16
SPACE, TIME = (0.00625, 0.0125, 0.025, 0.05), (0.2, 0.4, 0.8)
BOTH = (0.05, 0.1, 0.2)


def pairs_of_frames(root: Path, persons: slice, n: int) -> list[torch.Tensor]:
    """Read the ends of systole and diastole of a middle slice of persons."""
    ids = [str(i) for i in np.load(root / SHORT_AXIS)['ids']]
    found = []
    for person in sorted({i.split('-IM')[0] for i in ids})[persons][:n]:
        slices: dict[int, list[str]] = {}
        for i in ids:  # frames are numbered through, 20 to a slice
            if i.split('-IM')[0] == person:
                slices.setdefault((int(i[-4:]) - 1) // 20, []).append(i)
        whole = [names for _, names in sorted(slices.items()) if len(names) == 2]
        source = ImageSource(root / SHORT_AXIS, ids=whole[len(whole) // 2], n_frames=2, size=SIZE)
        found += read_images(source)
    return found


def simulate(series: torch.Tensor, seed: int, *, n_coils: int = N_COILS, crop: int | None = CROP) -> AcquisitionSample:
    """Simulate one acquisition."""
    n_frames = N_FRAMES if len(series) == 2 else len(series)
    sampling = KtLines(ACCELERATION, 6, n_frames=n_frames)
    data = SimulatedCine([series], sampling, noise=NOISE, n_coils=n_coils, crop=crop, seed=seed)
    return default_collate([data[0]])


def measure(img: torch.Tensor, sample: AcquisitionSample) -> torch.Tensor:
    """Return all metrics, means over the frames."""
    mask = foreground_mask(sample.img)
    values = [m(img, sample.img) for m in (psnr, ssim, nrmse)] + [m(img, sample.img, mask) for m in (psnr, ssim)]
    return torch.stack([v.mean() for v in values])


def solve(sample: AcquisitionSample, weight: list[float] | torch.Tensor) -> torch.Tensor:
    """Solve with a map, or with weights in units of the noise."""
    lambda_map = weight if isinstance(weight, torch.Tensor) else [w * sample.noise_std.item() for w in weight]
    solver = ADMM(REGULARIZER, n_iterations=100)
    return solver(sample.data, sample.acquisition_op(), sample.initial_image, lambda_map)


def quality(args: argparse.Namespace) -> None:
    """Compare weights."""
    root = args.data_root
    training = [simulate(series, 100 + i) for i, series in enumerate(pairs_of_frames(root, slice(0, 24), 2))]
    tuning = {}
    for weight in [[w, w] for w in BOTH] + [[a, b] for a in SPACE for b in TIME]:
        tuning[tuple(weight)] = torch.stack([measure(solve(s, weight), s) for s in training]).mean(0)[3].item()
        print(f'tuning {weight}: {tuning[tuple(weight)]:.2f} dB in the foreground', flush=True)
    one = max((w for w in tuning if w[0] == w[1]), key=lambda w: tuning[w])
    two = max(tuning, key=lambda w: tuning[w])
    four_chamber = read_images(ImageSource(root / CINE, n_frames=30, size=SIZE))
    tests = {'4-chamber': four_chamber[0]}
    tests |= {f'person {i}': x for i, x in enumerate(pairs_of_frames(root, slice(-6, None), args.persons))}
    models = {}
    if args.model is not None:
        shipped = args.model in list_pretrained()
        models['learned map'] = load_pretrained(args.model) if shipped else load_weights(args.model)[0]
    if args.published is not None:
        models['published weights'] = load_published_dynamic_weights(args.published)
    if args.fit:
        fitted = FittedToScan(ActivityWeight(2), n_steps=20, n_iterations=15, learning_rate=0.05, safeguard=False)
        models['fitted to the scan'] = LambdaMapModel(fitted, ADMM(REGULARIZER, n_iterations=100))
    rows: dict[str, list[torch.Tensor]] = {}
    for i, (name, series) in enumerate(tests.items()):
        sample = simulate(series, 1000 + i)
        rows.setdefault('zero-filled', []).append(measure(sample.initial_image, sample))
        rows.setdefault(f'one number, {one[0]:g} sigma', []).append(measure(solve(sample, list(one)), sample))
        factors = [2.0 ** (0.5 * k) for k in range(-2, 3)]
        tried = torch.stack([measure(solve(sample, [f * w for w in two]), sample) for f in factors])
        rows.setdefault(f'two numbers, {two[0]:g} and {two[1]:g} sigma', []).append(tried[2])
        sign = torch.tensor([1, 1, -1, 1, 1])
        best = best_weight(torch.tensor(factors), tried * sign).quality * sign
        rows.setdefault('two numbers, best factor for the series', []).append(best.to(tried))
        for title, model in models.items():
            given = (sample.data, sample.acquisition_op(), sample.initial_image, sample.noise_std)
            lambda_map = model.choose(*given).lambda_map.detach()
            rows.setdefault(title, []).append(measure(solve(sample, lambda_map), sample))
            space, in_time = lambda_map.expand(2, *sample.img.shape)
            ratio = in_time.median() / space.median()
            print(f'{name}, {title}: medians {space.median():.3g}, {in_time.median():.3g}, ratio {ratio:.2f}')
        print(f'{name}: ' + ', '.join(f'{k} {v[-1][3]:.2f}' for k, v in rows.items()), flush=True)
        args.output.write_text(json.dumps({k: torch.stack(v).tolist() for k, v in rows.items()}))
    values = {title: torch.stack(v) for title, v in rows.items()}
    print('\n' + table(('', *METRICS), [(k, *(f'{x:.3f}' for x in v.mean(0).tolist())) for k, v in values.items()]))
    reference = values['two numbers, best factor for the series']
    lines = []
    for title, v in values.items():
        difference = v - reference
        error = difference.std(0) / math.sqrt(len(difference)) if len(v) > 1 else torch.zeros(len(METRICS))
        lines.append((title, *(f'{m:+.3f} ({e:.3f})' for m, e in zip(difference.mean(0), error, strict=True))))
    print(f'Paired difference to the best two numbers, mean (standard error) of {len(reference)} series\n')
    print(table(('', *METRICS), lines))


def speed(args: argparse.Namespace) -> None:
    """Compare times to an objective 1 % above the minimum."""
    frames = torch.from_numpy(np.load(args.data_root / CINE).astype(np.float32))
    sample = simulate(frames, 0, n_coils=8, crop=None)
    operator, sigma = sample.acquisition_op(), sample.noise_std.item()
    lambda_map = torch.tensor([0.1 * sigma, 0.8 * sigma]).reshape(2, 1, 1, 1, 1, 1)
    data, start = sample.data[0], sample.initial_image[0]
    operator = type(operator)(sample.mask[0], sample.csm[0])
    solver = ADMM(REGULARIZER, max_iterations=1000, tolerance=1e-2)
    with PeakMemory('cpu') as memory:
        begin, cpu = time.perf_counter(), time.process_time()
        solution = solver.solve(data, operator, start, lambda_map)
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    print(f'ADMM to its certified gap of 1e-2: {solution}, {wall:.0f} s ({cpu:.0f} s of one processor), ', end='')
    print(f'{memory.megabytes:.0f} MB more than the data', flush=True)
    problem = Problem.create(REGULARIZER, data, operator, start, lambda_map)
    lowest = solution.objective.sum().item() - solution.gap.sum().item()
    target = 1.01 * solution.objective.sum().item()

    def objective(img: torch.Tensor) -> float:
        zero = torch.zeros_like(REGULARIZER.transform(img))
        return certificate(problem, img, zero, bound='trivial').objective.sum().item()

    begin = time.process_time()
    iteration = ADMM(REGULARIZER, n_iterations=1).iteration(problem)
    state = iteration.owned(iteration.init())
    ours: dict[int, tuple[float, float]] = {}
    theirs: dict[int, tuple[float, float]] = {}
    clock = {'ours': time.process_time() - begin, 'theirs': 0.0, 'since': time.process_time()}

    def callback(status: PDHGStatus) -> bool:
        n = status['iteration_number'] + 1
        if n % 5:
            return True
        clock['theirs'] += time.process_time() - clock['since']
        theirs[n] = (clock['theirs'], objective(status['solution'][0]))
        if not ours or ours[max(ours)][1] > target:
            begin = time.process_time()
            iteration.run(state, n - 5, 5)
            clock['ours'] += time.process_time() - begin
            ours[n] = (clock['ours'], objective(state.primal))
        print(n, theirs[n], ours.get(n), flush=True)
        clock['since'] = time.process_time()
        return theirs[n][1] > target

    norm = math.sqrt(1 + 12)
    f = L2NormSquared(target=data, weight=0.5**0.5) | L1NormViewAsReal(weight=lambda_map[[1, 0, 0]])
    gradient = FiniteDifferenceOp(dim=(-5, -2, -1), mode='forward', pad_mode='circular')
    step = torch.tensor(0.97 / norm)
    matrix = LinearOperatorMatrix(((operator,), (gradient,)))
    pdhg(f, None, matrix, (start,), args.iterations, primal_stepsize=step, dual_stepsize=step, callback=callback)
    print(f'\nObjective: at least {lowest:.6g}, target {target:.6g}\n')
    rows = []
    for title, run in (('ADMM of this package', ours), ("mrpro's pdhg", theirs)):
        n = max(run)
        reached = 'yes' if run[n][1] <= target else f'no, {run[n][1] / target:.3f} of it'
        rows.append((title, str(n), number(run[n][0]), number(run[n][0] / n), reached))
    print(table(('', 'iterations', 'seconds of one processor', 'seconds per iteration', 'target reached'), rows))


def memory_of_step(job: dict) -> dict[str, float]:
    """Measure one training step."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    series = torch.rand(2, 128, 128, generator=generator)
    sampling = KtLines(ACCELERATION, 6, n_frames=16, frames_per_cycle=16.0)
    data = SimulatedCine([series.repeat(8, 1, 1)], sampling, noise=NOISE, n_coils=4)
    sample = default_collate([data[0]])
    backward = {
        'ActiveSetBackward': ActiveSetBackward(),
        'CheckpointedBackward(11)': CheckpointedBackward(11),
        'FullBackward': FullBackward(),
    }[job['backward']]
    net = LambdaNet(UNet(3, 1, 2, 8), [ImageInput('signal_to_noise')], dim=(-5, -2, -1), padding=4)
    model = LambdaMapModel(net, ADMM(REGULARIZER, n_iterations=job['n_iterations'], backward=backward))
    operator = sample.acquisition_op()
    with PeakMemory('cpu') as memory:
        begin = time.process_time()
        img = model(sample.data, operator, sample.initial_image, sample.noise_std)
        torch.view_as_real(img - sample.img).square().mean().backward()
        elapsed = time.process_time() - begin
    return {'megabytes': memory.megabytes, 'seconds': elapsed}


def memory(_: argparse.Namespace) -> None:
    """Compare the peak memory of training steps."""
    rows = []
    for backward, n_iterations in (('ActiveSetBackward', 128), ('CheckpointedBackward(11)', 128), ('FullBackward', 8)):
        result = fresh_process(Path(__file__), {'backward': backward, 'n_iterations': n_iterations})
        cells = (result,) if isinstance(result, str) else (number(result['megabytes']), number(result['seconds']))
        rows.append((backward, str(n_iterations), *cells))
        print(rows[-1], flush=True)
    print('\n' + table(('', 'iterations', 'megabytes', 'seconds of one processor'), rows))


def main() -> None:
    """Run a part of the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('part', choices=('quality', 'speed', 'memory'), nargs='?')
    parser.add_argument('--data-root', type=Path)
    parser.add_argument('--model', help='name or file of the weights')
    parser.add_argument('--published', type=Path, help='file of the published weights')
    parser.add_argument('--fit', action='store_true', help='fit a formula to each scan')
    parser.add_argument('--persons', type=int, default=3, help='test persons')
    parser.add_argument('--iterations', type=int, default=300, help="largest number of iterations of mrpro's pdhg")
    parser.add_argument('--output', type=Path, default=Path('cine.json'))
    parser.add_argument('--job', help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.job is not None:
        print(json.dumps(memory_of_step(json.loads(args.job))))
        return
    {'quality': quality, 'speed': speed, 'memory': memory}[args.part](args)


if __name__ == '__main__':
    main()
