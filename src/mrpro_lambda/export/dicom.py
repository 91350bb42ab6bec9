"""Images as DICOM files that viewers and archives take."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence as Several
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from mrpro.data import IHeader, KHeader
from pydicom import Dataset, Sequence
from pydicom.dataset import FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from mrpro_lambda import __version__
from mrpro_lambda.checks import check_type
from mrpro_lambda.export.enhanced_groups import enhanced_groups
from mrpro_lambda.export.scan_attributes import code, scan_attributes, short_number
from mrpro_lambda.export.Volumes import Volumes, per_image
from mrpro_lambda.plotting import gray_window

DicomKind = Literal['magnitude', 'phase', 'map', 'residual']
Storage = Literal['single', 'enhanced']


class _Meaning(NamedTuple):
    """What the values of an image are."""

    title: str
    """Quantity."""
    value: str
    """Third value of the image type."""
    component: str
    """Complex image component."""
    unit: tuple[str, str]
    """Code and meaning in the Unified Code for Units of Measure."""


_NO_UNIT = ('1', 'no units')
_MEANINGS: dict[DicomKind, _Meaning] = {
    'magnitude': _Meaning('Magnitude', 'M', 'MAGNITUDE', _NO_UNIT),
    'phase': _Meaning('Phase', 'P', 'PHASE', ('rad', 'radian')),
    'map': _Meaning('Lambda map', 'OTHER', 'MAGNITUDE', _NO_UNIT),
    'residual': _Meaning('Residual / noise', 'OTHER', 'MAGNITUDE', _NO_UNIT),
}


def write_dicom(
    folder: Path,
    img: torch.Tensor,
    header: IHeader,
    *,
    kind: DicomKind = 'magnitude',
    storage: Storage = 'single',
    kheader: KHeader | None = None,
    run: str | None = None,
    number: int = 1,
    description: str = '',
) -> None:
    r"""Write an image as one series of DICOM files.

    Rows of pixels are along y and columns along x, as in pictures. Values are stored in 16 bits with one scale for the
    series. `RealWorldValueSlope` restores them. `RescaleSlope`, which more programs know, restores them times the first
    of the factors :math:`1, 10^3, 10^6, \dots` with which white is at least 100, as viewers set windows in steps of 1.

    The images are called derived, as they were not made by the scanner, whose software alone can tell everything that
    DICOM demands of an original. Software and manufacturer are those of the image, the scanner is contributing
    equipment. Identifiers are made from `run` or from the image: the same result gives the same bytes. A scan that
    names its study and its frame of reference keeps them.

    Parameters
    ----------
    folder
        Folder, which must not exist.
    img
        Real image with one coil, shape `(*other, 1, z, y, x)`. All kinds but phases are not negative.
    header
        Header, on the CPU.
    kind
        What the values are: magnitude, phase in radian, Lambda map, or residual in units of the noise.
    storage
        `'single'`: a file for each slice (MR Image Storage), which all viewers take. `'enhanced'`: one file for all
        slices (Enhanced MR Image Storage).
    kheader
        Header of the raw data with patient, study and scanner.
    run
        Text that the series of a reconstruction share with no other reconstruction. `None`: a hash of the image.
    number
        Number of the series, to which 100 times that of the measurement is added, if `kheader` has one.
    description
        How the image was made.

    Raises
    ------
    ValueError
        If kind or storage is not one of these, if the image is not real, has several coils, NaN or Inf, or has negative
        values that its kind has not.
    """
    check_type('header', header, IHeader)
    for name, value, allowed in (('kind', kind, DicomKind), ('storage', storage, Storage)):
        if value not in get_args(allowed):
            raise ValueError(f'{name} must be one of {get_args(allowed)}, got {value!r}.')
    volumes = Volumes.of(img, header)
    if img.is_complex() or (kind != 'phase' and bool((img < 0).any())):
        rule = 'real' if kind == 'phase' else 'real and not negative'
        raise ValueError(f'A {kind} must be {rule}, got {img.dtype} of shape {tuple(img.shape)}.')
    if run is None:
        run = hashlib.sha256(volumes.img.numpy().tobytes() + volumes.corner.tobytes()).hexdigest()
    meaning, series = _MEANINGS[kind], [run, kind, str(number), storage, __version__]
    stored, pixels = _pixels(volumes.img.double().numpy(), gray_window(img), meaning, signed=kind == 'phase')

    shared = scan_attributes(kheader, run)
    shared.update(pixels)
    shared.SeriesInstanceUID = generate_uid(entropy_srcs=[*series, 'series'])
    shared.SeriesNumber = number + 100 * (shared.SeriesNumber or 0)
    shared.SeriesDescription = f'mrpro_lambda {meaning.title}'
    shared.ImageComments = (
        f'{meaning.title}. Made by research software, mrpro_lambda {__version__}: not for clinical use.'
    )
    shared.DerivationDescription = f'Reconstructed from k-space. {description}'.strip()[:1024]
    shared.BurnedInAnnotation = 'NO'
    shared.LossyImageCompression = '00'
    shared.ComplexImageComponent = meaning.component

    frames = [_frame(volumes, header, img.shape[:-4], *frame) for frame in np.ndindex(*volumes.index.shape)]
    folder.mkdir(parents=True)
    if storage == 'enhanced':
        shared.ImageType = ['DERIVED', 'PRIMARY', meaning.value, 'NONE']
        shared.SOPInstanceUID = generate_uid(entropy_srcs=[*series, 'instance'])
        organization = generate_uid(entropy_srcs=[*series, 'dimensions'])
        dataset = enhanced_groups(shared, frames, volumes.index.shape[1], organization)
        _save(folder / 'image.dcm', dataset, stored, EnhancedMRImageStorage)
        return
    shared.ImageType = ['DERIVED', 'PRIMARY', meaning.value]
    shared.ScanningSequence, shared.SequenceVariant, shared.ScanOptions = 'RM', 'NONE', ''
    shared.EchoTrainLength, shared.Laterality = None, ''
    for frame, pixel_data in zip(frames, stored, strict=True):
        dataset = Dataset()
        dataset.update(shared)
        dataset.update(frame)
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*series, str(frame.InstanceNumber)])
        name = f'{frame.InstanceNumber:0{max(4, len(str(len(frames))))}}.dcm'
        _save(folder / name, dataset, pixel_data, MRImageStorage)


def _save(path: Path, dataset: Dataset, stored: np.ndarray, sop_class: str) -> None:
    """Write a file."""
    dataset.SOPClassUID = sop_class
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.PixelData = stored.tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


def _pixels(values: np.ndarray, white: float, meaning: _Meaning, *, signed: bool) -> tuple[np.ndarray, Dataset]:
    """Return the stored values, shape `(n_frames, y, x)`, with their scale and window."""
    largest, low = values.max(), 0.0
    if signed:
        largest = white = math.pi
        low = -white
    factor = 1e3 ** max(0, math.ceil(math.log10(100 / white) / 3))
    rescale = short_number(factor * largest / (32767 if signed else 65500)) if largest > 0 else '1'
    slope = float(rescale) / factor  # of the number that is written
    stored = np.rint(values / slope).astype('<i2' if signed else '<u2')

    dataset = Dataset()
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = 'MONOCHROME2'
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(signed)
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = '0', rescale, 'US'
    dataset.WindowCenter = short_number(factor * (white + low) / 2)
    dataset.WindowWidth = short_number(factor * (white - low))
    dataset.VOILUTFunction = 'LINEAR_EXACT'
    mapping, vr = Dataset(), 'SS' if signed else 'US'
    mapping.add_new('RealWorldValueFirstValueMapped', vr, -32768 if signed else 0)
    mapping.add_new('RealWorldValueLastValueMapped', vr, 32767 if signed else 65535)
    mapping.RealWorldValueIntercept, mapping.RealWorldValueSlope = 0.0, slope
    mapping.LUTExplanation = mapping.LUTLabel = meaning.title
    mapping.MeasurementUnitsCodeSequence = code(meaning.unit[0], 'UCUM', meaning.unit[1])
    dataset.RealWorldValueMappingSequence = Sequence([mapping])
    return stored.reshape(-1, *stored.shape[-2:]), dataset


def _frame(volumes: Volumes, header: IHeader, other: torch.Size, volume: int, position: int) -> Dataset:
    """Return place, number and parameters of a slice, in mm, ms and degree."""
    axes, image = volumes.axes[volume, position], int(volumes.index[volume, position])
    lengths = np.linalg.norm(axes, axis=-1)
    x, y = axes[:2] / lengths[:2, None]
    normal = np.cross(x, y)
    n_volumes, n_slices = volumes.index.shape

    dataset = Dataset()
    dataset.InstanceNumber = volume * n_slices + position + 1
    dataset.PixelSpacing = [short_number(lengths[1]), short_number(lengths[0])]  # the distance between rows is first
    dataset.SliceThickness = short_number(lengths[2])
    dataset.SpacingBetweenSlices = short_number(float(np.linalg.norm(volumes.step)))
    dataset.ImagePositionPatient = [short_number(v) for v in volumes.corner[volume, position]]
    dataset.ImageOrientationPatient = [short_number(round(v, 7)) for v in (*x, *y)]
    dataset.SliceLocation = short_number(volumes.corner[volume, position] @ normal)
    dataset.MRAcquisitionType = '3D' if len(np.unique(volumes.index[0])) < n_slices else '2D'
    dataset.AcquisitionNumber = volume + 1
    if n_volumes > 1:
        dataset.TemporalPositionIdentifier, dataset.NumberOfTemporalPositions = volume + 1, n_volumes

    contrast = int(per_image(header.idx.contrast, other)[image])
    dataset.EchoNumbers = contrast + 1
    dataset.EchoTime = dataset.RepetitionTime = None  # unknown, but they must be there
    for name, values, factor in (
        ('EchoTime', header.te, 1e3),
        ('RepetitionTime', header.tr, 1e3),
        ('FlipAngle', header.fa, 180 / math.pi),
    ):
        value = _parameter(values, other, image, contrast if name == 'EchoTime' else None)
        if value is not None:
            setattr(dataset, name, short_number(factor * value))
    # scanners state a time of inversion where there is none; those that differ between images are true
    if isinstance(header.ti, torch.Tensor) and header.ti.unique().numel() > 1:
        dataset.ScanningSequence = ['RM', 'IR']
        dataset.InversionTime = short_number(1e3 * per_image(header.ti, other)[image].item())
    return dataset


def _parameter(
    values: Several[float] | torch.Tensor, other: torch.Size, image: int, contrast: int | None
) -> float | None:
    """Return the parameter of an image, `None` if it is not known which of several it is."""
    if isinstance(values, torch.Tensor) and values.ndim > 3:
        return per_image(values, other)[image].item()
    values = torch.as_tensor(values).flatten().tolist()
    if len(values) == 1:
        return values[0]
    return values[contrast] if contrast is not None and contrast < len(values) else None
