"""Each check accepts what its rule says, and names rule, value and shape otherwise."""

from typing import Any

import pytest
import torch
from mrpro_lambda.checks import check_axes, check_broadcast, check_number, check_tensor, check_type

INVALID = (ValueError, TypeError)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_valid_tensors(dtype: torch.dtype) -> None:
    check_tensor('x', torch.zeros(2, dtype=dtype, requires_grad=True))
    check_tensor('x', torch.full((2,), torch.nan, dtype=dtype), finite=False)


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ([1.0], 'x must be a tensor, got list'),
        (torch.ones(2).half(), r'x must be float32 or float64, real or complex, got torch.float16 of shape \(2,\)'),
        (torch.ones(2).long(), 'x must be float32 or float64'),
        (torch.ones(2, device='meta'), r'x must hold numbers, got torch.float32 of shape \(2,\) on meta'),
        (torch.ones(2, 0), r'x must hold numbers, .* shape \(2, 0\)'),
        (torch.tensor([1.0, torch.nan, torch.inf]), r'x must be finite, got 2 NaN or Inf in shape \(3,\)'),
    ],
)
def test_invalid_tensors(value: Any, message: str) -> None:
    with pytest.raises(INVALID, match=message):
        check_tensor('x', value)


def test_broadcast() -> None:
    check_broadcast(a=torch.ones(2, 1, 3), b=torch.ones(4, 1), c=torch.ones(()))
    with pytest.raises(ValueError, match=r"a and b must broadcast .*'a': \(2, 3\), 'b': \(2, 1, 4\)"):
        check_broadcast(a=torch.ones(2, 3), b=torch.ones(2, 1, 4))


@pytest.mark.parametrize(
    ('value', 'options'),
    [(0, {}), (2.5, {}), (torch.tensor(1.0), {}), (1e-300, {'positive': True}), (3, {'low': 1, 'high': 3})],
)
def test_valid_numbers(value: Any, options: dict[str, Any]) -> None:
    check_number('n', value, **options)


@pytest.mark.parametrize(
    ('value', 'options', 'message'),
    [
        (-0.1, {}, 'n must be a finite, non-negative number, got -0.1'),
        (float('nan'), {}, 'n must be a finite, non-negative number, got nan'),
        (float('inf'), {}, 'got inf'),
        (0.0, {'positive': True}, 'n must be positive and finite, got 0.0'),
        (4, {'low': 1, 'high': 3, 'integer': True}, 'n must be an integer from 1 to 3, got 4'),
        (2.0, {'integer': True}, 'n must be an integer from 0 on, got 2.0'),
        ('x', {}, "non-negative number, got 'x'"),
        (None, {}, 'got None'),
        (torch.ones(2), {}, r'got a tensor of torch.float32, shape \(2,\)'),
    ],
)
def test_invalid_numbers(value: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(INVALID, match=message):
        check_number('n', value, **options)


@pytest.mark.parametrize('dim', [None, 1.5, 'xy', ('x',), (0,), (-1, 1)])
def test_invalid_axes(dim: Any) -> None:
    with pytest.raises(INVALID, match='dim must hold negative axes, got dim='):
        check_axes('dim', dim)


def test_axes_and_types() -> None:
    check_axes('dim', (-1, -5))
    check_axes('dim', [0, 3], negative=False)
    check_type('x', 3, (int, str))
    with pytest.raises(TypeError, match='x must be int or str, got float'):
        check_type('x', 3.0, (int, str))
