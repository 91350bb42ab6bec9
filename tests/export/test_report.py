"""Tests of the report."""

import json
import math

import pytest
from mrpro_lambda.export import json_text


def test_report_is_json() -> None:
    """JSON knows neither NaN nor Inf."""
    values = {'a': math.nan, 'b': [math.inf, 1.5, {'c': -math.inf}], 'd': (1, None, 'ü', True)}
    text = json_text(values)
    expected = {'a': None, 'b': [None, 1.5, {'c': None}], 'd': [1, None, 'ü', True]}
    assert json.loads(text, parse_constant=pytest.fail) == expected
    assert 'ü' in text
