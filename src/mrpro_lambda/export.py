"""Results as files: DICOM, NIfTI, PNG and a report, in a folder that appears complete or not at all."""

from __future__ import annotations

import glob
import json
import math
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

if sys.platform != 'win32':
    import fcntl

import nibabel
import numpy as np
import torch
from mrpro.data import IData, IHeader

from mrpro_lambda.plotting import plot_comparison, plot_filter_maps, plot_lambda_map, plot_sweep
from mrpro_lambda.reconstruct import Reconstructed

_SHOWN_FILTERS = 6


@contextmanager
def output_folder(path: str | Path) -> Iterator[Path]:
    """Provide a temporary folder that takes the place of `path` at the end.

    If the block raises an exception, which includes an interrupt from the keyboard, nothing is left. What a process
    that was killed left is removed by the next one that writes the same folder.

    Parameters
    ----------
    path
        Folder to write. It must be empty or not exist.

    Yields
    ------
        Temporary folder beside `path`.

    Raises
    ------
    ValueError
        If `path` is a file or a folder that is not empty.
    """
    path = Path(path).resolve()
    _check_empty(path)
    new_parents = [parent for parent in path.parents if not parent.exists()]  # the innermost first
    path.parent.mkdir(parents=True, exist_ok=True)
    for entry in path.parent.glob(f'.{glob.escape(path.name)}-{"[0-9a-f]" * 8}'):
        if (handle := _lock(entry)) is not None:
            shutil.rmtree(entry, ignore_errors=True)
            os.close(handle)
    temporary = path.with_name(f'.{path.name}-{secrets.token_hex(4)}')
    temporary.mkdir()
    lock = _lock(temporary)
    try:
        yield temporary
        _check_empty(path)
        if not path.exists():
            temporary.rename(path)
        else:  # perhaps the working directory or a mount point, which can not be replaced
            for entry in sorted(temporary.iterdir()):
                shutil.move(entry, path / entry.name)
            temporary.rmdir()
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # another process may have used a new folder in the meantime
            for parent in new_parents:
                parent.rmdir()
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the process ends, however it ends; `None` if another process holds it or it can not be."""
    if sys.platform == 'win32':
        return None
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if handle is not None:
            os.close(handle)
        return None
    return handle


def _check_empty(path: Path) -> None:
    """Raise an error if a folder can not be written."""
    if path.exists() and not path.is_dir():
        raise ValueError(f'The output folder must be empty or not exist: {path} is a file.')
    if path.exists() and any(path.iterdir()):
        raise ValueError(f'The output folder must be empty or not exist: {path} is not empty.')


def write_images(folder: Path, result: Reconstructed, *, complex_image: bool = False) -> bool:
    """Write the image as `dicom/` and `image.nii.gz`, the Lambda map, and figures of the middle slice.

    Coils that were not combined are combined by the root of the sum of squares. A map that is the same number
    everywhere is not written, several maps are numbered. Those of a dictionary are written to `lambda_maps/`, with one
    figure of the filters that are used most.

    Parameters
    ----------
    folder
        Existing folder.
    result
        Result of a reconstruction.
    complex_image
        Write the complex image as `image_complex.nii.gz` as well, with coils that were not combined one by one.

    Returns
    -------
        Whether the figures were written. They are left out if matplotlib is not installed.
    """
    header, dictionary_op, noise_std = result.idata.cpu().header, result.dictionary_op, result.noise_std
    # not the data of the IData, where mrpro merges equal slices
    img = result.solution.img.detach().cpu()
    magnitude = _magnitude(img)
    initial = _magnitude(result.initial_idata.data).expand_as(magnitude)
    write_dicom(folder / 'dicom', IData(magnitude, header))
    write_nifti(folder / 'image.nii.gz', magnitude, header)
    if complex_image:
        coils = img.split(1, dim=-4)
        for i, coil in enumerate(coils):
            write_nifti(folder / f'image_complex{f"_{i}" if len(coils) > 1 else ""}.nii.gz', coil, header)
    maps: list[torch.Tensor] = []
    if result.lambda_map.unique().numel() > 1:
        maps = list(result.lambda_map.detach().cpu().mean(-4, keepdim=True).expand(-1, *magnitude.shape))
    names = [f'lambda_map{f"_{i}" if len(maps) > 1 else ""}' for i in range(len(maps))]
    if maps and dictionary_op is not None:
        (folder / 'lambda_maps').mkdir()
        names = [f'lambda_maps/filter_{i:03}' for i in range(len(maps))]
    for name, values in zip(names, maps, strict=True):
        write_nifti(folder / f'{name}.nii.gz', values, header)

    slices = {'Zero-filled': _middle_slice(initial), 'Reconstruction': _middle_slice(magnitude)}
    try:
        figures = {'image': plot_comparison(slices)}
        if dictionary_op is None:
            for name, values in zip(names, maps, strict=True):
                figures[name] = plot_lambda_map(slices['Reconstruction'], _middle_slice(values), noise_std=noise_std)
        elif maps and result.solution.coefficients is not None:
            coefficients = torch.stack([_middle_slice(s) for s in result.solution.coefficients.cpu()])
            used_most = coefficients.abs().sum((-2, -1)).argsort(descending=True)[:_SHOWN_FILTERS]
            figures['filters'] = plot_filter_maps(
                _middle_slice(img),
                dictionary_op.filters.cpu(),
                coefficients,
                torch.stack([_middle_slice(values) for values in maps]),
                used_most.tolist(),
                noise_std,
                boundary=dictionary_op.boundary,
            )
    except ImportError:
        return False
    for name, figure in figures.items():
        figure.savefig(folder / f'{name}.png', dpi=150, bbox_inches='tight', pad_inches=0.03)
    return True


def write_sweep(folder: Path, result: Reconstructed) -> bool:
    """Write what a rule found at the weights that it tried, `sweep.json` and `sweep.png`. Other weights have none.

    Parameters
    ----------
    folder
        Existing folder.
    result
        Result of a reconstruction.

    Returns
    -------
        Whether the figure was written. It is left out if matplotlib is not installed.
    """
    report = result.report['weight']
    if report is None:
        return False
    (folder / 'sweep.json').write_text(json_text(report), 'utf-8')
    try:
        figure = plot_sweep(report)
    except ImportError:
        return False
    figure.savefig(folder / 'sweep.png', dpi=150)
    return True


def write_report(path: Path, result: Reconstructed, seconds: float) -> str:
    """Write the report of a result as JSON, and return a summary for people.

    Parameters
    ----------
    path
        File to write, in the folder of the images.
    result
        Result of a reconstruction.
    seconds
        Duration.
    """
    files = sorted(entry.name + '/' * entry.is_dir() for entry in [*path.parent.iterdir(), path])
    report = result.report | {'notes': result.notes, 'seconds': round(seconds, 2), 'files': files}
    path.write_text(json_text(report), 'utf-8')

    solution, fraction = result.solution, report['sampled_fraction']
    source = 'given' if report['noise_given'] else 'prewhitened' if report['prewhitened'] else 'estimated from the data'
    sampling = 'not Cartesian' if fraction is None else f'{100 * fraction:.0f} % of the measured band sampled'
    relative_noise = report['noise_relative_to_image']
    stopped: str = solution.reason
    if solution.reason == 'estimate within the tolerance':
        stopped += f': {solution.relative_estimate:.1e} assuming a size of the minimizer; NOT PROVEN'
    elif not report['certificate']['tolerance_reached']:
        stopped += f': THE TOLERANCE {report["settings"]["tolerance"]:g} WAS NOT REACHED'
    lines = {
        'file': report['file'],
        'data': f'{_shape(report["shape"])} (other, coils, k2, k1, k0), {sampling}',
        'image': f'{_shape(report["image_shape"])} (other, coils, z, y, x)',
        'noise level': f'{result.noise_std:.4g} ({source})'
        + (f', {relative_noise:.2f} times the root mean square of the image' if relative_noise is not None else ''),
        'whitening': report['whitening'],
        'model': report['model'],
        'phase': 'real and imaginary part apart (--phase)' if report['settings']['phase'] == 'on' else '',
        'weight': _weight(report['weight']),
        'trained for': report['card'].get('acquisition', ''),
        'and noise': report['card'].get('noise', ''),
        'iterations': solution.n_iterations,
        'certified gap': f'{solution.relative_gap:.1e} of the objective',
        'stopped': stopped,
        'seconds': f'{seconds:.1f}',
        'notes': f'\n{"":16}'.join(report['notes']),
        'files': ', '.join(report['files']),
    }
    return '\n'.join(f'{name:16}{value}' for name, value in lines.items() if value not in ('', None))


def json_text(value: object) -> str:
    """Format as JSON, which knows neither NaN nor Inf: there is `null` in their place."""

    def finite(value: object) -> object:
        if isinstance(value, dict):
            return {key: finite(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [finite(entry) for entry in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + '\n'


def _weight(report: Mapping[str, Any] | None) -> str:
    """Tell which weight a rule has found."""
    if report is None:
        return ''
    factors = report['factor'] if isinstance(report['factor'], list) else [report['factor']]
    flat = torch.tensor(factors, dtype=torch.float64).flatten()
    number = f'{flat.min():.3g}' + (f' to {flat.max():.3g}' if len(flat) > 1 else '')
    end = ' (AT THE END OF THOSE TRIED)' if report['at_end'] else ''
    return f'{number} times the noise level, found by {report["rule"]}{end}'


def _shape(shape: Sequence[int]) -> str:
    """Format a shape."""
    return ' x '.join(map(str, shape))


def _magnitude(img: torch.Tensor) -> torch.Tensor:
    """Return the root of the sum of squares over coils, on the CPU."""
    return img.detach().abs().square().sum(-4, keepdim=True).sqrt().cpu()


def _middle_slice(img: torch.Tensor) -> torch.Tensor:
    """Return the middle one of all slices of an image of shape `(*other, 1, z, y, x)`, shape `(y, x)`."""
    slices = img.flatten(0, -3)
    return slices[len(slices) // 2]


def write_dicom(folder: Path, idata: IData) -> None:
    """Write magnitudes as DICOM files with several frames. The rescale slope restores the values.

    Parameters
    ----------
    folder
        Folder, which must not exist.
    idata
        Image with one coil, on the CPU.
    """
    # mrpro's own normalization is one for each file, so that intensities of a series could not be compared
    largest = idata.data.abs().max().item()
    slope = float(f'{largest / 65500:.6e}') if largest > 0 else 1.0  # a DICOM number has at most 16 characters
    idata.to_dicom_folder(folder, series_description='mrpro_lambda', rescale_slope=slope, normalize_data=False)


def write_nifti(path: Path, img: torch.Tensor, header: IHeader) -> None:
    """Write an image as NIfTI-1 file, with slices along the third axis and all other axes as the fourth.

    Voxel sizes are in mm, and orientation and position are those of the header.

    Parameters
    ----------
    path
        File that ends with `.nii` or `.nii.gz`.
    img
        Real or complex image with one coil, shape `(*other, 1, z, y, x)`.
    header
        Header, on the CPU.
    """
    other = img.shape[:-4]
    stack = img.detach().cpu().reshape(-1, *img.shape[-3:]).numpy()
    n_z, n_y, n_x = stack.shape[1:]
    resolution = [1e3 * float(r) for r in (header.resolution.x, header.resolution.y, header.resolution.z)]
    center = 1e3 * torch.stack([_per_image(p, other) for p in header.position.zyx[::-1]], -1).double().numpy()
    directions = header.orientation.as_directions()[::-1]
    vectors = [torch.stack([c.flatten()[0] for c in d.zyx[::-1]]).double().numpy() for d in directions]
    axes = [vector * r for vector, r in zip(vectors, resolution, strict=True)]

    first = center[0]
    _, label, counts = torch.unique(_per_image(header.idx.slice, other), return_inverse=True, return_counts=True)
    if n_z == 1 and len(counts) > 1 and bool((counts == counts[0]).all()):
        order = label.argsort(stable=True).reshape(len(counts), -1).numpy()
        height = center[order[:, 0]] @ axes[2]
        order = order[np.argsort(height, kind='stable')]
        first, last = center[order[0, 0]], center[order[-1, 0]]
        if np.linalg.norm(last - first) > 1e-3:
            axes[2] = (last - first) / (len(order) - 1)
        volume = stack[order][:, :, 0].transpose(3, 2, 0, 1)
    else:
        volume = stack.transpose(3, 2, 1, 0)
        first = first - axes[2] * (n_z // 2)
    if volume.shape[-1] == 1:
        volume = volume[..., 0]

    affine = np.eye(4)
    affine[:3, :3] = np.stack(axes, -1)
    affine[:3, 3] = first - axes[0] * (n_x // 2) - axes[1] * (n_y // 2)
    affine[:2] *= -1  # from the axes of ISMRMRD and DICOM (left, posterior, superior) to (right, anterior, superior)
    nifti = nibabel.Nifti1Image(np.ascontiguousarray(volume), affine)
    nifti.header.set_xyzt_units('mm')
    nibabel.save(nifti, path)


def _per_image(values: torch.Tensor, other: torch.Size) -> torch.Tensor:
    """Broadcast values of shape `(*other, 1, 1, 1, 1)` to one for each image."""
    return values.reshape(values.shape[:-4]).expand(other).flatten()
