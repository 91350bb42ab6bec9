"""Speed, memory and accuracy of the solvers beside mrpro, SigPy, deepinv, BART, SPORCO and SCICO, all in one run.

    python benchmarks/performance.py [--sections iteration training gradient accuracy scaling cdl cdl-training
        cdl-accuracy] [--threads 1 2] [--repeats 5] [--budget 60] [--image ch2.nii.gz] [--device cuda] [--quick]
        [--output performance.md]

Each section runs in a fresh process, once for each number of threads. Within a section the methods take turns, so that
a change of the machine's speed meets all of them. Tables are printed in Markdown; times are minimum / median / maximum
and ratios are of medians. Peers are installed with `pip install .[benchmark]`; a missing one is named and skipped.

- `iteration`: time per iteration with one coil (Cartesian) and 8 coils (radial).
- `training`: time and peak memory of a training step, network included.
- `gradient`: error of the gradient with respect to the Lambda map.
- `accuracy`: time and iterations to a relative objective and to an image error.
- `scaling`: growth of time and memory with pixels, coils, iterations and batch.
- `cdl`, `cdl-training`, `cdl-accuracy`: the same with the sparse coefficients of a convolutional dictionary.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

SECTIONS = {
    'iteration': ('iteration_time', 'Time per iteration'),
    'training': ('training_step', 'Training step'),
    'gradient': ('map_gradient', 'Gradient with respect to the Lambda map'),
    'accuracy': ('time_to_accuracy', 'Time to an accuracy'),
    'scaling': ('scaling', 'Growth'),
    'cdl': ('cdl_iteration', 'Dictionary: time per iteration'),
    'cdl-training': ('cdl_training_step', 'Dictionary: training step and gradient'),
    'cdl-accuracy': ('cdl_accuracy', 'Dictionary: time to an accuracy'),
}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sections', nargs='+', choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument('--threads', nargs='+', type=int, default=[os.cpu_count() or 1])
    parser.add_argument('--repeats', type=int, default=5, help='timed calls of each method')
    parser.add_argument('--budget', type=float, default=60.0, help='seconds for each run to an accuracy')
    parser.add_argument('--image', type=Path, help='magnitude volume, e.g. NIfTI; the middle slice is used')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--quick', action='store_true', help='tiny problems: does everything run?')
    parser.add_argument('--output', type=Path, help='write the tables to this file, too')
    parser.add_argument('--worker', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.repeats, args.budget = 1, min(args.budget, 0.5)
    return args


def work(args: argparse.Namespace) -> None:
    """Run one section with one number of threads in this process."""
    import torch

    warnings.simplefilter('ignore')
    args.threads = args.threads[0]
    torch.set_num_threads(args.threads)
    module, _ = SECTIONS[args.sections[0]]
    result = import_module(module).run(args)
    for text in (result,) if isinstance(result, str) else result:
        print(text, flush=True)


def main() -> None:
    """Start a process for each section and number of threads, and collect the tables."""
    args = parse()
    if args.worker:
        work(args)
        return
    from measure import machine

    failed = False
    output = '# Performance\n\n' + machine(args.device)
    output += f'- {" ".join(sys.argv[1:]) or "default options"}\n'
    print(output, flush=True)
    for threads in args.threads:
        for section in args.sections:
            command = [sys.executable, __file__, '--worker', '--sections', section, '--threads', str(threads)]
            command += ['--repeats', str(args.repeats), '--budget', str(args.budget), '--device', args.device]
            command += ['--image', str(args.image)] if args.image else []
            command += ['--quick'] if args.quick else []
            # libraries with thread pools of their own read these when they are loaded, XLA the last one
            names = [f'{name}_NUM_THREADS' for name in ('OMP', 'MKL', 'OPENBLAS', 'NUMBA', 'NUMEXPR')] + ['NPROC']
            environment = {**os.environ, **dict.fromkeys(names, str(threads))}
            title = f'## {SECTIONS[section][1]}, {threads} thread(s)\n'
            print(title, flush=True)
            output += '\n' + title + '\n'
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
                for line in process.stdout or ():
                    print(line, end='', flush=True)
                    output += line
                    if args.output:
                        args.output.write_text(output)
            if process.returncode:
                failed = True
                output += f'Failed with code {process.returncode}.\n'
                print(f'Failed with code {process.returncode}.\n')
    if args.output:
        args.output.write_text(output)
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    main()
