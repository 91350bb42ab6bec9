"""Functional groups of enhanced DICOM images, which hold all slices in one file."""

from __future__ import annotations

from collections.abc import Sequence as Several

from pydicom import Dataset, Sequence
from pydicom.tag import Tag

from mrpro_lambda.export.scan_attributes import code

_NO_DATE, _NO_TIME = '19000101', '000000'
"""Content date and time of a scan without, as they must not be empty."""


def enhanced_groups(shared: Dataset, frames: Several[Dataset], n_slices: int, organization: str) -> Dataset:
    """Return the attributes of an Enhanced MR Image from those that the files of single slices have.

    Parameters
    ----------
    shared
        Attributes that all slices share.
    frames
        Attributes of each slice.
    n_slices
        Number of slices of a volume, which follow each other.
    organization
        Identifier of the order of the slices.
    """
    dataset = Dataset()
    dataset.update(shared)
    pixel_value, window, mapping = Dataset(), Dataset(), Dataset()
    for group, names in (
        (pixel_value, ('RescaleIntercept', 'RescaleSlope', 'RescaleType')),
        (window, ('WindowCenter', 'WindowWidth', 'VOILUTFunction')),
        (mapping, ('RealWorldValueMappingSequence',)),
    ):
        for name in names:
            group[name] = dataset[name]
            del dataset[name]

    dataset.InstanceNumber, dataset.NumberOfFrames = 1, len(frames)
    dataset.ContentDate = dataset.get('ContentDate') or _NO_DATE
    dataset.ContentTime = dataset.get('ContentTime') or _NO_TIME
    dataset.ContentQualification, dataset.ApplicableSafetyStandardAgency = 'RESEARCH', 'UNKNOWN'
    dataset.ResonantNucleus, dataset.KSpaceFiltering = '1H', 'NONE'
    dataset.PixelPresentation, dataset.VolumetricProperties = 'MONOCHROME', 'VOLUME'
    dataset.VolumeBasedCalculationTechnique, dataset.AcquisitionContrast = 'NONE', 'UNKNOWN'
    dataset.PresentationLUTShape = 'IDENTITY'
    for name in ('RepetitionTime', 'FlipAngle'):  # their group demands what raw data do not tell
        if frames[0].get(name) is not None:
            dataset[name] = frames[0][name]
    dataset.AcquisitionContextSequence = Sequence()

    frame_type = Dataset()
    frame_type.FrameType = dataset.ImageType
    for name in (
        'PixelPresentation',
        'VolumetricProperties',
        'VolumeBasedCalculationTechnique',
        'ComplexImageComponent',
        'AcquisitionContrast',
    ):
        frame_type[name] = dataset[name]
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence, anatomy.FrameLaterality = code('38266002', 'SCT', 'Entire body'), 'U'
    groups = Dataset()
    groups.MRImageFrameTypeSequence = Sequence([frame_type])
    groups.FrameAnatomySequence = Sequence([anatomy])
    groups.PixelValueTransformationSequence = Sequence([pixel_value])
    groups.FrameVOILUTSequence = Sequence([window])
    groups.update(mapping)
    dataset.SharedFunctionalGroupsSequence = Sequence([groups])

    dimensions = [
        ('StackID', 'FrameContentSequence'),
        ('InStackPositionNumber', 'FrameContentSequence'),
        ('TemporalPositionIndex', 'FrameContentSequence'),
    ]
    item = Dataset()
    item.DimensionOrganizationUID = organization
    dataset.DimensionOrganizationSequence = Sequence([item])
    dataset.DimensionIndexSequence = Sequence()
    for pointer, group_pointer in dimensions:
        item = Dataset()
        item.DimensionOrganizationUID = organization
        item.DimensionIndexPointer, item.FunctionalGroupPointer = Tag(pointer), Tag(group_pointer)
        item.DimensionDescriptionLabel = pointer
        dataset.DimensionIndexSequence.append(item)
    dataset.PerFrameFunctionalGroupsSequence = Sequence([_frame_groups(frame, n_slices) for frame in frames])
    return dataset


def _frame_groups(frame: Dataset, n_slices: int) -> Dataset:
    """Return the functional groups of a slice."""
    content, measures, position, orientation, echo = (Dataset() for _ in range(5))
    content.StackID = '1'
    content.InStackPositionNumber = (frame.InstanceNumber - 1) % n_slices + 1
    content.TemporalPositionIndex = frame.AcquisitionNumber
    content.DimensionIndexValues = [1, content.InStackPositionNumber, content.TemporalPositionIndex]
    for name in ('PixelSpacing', 'SliceThickness', 'SpacingBetweenSlices'):
        measures[name] = frame[name]
    position['ImagePositionPatient'] = frame['ImagePositionPatient']
    orientation['ImageOrientationPatient'] = frame['ImageOrientationPatient']
    groups = Dataset()
    groups.FrameContentSequence = Sequence([content])
    groups.PixelMeasuresSequence = Sequence([measures])
    groups.PlanePositionSequence = Sequence([position])
    groups.PlaneOrientationSequence = Sequence([orientation])
    if frame.EchoTime is not None:
        echo.EffectiveEchoTime = float(frame.EchoTime)
        groups.MREchoSequence = Sequence([echo])
    return groups
