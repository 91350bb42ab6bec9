"""Tests of the summaries of results for people."""

import base64
import io
import re

import numpy as np
from mrpro_lambda.reconstruction import LearnedSolution
from mrpro_lambda.summary import summary
from PIL import Image

from tests.export.cases import result


def test_summary_says_what_was_not_reached() -> None:
    report = result().report
    assert 'NOT' not in summary(report)
    certificate = report['certificate'] | {'reason': 'maximum number of iterations', 'tolerance_reached': False}
    assert 'THE TOLERANCE 0.01 WAS NOT REACHED' in summary(report | {'certificate': certificate})
    certificate |= {'reason': 'estimate within the tolerance'}
    assert 'NOT PROVEN' in summary(report | {'certificate': certificate})


def test_notebooks_show_the_middle_slice_and_the_summary() -> None:
    """Pixels of 3 x 2 mm keep their shape, and what is in names is no HTML."""
    scan = result()
    scan.notes.append('a < b')
    text = scan._repr_html_()
    assert '&lt;scan&gt;.h5' in text
    assert '<scan>' not in text
    assert 'a &lt; b' in text
    (data,) = re.findall(r'base64,([^"]+)"', text)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert picture.shape == (384, 320)  # 32 x 8 times 3 / 2, and 32 x 10
    img = scan.img[1, 0, 0].abs()
    white = img.flatten().kthvalue(80).values
    np.testing.assert_allclose(picture[24::48, 16::32], 255 * img / white, atol=0.51)


def test_representations_hold_no_tensors() -> None:
    scan = result()
    assert scan.lambda_map is not None
    assert scan.solution is not None
    learned = LearnedSolution(scan.idata, scan.idata, scan.lambda_map, 0.5, scan.solution)
    for text in (repr(scan), repr(learned)):
        assert 'tensor' not in text
        assert len(text) < 300
        assert repr(scan.solution) in text
