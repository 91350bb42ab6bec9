"""Time and peak memory of a training step: network, forward and backward, each case in fresh processes.

python benchmarks/training_step.py --job '{"method": "PDHG", "size": 320, "n_iterations": 128, "batch": 1, ...}'
"""

from __future__ import annotations

import json
import statistics
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.nets import LambdaNet, UNet
from mrpro_lambda.solvers import ADMM, PDHG, ActiveSetBackward, CheckpointedBackward
from tqdm import tqdm

from measure import PeakMemory, fresh_process, number, ratio, seconds, spread, table
from methods import TV, mrpro_solve, step_size
from problems import Problem, central_box, magnitude, random_lines

Case = dict[str, object]
Result = dict[str, float] | str

STEPS = ('mrpro pdhg, autograd', 'PDHG', 'ADMM', 'PDHG, checkpoints', 'network alone')


def training_step(method: str, problem: Problem, n_iterations: int) -> Callable[[], None]:
    """Bind a training step, without the optimizer: the same network, start, loss and number of iterations for all."""
    net = LambdaNet(UNet(n_dim=2, n_channels_in=2, n_channels_out=1, n_features=16)).to(problem.data.device)
    step = step_size(problem)
    solvers = {
        'PDHG': PDHG(TV, n_iterations=n_iterations, backward=ActiveSetBackward()),
        'ADMM': ADMM(TV, n_iterations=n_iterations, backward=ActiveSetBackward()),
        'PDHG, checkpoints': PDHG(
            TV, n_iterations=n_iterations, backward=CheckpointedBackward(max(1, round(n_iterations**0.5)))
        ),
    }
    # mrpro's result is not limited to the measured band, so ours is not, either
    model = None if method not in solvers else LambdaMapModel(net, solvers[method], band_limit=False)

    def run() -> None:
        net.zero_grad(set_to_none=True)
        if model is not None:
            img = model(problem.data, problem.operator, problem.initial_image)
        else:
            lambda_map = net(problem.initial_image)
            if method == 'network alone':
                lambda_map.square().mean().backward()
                return
            img = mrpro_solve(problem, lambda_map, step, n_iterations)
        torch.view_as_real(img - problem.truth).square().mean().backward()

    return run


def measure(job: Case) -> dict[str, float]:
    """Measure one case: memory of the first call, time of the second."""
    torch.set_num_threads(int(str(job['threads'])))
    device, batch, n_coils = str(job['device']), int(str(job['batch'])), int(str(job['n_coils']))
    path = Path(str(job['image'])) if job['image'] else None
    image = magnitude(int(str(job['size'])), path)
    problem = random_lines(image, n_coils, batch=batch) if job['lines'] else central_box(image, batch=batch)
    run = training_step(str(job['method']), problem.to(device=device), int(str(job['n_iterations'])))
    if device.startswith('cuda'):
        run()  # the memory of cuDNN and cuFFT workspaces is not that of the method
    with PeakMemory(device) as memory:
        run()
    return {'seconds': seconds(run, device), 'megabytes': memory.megabytes}


def case(
    args: Namespace, method: str, size: int, n_iterations: int, *, batch: int = 1, n_coils: int = 1, lines: bool = False
) -> Case:
    """Describe a case: the central box with one coil, or random lines."""
    return {
        'method': method,
        'size': size,
        'n_iterations': n_iterations,
        'batch': batch,
        'n_coils': n_coils,
        'lines': lines,
        'threads': args.threads,
        'device': args.device,
        'image': str(args.image.resolve()) if args.image else '',
    }


def measure_cases(cases: list[Case], repeats: int, script: Path = Path(__file__)) -> list[list[Result]]:
    """Measure all cases in turns, each time in a fresh process; a case that fails is not tried again."""
    results: list[list[Result]] = [[] for _ in cases]
    with tqdm(total=repeats * len(cases), desc='training steps', leave=False) as bar:
        for _ in range(repeats):
            for job, values in zip(cases, results, strict=True):
                bar.set_description(f'{job["method"]}, T={job["n_iterations"]}')
                if not (values and isinstance(values[0], str)):
                    values.append(fresh_process(script, job))
                bar.update()
    return results


def values_of(results: list[Result], key: str) -> list[float]:
    """Return one of the measured values over all repeats."""
    return [r[key] for r in results if not isinstance(r, str)]


def failure(results: list[Result]) -> str | None:
    """Return why a case failed."""
    return next((r for r in results if isinstance(r, str)), None)


def run(args: Namespace) -> str:
    """Return the table of this section."""
    size, n, longest = (32, 4, 16) if args.quick else (320, 128, 1024)
    methods, batches, repeats = (STEPS[:3], (1,), 1) if args.quick else (STEPS, (1, 4), args.repeats)
    cases = [case(args, method, size, n, batch=batch) for batch in batches for method in methods]
    cases += [case(args, method, size, longest) for method in ('PDHG', 'ADMM')]
    results = measure_cases(cases, repeats)
    rows = []
    reference: list[Result] = []
    for job, values in zip(cases, results, strict=True):
        if job['method'] == STEPS[0]:
            reference = values
        row = [str(job['method']), str(job['n_iterations']), str(job['batch'])]
        error = failure(values)
        if error is not None:
            rows.append([*row, error, '-', '-', '-'])
            continue
        times, memory = values_of(values, 'seconds'), values_of(values, 'megabytes')
        same = job['n_iterations'] == n and job['method'] != 'network alone'
        faster = ratio(values_of(reference, 'seconds'), times) if same else '-'
        smaller = ratio(values_of(reference, 'megabytes'), memory) if same else '-'
        rows.append([*row, spread(times), faster, number(statistics.median(memory)), smaller])
    header = ['', 'T', 'batch', 's per step, min / median / max', 'faster than mrpro', 'peak memory, MB', 'smaller']
    return (
        f'### {size} x {size}, one coil, U-Net with 16 features\n\n'
        + table(header, rows)
        + (
            '\nNetwork, forward and backward, without the optimizer. PDHG and ADMM with ActiveSetBackward. Memory: '
            + ('peak of the tensors on the GPU' if args.device != 'cpu' else 'peak resident memory of a fresh process')
            + ' minus that before the call, median; time: second call of the process.\n'
        )
    )


if __name__ == '__main__':
    print(json.dumps(measure(json.loads(sys.argv[2]))))
