"""Residual of reconstructions of real data relative to the noise, beside that of a simulation.

The reconstruction is taken as the truth of the simulation, with new white noise of the estimated level and the same
network. Where the real noise is as assumed, the two ratios agree.

    python benchmarks/residual.py --data-root DIR [--brain brain.h5]

The file of `--brain` is made by `examples/convert_sigpy_brain.py`.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from mrpro.data import CsmData, KData
from mrpro_lambda.datasets import complex_noise
from mrpro_lambda.pretrained import load_pretrained
from mrpro_lambda.raw_data import read_kdata, upsample
from mrpro_lambda.reconstruction import LearnedReconstruction


def ratios(kdata: KData, name: str) -> tuple[float, float, float]:
    """Return the noise level, and the residual relative to it as measured and as simulated."""
    csm = None if kdata.data.shape[-4] == 1 else CsmData.from_idata_inati
    reconstruction = LearnedReconstruction(kdata, csm=csm, model=load_pretrained(name))
    result = reconstruction.solve(kdata)
    csm_op, noise_std = reconstruction.csm_op, result.noise_std
    if noise_std is None:
        raise ValueError(f'The model {name} does not use the noise level.')
    acquisition_op = reconstruction.fourier_op if csm_op is None else reconstruction.fourier_op @ csm_op

    (signal,) = acquisition_op(result.idata.data)
    measured = (signal - kdata.data).abs().square().mean().sqrt().item() / noise_std
    data = signal + complex_noise(signal.shape, noise_std, torch.Generator().manual_seed(0))
    (initial_image,) = acquisition_op.adjoint(data)
    solution = reconstruction.model.solve(data, acquisition_op, initial_image, noise_std=noise_std)
    simulated = (acquisition_op(solution.img)[0] - data).abs().square().mean().sqrt().item() / noise_std
    return noise_std, measured, simulated


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--brain', type=Path)
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    print('| | noise level | residual / noise, measured | simulated |\n|---|---|---|---|')
    for contrast in ('FSE', 'FLAIR'):
        kdata = read_kdata(args.data_root / f'low-field-brain/7A/0.055T_{contrast}.h5', 'cartesian')
        print(f'| {contrast} | ' + ' | '.join(f'{v:.3g}' for v in ratios(upsample(kdata, 2), 'tv-low-field')) + ' |')
    if args.brain is not None:
        kdata = read_kdata(args.brain, 'ismrmrd')
        print('| 8 coils, R = 8 | ' + ' | '.join(f'{v:.3g}' for v in ratios(kdata, 'tv-variable-density')) + ' |')


if __name__ == '__main__':
    main()
