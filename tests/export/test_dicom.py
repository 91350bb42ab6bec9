"""Tests of what DICOM files hold besides the geometry."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.export import write_dicom
from mrpro_lambda.export.dicom import DicomKind, Storage
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage

from tests.export.cases import CENTER, SLICE, header, kheader

# From PS3.3, A.4 and A.36, for derived images: attributes that must have a value, and that must be there.
TYPE_1 = {
    *('SOPClassUID', 'SOPInstanceUID', 'StudyInstanceUID', 'SeriesInstanceUID', 'FrameOfReferenceUID', 'Modality'),
    *('ImageType', 'SamplesPerPixel', 'PhotometricInterpretation', 'Rows', 'Columns', 'BitsAllocated', 'BitsStored'),
    *('HighBit', 'PixelRepresentation', 'PixelData'),
}
TYPE_2 = {
    *('PatientName', 'PatientID', 'PatientBirthDate', 'PatientSex', 'StudyDate', 'StudyTime', 'StudyID'),
    *('ReferringPhysicianName', 'AccessionNumber', 'SeriesNumber', 'InstanceNumber', 'PositionReferenceIndicator'),
    *('Manufacturer', 'PatientPosition'),
}
SINGLE = {
    *('ImagePositionPatient', 'ImageOrientationPatient', 'PixelSpacing', 'ScanningSequence', 'SequenceVariant'),
    *('WindowCenter', 'WindowWidth'),
}
SINGLE_2 = {'SliceThickness', 'ScanOptions', 'MRAcquisitionType', 'EchoTime', 'RepetitionTime', 'EchoTrainLength'}
ENHANCED = {
    *('SharedFunctionalGroupsSequence', 'PerFrameFunctionalGroupsSequence', 'NumberOfFrames', 'ContentDate'),
    *('ContentTime', 'DimensionOrganizationSequence', 'DimensionIndexSequence', 'ManufacturerModelName'),
    *('DeviceSerialNumber', 'SoftwareVersions', 'ContentQualification', 'PixelPresentation', 'VolumetricProperties'),
    *('VolumeBasedCalculationTechnique', 'ComplexImageComponent', 'AcquisitionContrast', 'BurnedInAnnotation'),
    *('LossyImageCompression', 'PresentationLUTShape', 'SeriesNumber', 'InstanceNumber', 'Manufacturer'),
}
GROUPS = {
    *('FrameContent', 'PlanePosition', 'PlaneOrientation', 'PixelMeasures', 'FrameAnatomy', 'MRImageFrameType'),
    *('PixelValueTransformation', 'FrameVOILUT', 'RealWorldValueMapping'),
}
KINDS: list[DicomKind] = ['magnitude', 'phase', 'map', 'residual']


def images(kind: DicomKind = 'magnitude', scale: float = 1.0) -> torch.Tensor:
    """Two slices at two times."""
    values = RandomGenerator(seed=3).float32_tensor((4, 1, 1, 8, 10), low=0.0, high=scale)
    return (6 * values / scale - 3) if kind == 'phase' else values


def write(folder: Path, img: torch.Tensor | None = None, **options: Any) -> list[pydicom.FileDataset]:
    img = images() if img is None else img
    heights = torch.tensor([0.0, 1.0, 0.0, 1.0])
    write_dicom(folder, img, header(CENTER + 0.007 * heights[:, None] * SLICE, [0, 1, 0, 1]), **options)
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize('kind', KINDS)
def test_attributes_of_single_slices(tmp_path: Path, kind: DicomKind) -> None:
    files = write(tmp_path / 'dicom', images(kind), kind=kind)
    assert len(files) == 4
    for i, file in enumerate(files):
        assert file.SOPClassUID == file.file_meta.MediaStorageSOPClassUID == MRImageStorage
        assert file.SOPInstanceUID == file.file_meta.MediaStorageSOPInstanceUID
        assert not [name for name in TYPE_1 | SINGLE if file.get(name) in (None, '')]
        assert set(file.dir()) >= TYPE_2 | SINGLE_2
        assert file.ImageType[:2] == ['DERIVED', 'PRIMARY']
        assert file.InstanceNumber == i + 1
        assert (file.TemporalPositionIdentifier, file.NumberOfTemporalPositions) == (i // 2 + 1, 2)
        assert (file.SliceThickness, file.SpacingBetweenSlices) == (5, 7)
        assert 'not for clinical use' in file.ImageComments
    assert len({file.SOPInstanceUID for file in files}) == 4
    assert files[1].SliceLocation - files[0].SliceLocation == pytest.approx(7)
    for name in ('StudyInstanceUID', 'SeriesInstanceUID', 'FrameOfReferenceUID'):
        assert len({file[name].value for file in files}) == 1


@pytest.mark.parametrize('kind', KINDS)
def test_attributes_of_enhanced_images(tmp_path: Path, kind: DicomKind) -> None:
    (file,) = write(tmp_path / 'dicom', images(kind), kind=kind, storage='enhanced')
    assert file.SOPClassUID == file.file_meta.MediaStorageSOPClassUID == EnhancedMRImageStorage
    assert not [name for name in TYPE_1 | ENHANCED if file.get(name) in (None, '')]
    assert set(file.dir()) >= TYPE_2
    assert file.NumberOfFrames == len(file.PerFrameFunctionalGroupsSequence) == 4
    (shared,) = file.SharedFunctionalGroupsSequence
    for frame, expected in zip(file.PerFrameFunctionalGroupsSequence, [(1, 1), (2, 1), (1, 2), (2, 2)], strict=True):
        assert {f'{name}Sequence' for name in GROUPS} <= {*frame.dir(), *shared.dir()}
        assert tuple(frame.FrameContentSequence[0].DimensionIndexValues) == (1, *expected)


@pytest.mark.parametrize('storage', ['single', 'enhanced'])
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('scale', [3e-6, 1.0, 7e8])
def test_values_are_restored(tmp_path: Path, storage: Storage, kind: DicomKind, scale: float) -> None:
    """Exactly by one scale, and up to a factor that keeps windows wide by the other. Numbers are short enough."""
    img = images(kind, scale)
    files = write(tmp_path / 'dicom', img, kind=kind, storage=storage)
    stored = np.concatenate([file.pixel_array.reshape(-1, 8, 10) for file in files])
    elements = [e for file in files for e in file.iterall()]

    def number(name: str) -> float:
        (value,) = {float(e.value) for e in elements if e.keyword == name}
        return value

    slope, rescale = number('RealWorldValueSlope'), number('RescaleSlope')
    np.testing.assert_allclose(stored * slope, img[:, 0, 0], rtol=0, atol=0.501 * slope)
    assert np.abs(stored.astype(int)).max() >= 30000
    factor = rescale / slope
    assert factor == pytest.approx(1000 ** round(np.log10(factor) / 3), rel=1e-6)
    low, high = (number('WindowCenter') + sign * number('WindowWidth') / 2 for sign in (-1, 1))
    assert high >= 100
    assert high / factor == pytest.approx(np.pi if kind == 'phase' else img.max().item(), rel=0.02)
    assert low == pytest.approx(-high if kind == 'phase' else 0, abs=1e-6 * high)
    for element in elements:
        values = element.value if element.VM > 1 else [element.value]
        assert element.VR != 'DS' or all(value is None or len(str(value)) <= 16 for value in values)


@pytest.mark.parametrize('storage', ['single', 'enhanced'])
def test_the_same_image_gives_the_same_bytes(tmp_path: Path, storage: Storage) -> None:
    for name, scale in (('a', 1.0), ('b', 1.0), ('c', 2.0)):
        write(tmp_path / name, images(scale=scale), storage=storage)
    first, second, other = (sorted((tmp_path / name).iterdir()) for name in 'abc')
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    for name in ('SOPInstanceUID', 'SeriesInstanceUID', 'StudyInstanceUID', 'FrameOfReferenceUID'):
        assert pydicom.dcmread(first[0])[name].value != pydicom.dcmread(other[0])[name].value


def test_kinds_are_series_of_one_study(tmp_path: Path) -> None:
    files = [write(tmp_path / kind, images(kind), kind=kind, run='a')[0] for kind in KINDS]
    files += write(tmp_path / 'enhanced', storage='enhanced', run='a')
    files += [write(tmp_path / 'second', number=2, run='a')[0]]
    for name in ('StudyInstanceUID', 'FrameOfReferenceUID'):
        assert len({file[name].value for file in files}) == 1
    for name in ('SeriesInstanceUID', 'SOPInstanceUID'):
        assert len({file[name].value for file in files}) == len(files)


def test_patient_study_and_scanner_are_those_of_the_header(tmp_path: Path) -> None:
    raw = kheader(
        subjectInformation={'patientID': 'P1', 'patientBirthdate': '1980-02-03', 'patientGender': 'F'},
        studyInformation={'studyInstanceUID': '1.2.3', 'studyDate': '2020-05-06', 'studyTime': '07:08:09.5Z'},
        measurementInformation={'frameOfReferenceUID': '1.2.4', 'initialSeriesNumber': 7, 'protocolName': 'T1'},
        acquisitionSystemInformation={'systemVendor': 'V', 'systemModel': 'M', 'systemFieldStrength_T': 1.5},
    )
    file = write(tmp_path / 'dicom', kheader=raw, number=2)[0]
    assert str(file.PatientName) == 'Doe^Jane'
    assert (file.PatientID, file.PatientBirthDate, file.PatientSex) == ('P1', '19800203', 'F')
    assert (file.StudyInstanceUID, file.StudyDate, file.StudyTime) == ('1.2.3', '20200506', '070809')
    assert (file.FrameOfReferenceUID, file.SeriesNumber, file.ProtocolName) == ('1.2.4', 702, 'T1')
    assert (file.MagneticFieldStrength, file.ImagingFrequency) == (1.5, 63.87)
    assert file.Manufacturer == 'mrpro_lambda'
    assert file.ContributingEquipmentSequence[0].Manufacturer == 'V'


def test_hostile_headers_give_valid_files(tmp_path: Path) -> None:
    raw = kheader(
        subjectInformation={
            'patientID': 'a\\b\n\x00' + 100 * 'ü',
            'patientBirthdate': 'yesterday',
            'patientGender': 'x',
        },
        studyInformation={'studyInstanceUID': '1.2.x', 'studyID': 50 * '1', 'studyTime': 25},
        measurementInformation=None,
        acquisitionSystemInformation={'systemVendor': '\x00'},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pydicom.config.settings, 'writing_validation_mode', pydicom.config.RAISE)
        file = write(tmp_path / 'dicom', kheader=raw)[0]
    assert file.PatientID == ('ab' + 100 * 'ü')[:64]
    assert (file.PatientBirthDate, file.PatientSex, file.StudyID) == ('', '', 16 * '1')
    assert file.StudyInstanceUID.is_valid
    assert 'ContributingEquipmentSequence' not in file


def test_parameters_of_contrasts(tmp_path: Path) -> None:
    """A list of echo times has one for each contrast; what is not known for an image is left out."""
    head = header(CENTER.expand(2, 3), [0, 0])
    head.idx.contrast = torch.tensor([0, 1]).reshape(-1, 1, 1, 1, 1)
    head.te, head.tr, head.fa, head.ti = [0.002, 0.004], torch.tensor([0.5, 0.6]).reshape(-1, 1, 1, 1, 1), [1.0], [1, 2]
    write_dicom(tmp_path / 'dicom', images()[:2], head)
    files = [pydicom.dcmread(path) for path in sorted((tmp_path / 'dicom').iterdir())]
    assert [(float(f.EchoTime), float(f.RepetitionTime), f.EchoNumbers) for f in files] == [
        (2, 500, 1),
        (4, 600, 2),
    ]
    assert files[0].FlipAngle == pytest.approx(np.rad2deg(1))
    assert 'InversionTime' not in files[0]


def test_inversion_times_that_differ_are_those_of_an_inversion_recovery(tmp_path: Path) -> None:
    head = header(CENTER.expand(2, 3), [0, 0])
    for name, ti, expected in (
        ('one', [0.3], [None, None]),
        ('two', torch.tensor([0.1, 0.2]).reshape(-1, 1, 1, 1, 1), [100, 200]),
    ):
        head.ti = ti
        write_dicom(tmp_path / name, images()[:2], head)
        files = [pydicom.dcmread(path) for path in sorted((tmp_path / name).iterdir())]
        assert [file.get('InversionTime') for file in files] == expected
        assert all(('IR' in file.ScanningSequence) == (name == 'two') for file in files)


def test_volume_is_3d(tmp_path: Path) -> None:
    write_dicom(tmp_path / 'dicom', torch.ones(1, 1, 3, 4, 5), header(CENTER[None], [0]))
    files = [pydicom.dcmread(path) for path in sorted((tmp_path / 'dicom').iterdir())]
    assert [file.MRAcquisitionType for file in files] == ['3D'] * 3
    assert 'TemporalPositionIdentifier' not in files[0]
    steps = np.diff([file.ImagePositionPatient for file in files], axis=0)
    np.testing.assert_allclose(steps, 5 * SLICE.expand(2, 3), atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'img': images().to(torch.complex64)}, 'magnitude must be real and not negative'),
        ({'img': -images()}, 'magnitude must be real and not negative'),
        ({'img': images() * torch.nan}, 'img must be finite'),
        ({'img': images().expand(-1, 2, -1, -1, -1)}, r'\(\*other, 1, z, y, x\), got shape \(4, 2, 1, 8, 10\)'),
        ({'kind': 'image'}, 'kind must be one of'),
        ({'storage': 'multi'}, 'storage must be one of'),
    ],
)
def test_invalid_images_are_errors(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / 'dicom', **options)
    assert not (tmp_path / 'dicom').exists()
