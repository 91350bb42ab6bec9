"""Readers of magnitude images."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.io
import torch
from mrpro.utils import pad_or_crop

from mrpro_lambda.datasets.ImageSource import ImageSource


def read_images(source: ImageSource | str | Path) -> list[torch.Tensor]:
    """Read magnitude images from a file.

    - `.mat`: key `image`, shape `(y, x)` or `(y, x, slices)`,
    - `.nii`, `.nii.gz`: volume. Images are sagittal, coronal or axial, with superior (or, if axial, anterior) at the
      first row and left or posterior at the first column,
    - `.npy`: shape `(y, x)` or `(n, y, x)`,
    - `.npz`: key `images`, shape `(n, y, x)`, and optionally `ids`, shape `(n,)`.

    Pixels are taken to be square.

    Parameters
    ----------
    source
        File, and which of its images to read in which size.

    Returns
    -------
        Images, each float32, of shape `(y, x)` and with a maximum of 1. With `n_frames`, series of shape `(n_frames, y,
        x)`.

    Raises
    ------
    ValueError
        If the file does not hold magnitude images as described, or the selection is not in it.
    """
    if not isinstance(source, ImageSource):
        source = ImageSource(source)
    if not Path(source.path).is_file():
        raise ValueError(f'path must be an existing file, got {source.path}.')
    try:
        volume, ids = _read_volume(source)
    except Exception as error:  # the libraries have many kinds of it for a file that is damaged
        raise ValueError(f'{source.path} can not be read: {error}') from error
    what = f'{source.path} has {volume.dtype} of shape {volume.shape}'
    if volume.dtype.kind not in 'biuf' or volume.ndim not in (2, 3) or not volume.size:
        raise ValueError(f'Magnitude images must be a real array with 2 or 3 axes, {what}.')
    with np.errstate(over='ignore'):  # what becomes infinite is an error
        volume = volume.astype(np.float32)
    if not np.isfinite(volume).all() or volume.min() < 0:
        raise ValueError(f'Magnitude images must be finite and non-negative, {what}.')
    threshold = 0.1 * volume.max()
    if volume.ndim == 2:
        volume = volume[None]
    selected = _select(source, len(volume), ids, what)
    images = []
    for index in selected:
        image = volume[index]
        if source.min_tissue and (image > threshold).mean() < source.min_tissue:
            continue
        if not image.any():
            raise ValueError(
                f'Images must not be zero everywhere, image {index} is: {what}. Exclude it by slices or min_tissue.'
            )
        images.append(torch.tensor(image))
    if not images:
        raise ValueError(f'At least one image must be selected, {source} selects none: {what}.')
    if source.n_frames is None:
        return [_resize(image, source.size) for image in images]
    if len(images) % source.n_frames:
        raise ValueError(
            f'The selected images must be whole series of n_frames={source.n_frames}, got {len(images)}: {what}.'
        )
    series = [torch.stack(images[i : i + source.n_frames]) for i in range(0, len(images), source.n_frames)]
    return [_resize(frames, source.size) for frames in series]


def _read_volume(source: ImageSource) -> tuple[np.ndarray, list[str] | None]:
    """Read an array with the images along the first axis, and the ids of the images if there are any."""
    path, ids = Path(source.path), None
    name = path.name.lower()
    if name.endswith('.npy'):
        with path.open('rb') as binary:  # numpy would leave a damaged file open
            volume, axis = np.load(binary, allow_pickle=False), 0
    elif name.endswith('.npz'):
        with path.open('rb') as binary, np.load(binary, allow_pickle=False) as file:
            volume, axis = _get(file, 'images', path), 0
            ids = [str(i) for i in file['ids']] if 'ids' in file else None
        if ids is not None and len(ids) != len(volume):
            raise ValueError(f'{path} must have one id per image, got {len(ids)} for images of shape {volume.shape}.')
    elif name.endswith('.mat'):
        try:
            content = scipy.io.loadmat(path)
        except NotImplementedError as error:
            raise ValueError(f'Files of MATLAB 7.3 must be saved in an older format first, got {path}.') from error
        volume, axis = _get(content, 'image', path), -1
    elif name.endswith(('.nii', '.nii.gz')):
        import nibabel

        nifti = nibabel.as_closest_canonical(nibabel.load(path))
        volume, axis = np.asanyarray(nifti.dataobj), -1
    else:
        raise ValueError(f'path must end with .mat, .nii, .nii.gz, .npy or .npz, got {path}.')

    if volume.ndim == 3:
        axis = axis if source.axis is None else source.axis
        if not -3 <= axis < 3:
            raise ValueError(f'axis must be in [-3, 3), got {axis} for shape {volume.shape} in {path}.')
        if ids is not None and axis % 3 != 0:
            raise ValueError(f'axis must be 0 where images have ids, got {axis} for shape {volume.shape} in {path}.')
        volume = np.moveaxis(volume, axis, 0)
        if name.endswith(('.nii', '.nii.gz')):
            volume = volume.swapaxes(1, 2)[:, ::-1]
    return volume, ids


def _get(content: Mapping[str, np.ndarray], key: str, path: Path) -> np.ndarray:
    """Get an array by its name."""
    if key not in content:
        keys = [k for k in content if not k.startswith('__')]
        raise ValueError(f'{path} must have the key {key!r}, it has {keys}.')
    return content[key]


def _select(source: ImageSource, n_images: int, ids: list[str] | None, what: str) -> list[int]:
    """Get the indices of the selected images."""
    indices = list(range(n_images))
    if source.ids is not None:
        if ids is None:
            raise ValueError(f'ids select images of .npz files with the key ids only, got {source.ids}: {what}.')
        patterns = {wanted: re.compile(re.escape(wanted) + r'($|[^0-9a-zA-Z])') for wanted in source.ids}
        missing = [wanted for wanted, pattern in patterns.items() if not any(map(pattern.match, ids))]
        if missing:
            raise ValueError(f'All ids must be in the file, {missing} are not: {what} and ids such as {ids[0]!r}.')
        return [i for i in indices if any(pattern.match(ids[i]) for pattern in patterns.values())]
    if isinstance(source.slices, slice):
        return indices[source.slices]
    if source.slices is not None:
        if not all(-n_images <= i < n_images for i in source.slices):
            raise ValueError(f'slices must be in [-{n_images}, {n_images}), got {list(source.slices)}: {what}.')
        return [indices[i] for i in source.slices]
    return indices


def _resize(image: torch.Tensor, size: int | None) -> torch.Tensor:
    """Resample and pad to a square, and scale to maximum 1."""
    if size is not None:
        shape = [max(1, round(size * n / max(image.shape[-2:]))) for n in image.shape[-2:]]
        if shape != list(image.shape[-2:]):
            frames = image.reshape(-1, 1, *image.shape[-2:])
            frames = torch.nn.functional.interpolate(frames, size=shape, mode='bicubic', antialias=True)
            image = frames.reshape(*image.shape[:-2], *shape)
        image = pad_or_crop(image.clamp_min(0), (size, size), dim=(-2, -1))  # bicubic interpolation overshoots
    return image / image.max()
