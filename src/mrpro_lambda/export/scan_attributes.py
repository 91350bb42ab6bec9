"""Patient, study and scanner for DICOM files, from the header of raw data."""

from __future__ import annotations

import datetime
import math
import re
from contextlib import suppress
from typing import Any

from mrpro.data import KHeader
from pydicom import Dataset, Sequence, config
from pydicom.uid import UID, generate_uid

from mrpro_lambda import __version__

_PROTON = 42.577478518e6
"""Gyromagnetic ratio of the proton in Hz / T."""


def scan_attributes(kheader: KHeader | None, run: str) -> Dataset:
    """Return the attributes that all images of a scan share. What is not known is empty, as DICOM allows it.

    Parameters
    ----------
    kheader
        Header of the raw data. `None`: nothing is known.
    run
        Text from which the identifiers of study and frame of reference are made if the header has none.
    """
    raw: dict[str, Any] = {} if kheader is None else kheader._misc

    def known(group: str, name: str) -> Any:  # noqa: ANN401
        return (raw.get(group) or {}).get(name)

    def known_number(group: str, name: str) -> float:
        value = float(known(group, name) or 0)
        return value if math.isfinite(value) else 0.0

    dataset = Dataset()
    dataset.SpecificCharacterSet = 'ISO_IR 192'
    patient = None if kheader is None or kheader.patient_name == 'unknown' else kheader.patient_name
    dataset.PatientName = text(patient, 64).replace('=', ' ')
    dataset.PatientID = text(known('subjectInformation', 'patientID'), 64)
    dataset.PatientBirthDate = _date(known('subjectInformation', 'patientBirthdate'))
    sex = known('subjectInformation', 'patientGender')
    dataset.PatientSex = sex if sex in ('M', 'F', 'O') else ''
    if weight := known_number('subjectInformation', 'patientWeight_kg'):
        dataset.PatientWeight = short_number(weight)

    dataset.StudyInstanceUID = _uid(known('studyInformation', 'studyInstanceUID'), run, 'study')
    date = _date(known('studyInformation', 'studyDate')) or _date(known('measurementInformation', 'seriesDate'))
    time = _time(known('studyInformation', 'studyTime')) or _time(known('measurementInformation', 'seriesTime'))
    dataset.StudyDate, dataset.StudyTime = date, time
    dataset.ReferringPhysicianName = text(known('studyInformation', 'referringPhysicianName'), 64)
    dataset.StudyID = text(known('studyInformation', 'studyID'), 16)
    dataset.AccessionNumber = text(known('studyInformation', 'accessionNumber'), 16)
    if description := text(known('studyInformation', 'studyDescription'), 64):
        dataset.StudyDescription = description

    dataset.Modality = 'MR'
    series_number = int(known_number('measurementInformation', 'initialSeriesNumber'))
    dataset.SeriesNumber = series_number if 0 < series_number < 10**7 else 0
    if date:  # that of the measurement: with that of the reconstruction, no two files would be the same
        dataset.SeriesDate = dataset.ContentDate = _date(known('measurementInformation', 'seriesDate')) or date
    if time:
        dataset.SeriesTime = dataset.ContentTime = _time(known('measurementInformation', 'seriesTime')) or time
    if protocol := text(known('measurementInformation', 'protocolName'), 64):
        dataset.ProtocolName = protocol
    if body_part := re.sub(r'[^A-Z0-9 _]', '', str(known('studyInformation', 'bodyPartExamined') or '').upper()):
        dataset.BodyPartExamined = body_part[:16].strip()
    dataset.PatientPosition = '' if kheader is None else kheader.patient_position.value
    dataset.FrameOfReferenceUID = _uid(known('measurementInformation', 'frameOfReferenceUID'), run, 'frame')
    dataset.PositionReferenceIndicator = ''

    dataset.Manufacturer = dataset.ManufacturerModelName = 'mrpro_lambda'
    dataset.SoftwareVersions = dataset.DeviceSerialNumber = __version__
    scanner = Dataset()
    for name, entry in (
        ('Manufacturer', 'systemVendor'),
        ('ManufacturerModelName', 'systemModel'),
        ('InstitutionName', 'institutionName'),
        ('StationName', 'stationName'),
        ('DeviceSerialNumber', 'deviceSerialNumber'),
    ):
        if value := text(known('acquisitionSystemInformation', entry), 16 if name == 'StationName' else 64):
            setattr(scanner, name, value)
    if 'Manufacturer' in scanner:
        scanner.PurposeOfReferenceCodeSequence = code('109101', 'DCM', 'Acquisition Equipment')
        dataset.ContributingEquipmentSequence = Sequence([scanner])
    frequency = None if kheader is None else kheader.lamor_frequency_proton
    if frequency:
        dataset.ImagingFrequency = short_number(frequency / 1e6)
    if field := known_number('acquisitionSystemInformation', 'systemFieldStrength_T') or (frequency or 0) / _PROTON:
        dataset.MagneticFieldStrength = short_number(float(f'{field:.5g}'))
    return dataset


def code(value: str, scheme: str, meaning: str) -> Sequence:
    """Return a sequence with one code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def short_number(value: float) -> str:
    """Format a number with at most 16 characters."""
    return f'{value + 0.0:.7g}'  # as exact as the header; without a negative zero


def text(value: object, length: int) -> str:
    """Return a text without the characters that DICOM has not, cut to a length; empty for `None`."""
    printable = ''.join(c for c in str(value or '') if c.isprintable() and c != '\\')
    return printable.strip()[:length].strip()


def _uid(value: object, run: str, purpose: str) -> str:
    """Return an identifier if it is valid, and otherwise one made from a run."""
    given = UID(str(value or ''), validation_mode=config.IGNORE)  # without a warning
    return given if given.is_valid else generate_uid(entropy_srcs=[run, purpose])


def _date(value: object) -> str:
    """Format a date; empty if it is none."""
    with suppress(ValueError):
        return datetime.date.fromisoformat(str(value)[:10]).strftime('%Y%m%d')
    return ''


def _time(value: object) -> str:
    """Format a time; empty if it is none."""
    with suppress(ValueError):
        return datetime.time.fromisoformat(str(value)[:8]).strftime('%H%M%S')
    return ''
