"""Header of ISMRMRD files, also of those that are not written as the schema says."""

from __future__ import annotations

import re
import warnings
from copy import deepcopy
from itertools import chain
from xml.etree import ElementTree as ET

from ismrmrd.xsd import CreateFromDocument, ismrmrdHeader

_NAMESPACE = '{http://www.ismrm.org/ISMRMRD}'
_NO_XML_CHARACTER = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')
_BARE_AMPERSAND = re.compile(r'&(?!(\w+|#\w+);)')


def parse_header(document: bytes) -> tuple[ismrmrdHeader, list[str]]:
    """Read a header, and leave out those of its parts that can not be read.

    Only the encoded space is needed for an image. Vendors write names that are not Unicode, elements that the schema
    does not know and dates in other forms, and leave out elements that the schema demands.

    Parameters
    ----------
    document
        XML.

    Returns
    -------
        Header, and notes on what could not be read.

    Raises
    ------
    ValueError
        If it is no XML, or if there is no encoded space that can be read.
    """
    notes = []
    try:
        root = ET.fromstring(document)  # noqa: S314
    except (ET.ParseError, ValueError, LookupError):
        text = _NO_XML_CHARACTER.sub('\ufffd', re.sub(r'^\s*<\?xml.*?\?>', '', document.decode('utf-8', 'replace')))
        try:
            root = ET.fromstring(_BARE_AMPERSAND.sub('&amp;', text))  # noqa: S314
        except ET.ParseError as error:
            raise ValueError(f'The header is no XML: {error}.') from error
        notes.append('The header holds characters that can not be read, which were replaced.')
    for element in root.iter():
        element.tag = _NAMESPACE + element.tag.rpartition('}')[2]
        for part in list(element):  # numbers without digits would stay strings
            if len(part) == 0 and not (part.text or '').strip() and not part.tag.endswith('encodingLimits'):
                element.remove(part)
    try:
        return _to_header(root), notes
    except (ValueError, TypeError, Warning):
        left_out = _repair(root)
    try:
        header = _to_header(root)
    except (ValueError, TypeError, Warning) as error:
        raise ValueError(f'The encoded space of the header can not be read: {error!s:.200}') from error
    if left_out:
        notes.append(f'These parts of the header can not be read and are left out: {", ".join(left_out)}.')
    return header, notes


def _to_header(root: ET.Element) -> ismrmrdHeader:
    """Convert the header as a whole; what is wrong in it is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings('error', 'Failed to convert value')  # it would stay a string
        header = CreateFromDocument(ET.tostring(root))
    if not header.encoding:
        raise ValueError('There is none.')
    return header


def _repair(root: ET.Element) -> list[str]:
    """Take out the parts that can not be read, put in those that the schema demands, and return the names of both."""
    encodings = root.findall(f'{_NAMESPACE}encoding')
    kept = (f'{_NAMESPACE}encoding', f'{_NAMESPACE}encodedSpace')
    for information in root.findall(f'{_NAMESPACE}measurementInformation'):
        if information.find(f'{_NAMESPACE}patientPosition') is None:  # as in files before ISMRMRD 1.15
            ET.SubElement(information, f'{_NAMESPACE}patientPosition').text = 'HFS'
    parts = [(parent, part) for parent in (root, *encodings) for part in list(parent) if part.tag not in kept]
    for parent, part in parts:
        parent.remove(part)
    conditions = ET.SubElement(root, f'{_NAMESPACE}experimentalConditions')
    ET.SubElement(conditions, f'{_NAMESPACE}H1resonanceFrequency_Hz').text = '0'
    for encoding in encodings:
        for space in encoding.findall(f'{_NAMESPACE}encodedSpace')[:1]:
            recon = deepcopy(space)
            recon.tag = f'{_NAMESPACE}reconSpace'
            encoding.append(recon)
        ET.SubElement(encoding, f'{_NAMESPACE}encodingLimits')
        ET.SubElement(encoding, f'{_NAMESPACE}trajectory').text = 'other'
    defaults = set(chain(root, *encodings))
    left_out = []
    for parent, part in parts:
        replaced = [other for other in parent if other.tag == part.tag and other in defaults]
        for other in replaced:
            parent.remove(other)
        parent.append(part)
        try:
            _to_header(root)
        except (ValueError, TypeError, Warning):
            parent.remove(part)
            parent.extend(replaced)
            left_out.append(part.tag.removeprefix(_NAMESPACE))
    missing = [
        other.tag.removeprefix(_NAMESPACE)
        for parent in (root, *encodings)
        for other in parent
        if other in defaults and other.tag not in kept and other.tag.removeprefix(_NAMESPACE) not in left_out
    ]
    return left_out + [f'{name} (missing)' for name in missing]
