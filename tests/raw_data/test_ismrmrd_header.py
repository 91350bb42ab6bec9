"""Tests of headers that are not written as the schema says."""

from pathlib import Path

import pytest
import torch
from mrpro_lambda.raw_data import read_scan

from tests.raw_data.cases import cartesian_lines, write_lines
from tests.raw_file import N_X, N_Y, simulate_kspace

KSPACE = simulate_kspace(n_slices=1)[0]
SUBJECT = b'<subjectInformation><patientName>%b</patientName></subjectInformation><encoding>'
DATE = b'<studyInformation><studyDate>12.3.2020</studyDate></studyInformation><encoding>'
FREQUENCY = b"""<experimentalConditions>
  <H1resonanceFrequency_Hz>63870000</H1resonanceFrequency_Hz>
 </experimentalConditions>"""


def subject(name: bytes) -> tuple[bytes, bytes]:
    return b'<encoding>', SUBJECT % name


@pytest.mark.parametrize(
    ('old', 'new', 'note'),
    [
        (*subject(b'Meyer'), None),
        (*subject(b'M\xfcller'), 'characters'),
        (*subject(b'\x01\x02 \xff'), 'characters'),
        (*subject(b'Miller & Sons'), 'characters'),
        (b'<encoding>', b'<vendorPart><a>1</a></vendorPart><encoding>', 'left out: vendorPart'),
        (b'<encoding>', DATE, 'left out: studyInformation'),
        (
            b'</encodingLimits>',
            b'</encodingLimits><echoTrainLength>many</echoTrainLength>',
            'left out: echoTrainLength',
        ),
        (b'<encoding>', b'<studyInformation><studyID></studyID></studyInformation><encoding>', None),
        (b' xmlns="http://www.ismrm.org/ISMRMRD"', b'', None),
        (FREQUENCY, b'', r'left out: experimentalConditions (missing)'),
        (b'63870000', b'unknown', 'left out: experimentalConditions'),
        (b'reconSpace', b'reconSpaces', 'left out: reconSpaces, reconSpace (missing)'),
        (b'encodingLimits', b'limits', 'limits, encodingLimits (missing)'),
    ],
)
def test_image_does_not_depend_on_other_parts(old: bytes, new: bytes, note: str | None, tmp_path: Path) -> None:
    def edit(xml: bytes) -> bytes:
        assert old in xml
        return xml.replace(old, new)

    scan = read_scan(write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE), edit=edit))
    expected = read_scan(write_lines(tmp_path / 'plain.h5', cartesian_lines(KSPACE)))
    torch.testing.assert_close(scan.kdata.data, expected.kdata.data)
    torch.testing.assert_close(scan.kdata.traj.as_tensor(), expected.kdata.traj.as_tensor())
    for name in ('encoding_matrix', 'recon_matrix', 'encoding_fov', 'recon_fov'):
        assert getattr(scan.kdata.header, name) == getattr(expected.kdata.header, name)
    assert expected.notes == []
    assert (scan.notes == []) == (note is None)
    assert note is None or note in scan.notes[0]


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        (b'</ismrmrdHeader>', b'', 'The header is no XML'),
        (b'<', b'', 'The header is no XML'),
        (b'encodedSpace', b'encodedSpaces', 'encoded space of the header can not be read'),
        (b'<x>%d</x>' % N_X, b'<x>24.5</x>', 'encoded space of the header can not be read'),
        (b'<x>48.0</x>', b'<x></x>', 'encoded space of the header can not be read'),
        (b'encoding>', b'coding>', 'encoded space'),
        (b'cartesian', b'zigzag', "'other', and no trajectory is stored"),
        (b'<trajectory>cartesian</trajectory>', b'', "'other', and no trajectory is stored"),
    ],
)
def test_parts_that_are_needed(old: bytes, new: bytes, message: str, tmp_path: Path) -> None:
    file = write_lines(tmp_path / 'scan.h5', cartesian_lines(KSPACE), edit=lambda xml: xml.replace(old, new))
    with pytest.raises(ValueError, match=message) as error:
        read_scan(file)
    assert 'scan.h5' in str(error.value)
    if 'trajectory' in message:
        assert read_scan(file, trajectory='cartesian').kdata.data.shape == (1, 1, 1, N_Y, N_X)
