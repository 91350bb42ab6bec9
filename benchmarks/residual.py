"""Residual of reconstructions of real data relative to the noise, beside that of a simulation.

The reconstruction is taken as the truth of the simulation, with new noise of the estimated level and the same network.
Where the real noise is as assumed, the two ratios agree. They are printed for all samples and for bands of k-space
along the phase encoding, without and with whitening from the background; simulated noise is white after the whitening.

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
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.pretrained import load_pretrained
from mrpro_lambda.raw_data import read_kdata, upsample
from mrpro_lambda.reconstruction import LearnedReconstruction
from mrpro_lambda.reconstruction.LearnedReconstruction import LearnedSolution

N_BANDS = 6


def ratios(
    kdata: KData, model: LambdaMapModel, *, whiten: bool
) -> tuple[LearnedSolution, float, list[float], list[float]]:
    """Return the result, the noise level, and the residual relative to it as measured and as simulated.

    The residuals are those of all samples, and in bands.
    """
    csm = None if kdata.data.shape[-4] == 1 else CsmData.from_idata_inati
    reconstruction = LearnedReconstruction(kdata, csm=csm, model=model, whiten_background=whiten)
    result = reconstruction.solve(kdata)
    csm_op, noise_std = reconstruction.csm_op, result.noise_std
    if noise_std is None:
        raise ValueError('The model does not use the noise level.')
    acquisition_op = reconstruction.fourier_op if csm_op is None else reconstruction.fourier_op @ csm_op
    weight = torch.ones(1, 1, 1, 1) if result.noise_weight is None else result.noise_weight
    measured_data = kdata.data.abs() > 1e-9 * kdata.data.abs().max()  # without the lines that are empty

    def in_bands(residual: torch.Tensor) -> list[float]:
        energy = (weight * residual / noise_std).abs().square()
        ky = kdata.traj.ky.expand_as(energy)
        band = ((ky - ky.min()) / (ky.max() - ky.min()) * N_BANDS).long().clamp_max(N_BANDS - 1)
        selected = [measured_data, *(measured_data & (band == b) for b in range(N_BANDS))]
        return [energy[s].mean().sqrt().item() for s in selected]

    (signal,) = acquisition_op(result.idata.data)
    measured = in_bands(signal - kdata.data)
    noise = complex_noise(signal.shape, noise_std, torch.Generator().manual_seed(0))
    data = signal + torch.where(measured_data, noise / weight.clamp_min(1e-9), 0)
    (initial_image,) = acquisition_op.adjoint(data)
    weighted_op = acquisition_op if result.noise_weight is None else weight * acquisition_op
    solution = reconstruction.model.solve(weight * data, weighted_op, initial_image, noise_std=noise_std)
    return result, noise_std, measured, in_bands(acquisition_op(solution.img)[0] - data)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data-root', type=Path, required=True)
    parser.add_argument('--brain', type=Path)
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    bands = ' | '.join(f'band {b + 1}' for b in range(N_BANDS))
    print(f'| | whitening | noise level | residual / noise | all | {bands} |\n' + '|---' * (5 + N_BANDS) + '|')

    def show(kdata: KData, label: str, name: str, *, whiten: bool) -> None:
        _, noise_std, *rows = ratios(kdata, load_pretrained(name), whiten=whiten)
        for kind, row in zip(('measured', 'simulated'), rows, strict=True):
            values = ' | '.join(f'{value:.2f}' for value in row)
            print(f'| {label} | {"background" if whiten else "none"} | {noise_std:.3g} | {kind} | {values} |')

    for contrast in ('FSE', 'FLAIR'):
        kdata = read_kdata(args.data_root / f'low-field-brain/7A/0.055T_{contrast}.h5', 'cartesian')
        for whiten in (False, True):
            show(upsample(kdata, 2), contrast, 'tv-low-field', whiten=whiten)
    if args.brain is not None:
        show(read_kdata(args.brain, 'ismrmrd'), '8 coils, R = 8', 'tv-variable-density', whiten=False)


if __name__ == '__main__':
    main()
