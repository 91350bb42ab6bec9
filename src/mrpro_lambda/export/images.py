"""Images of a result as files."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import torch
from mrpro.data import IHeader

from mrpro_lambda.export.dicom import DicomKind, write_dicom
from mrpro_lambda.export.ImageFiles import ImageFiles, Kind
from mrpro_lambda.export.movie import write_movie
from mrpro_lambda.export.nifti import write_nifti
from mrpro_lambda.export.report import json_text
from mrpro_lambda.export.Volumes import Volumes
from mrpro_lambda.plotting import plot_comparison, plot_filter_maps, plot_lambda_map, plot_residual
from mrpro_lambda.reconstruct import Reconstructed

_SHOWN_FILTERS = 6
_SERIES: dict[DicomKind, int] = {'magnitude': 1, 'residual': 2, 'map': 10, 'phase': 50}
"""Number of the first DICOM series of each kind."""


def write_images(folder: Path, result: Reconstructed, files: ImageFiles | None = None) -> bool:
    """Write images as NIfTI and DICOM, figures of the middle slice, and a movie of a series.

    Magnitude, phase, complex image, map and residual are `image`, `image_phase`, `image_complex`, `lambda_map` and
    `residual`, with `.nii.gz` and as folders in `dicom/`. Of coils that were not combined, magnitudes and residuals are
    combined by the root of the sum and of the mean of squares; phases and complex images are numbered. A map that is
    the same number everywhere is not written, several maps are numbered. Those of a dictionary are written to
    `lambda_maps/`, with one figure of the filters that are used most.

    Parameters
    ----------
    folder
        Existing folder.
    result
        Result of a reconstruction. What files can not tell is added to its notes.
    files
        Choice of the files. Default: those of `ImageFiles()`.

    Returns
    -------
        Whether the figures were written. They are left out if matplotlib is not installed.

    Warns
    -----
    UserWarning
        For each of the notes.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        written = _write_images(folder, result, ImageFiles() if files is None else files)
    for note in {str(w.message): None for w in caught if issubclass(w.category, UserWarning)}:
        result.notes.append(note)
        warnings.warn(note, stacklevel=2)
    return written


def _write_images(folder: Path, result: Reconstructed, files: ImageFiles) -> bool:
    """Write images."""
    header, dictionary_op, noise_std = result.idata.cpu().header, result.dictionary_op, result.noise_std
    # not the data of the IData, where mrpro merges equal slices
    img = _for_each_header(result.img.detach().cpu(), header)
    magnitude = img.abs().square().sum(-4, keepdim=True).sqrt()
    images: list[tuple[Kind, str, torch.Tensor]] = []
    for kind in files.kinds:
        if kind == 'magnitude':
            images.append((kind, 'image', magnitude))
        elif kind == 'map':
            images += [(kind, name, values) for name, values in _maps(result, magnitude).items()]
        elif kind != 'residual':
            images += [(kind, f'image_{kind}{i}', coil) for i, coil in _numbered(img.split(1, dim=-4)).items()]
        elif result.residual is None:
            warnings.warn('The result has no residual to write.', stacklevel=1)
        else:
            residual = result.residual.cpu().abs().square().mean(-4, keepdim=True).sqrt()
            images.append((kind, 'residual', residual.expand_as(magnitude)))

    run = hashlib.sha256(json_text(result.report | {'file': None}).encode() + img.numpy().tobytes()).hexdigest()
    description = f'Model: {result.report["model"]}. Noise level: {noise_std:.4g}.'
    numbers = dict(_SERIES)
    for kind, name, values in images:
        values = values.angle() if kind == 'phase' else values
        (folder / name).parent.mkdir(exist_ok=True)
        write_nifti(folder / f'{name}.nii.gz', values, header)
        if files.dicom is None or kind == 'complex' or '/' in name:
            continue
        write_dicom(
            folder / 'dicom' / name,
            values,
            header,
            kind=kind,
            storage=files.dicom,
            kheader=result.kheader,
            run=run,
            number=numbers[kind],
            description=description,
        )
        numbers[kind] += 1

    volumes = Volumes.of(magnitude, header)
    aspect = float(header.resolution.y) / float(header.resolution.x)
    if files.movie and len(volumes.img) > 1:
        write_movie(folder / 'movie.gif', volumes.middle(), aspect=aspect)
    initial = result.initial_idata.data.detach().cpu().abs().square().sum(-4, keepdim=True).sqrt().expand_as(magnitude)
    slices = {'Zero-filled': volumes.shown(initial), 'Reconstruction': volumes.shown(magnitude)}
    try:
        figures = {'image': plot_comparison(slices, aspect=aspect)}
        for kind, name, values in images:
            if kind == 'residual':
                figures[name] = plot_residual(volumes.shown(values), aspect=aspect)
            elif kind == 'map' and dictionary_op is None:
                figures[name] = plot_lambda_map(
                    slices['Reconstruction'], volumes.shown(values), noise_std=noise_std, aspect=aspect
                )
        maps = [volumes.shown(values) for kind, _, values in images if kind == 'map']
        found = None if result.solution is None else result.solution.coefficients
        if maps and dictionary_op is not None and found is not None:
            coefficients = torch.stack([volumes.shown(s) for s in found.cpu()])
            used_most = coefficients.abs().sum((-2, -1)).argsort(descending=True)[:_SHOWN_FILTERS]
            figures['filters'] = plot_filter_maps(
                volumes.shown(img),
                dictionary_op.filters.cpu(),
                coefficients,
                torch.stack(maps),
                used_most.tolist(),
                noise_std,
                boundary=dictionary_op.boundary,
            )
    except ImportError:
        return False
    for name, figure in figures.items():
        figure.savefig(folder / f'{name}.png', dpi=150, bbox_inches='tight', pad_inches=0.03)
    return True


def _for_each_header(img: torch.Tensor, header: IHeader) -> torch.Tensor:
    """Return an image for each entry of the header: mrpro keeps one of the slices of data that are all the same."""
    other = torch.broadcast_shapes(img.shape[:-4], header.position.x.shape[:-4], header.idx.slice.shape[:-4])
    return img.expand(*other, *img.shape[-4:])


def _maps(result: Reconstructed, magnitude: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the Lambda maps by the names of their files; none without a map, or if it is a number."""
    if result.lambda_map is None or result.lambda_map.unique().numel() == 1:
        return {}
    maps = _numbered(result.lambda_map.detach().cpu().mean(-4, keepdim=True).expand(-1, *magnitude.shape))
    if result.dictionary_op is None:
        return {f'lambda_map{i}': values for i, values in maps.items()}
    return {f'lambda_maps/filter_{i:03}': values for i, values in enumerate(maps.values())}


def _numbered(images: torch.Tensor | tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """Return images by the ends of their names, which are numbers if there are several."""
    return {f'_{i}' if len(images) > 1 else '': img for i, img in enumerate(images)}
