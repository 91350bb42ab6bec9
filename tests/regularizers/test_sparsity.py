"""Sparsity of the image, and sums with it."""

import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.regularizers import Regularizer, Sparsity, SumRegularizer, TotalVariation, WaveletSparsity

SHAPE = (2, 1, 1, 6, 4)


def draw(shape: tuple[int, ...], dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    return RandomGenerator(0).randn_tensor(shape, dtype)


@pytest.mark.parametrize('complex_modulus', [False, True])
def test_value_is_the_definition(complex_modulus: bool) -> None:
    regularizer, img, weight = Sparsity(complex_modulus=complex_modulus), draw(SHAPE), draw((1, *SHAPE)).abs()
    value = regularizer.value(regularizer.transform(img), regularizer.expand(weight, img))
    size = img.abs() if complex_modulus else img.real.abs() + img.imag.abs()
    torch.testing.assert_close(value, (weight[0] * size).sum())


PARTS = {
    'total variation': TotalVariation((-5, -2, -1)),
    'sparsity': Sparsity(),
    'wavelets': WaveletSparsity((-2, -1), 'haar', 2, maps='level'),
    'undecimated': WaveletSparsity((-2, -1), 'haar', 1, undecimated=True, complex_modulus=True),
}


@pytest.mark.parametrize('first', PARTS)
@pytest.mark.parametrize('second', PARTS)
def test_sum_has_the_maps_of_its_parts_one_after_the_other(first: str, second: str) -> None:
    parts = PARTS[first], PARTS[second], Sparsity()
    total: Regularizer = parts[0] + parts[1] + parts[2]
    assert isinstance(total, SumRegularizer)
    assert total.parts == parts
    assert total.n_maps == sum(part.n_maps for part in parts)
    img, weight = draw(SHAPE), draw((total.n_maps, *SHAPE)).abs()
    value = total.value(total.transform(img), total.expand(weight, img))
    maps = weight.split([part.n_maps for part in parts])
    expected = sum(p.value(p.transform(img), p.expand(w, img)) for p, w in zip(parts, maps, strict=True))
    torch.testing.assert_close(value, torch.as_tensor(expected))


def test_order_of_brackets_does_not_matter() -> None:
    a, b, c = TotalVariation((-2, -1)), Sparsity(), WaveletSparsity((-2, -1), 'haar', 1)
    assert ((a + b) + c).parts == (a + (b + c)).parts
    assert len((a + (b + c)).state_dict()) == 0


def test_sum_has_one_number_for_each_map() -> None:
    total = TotalVariation((-5, -2, -1)) + Sparsity()
    with pytest.raises(ValueError, match='n_maps=3'):
        total.lambda_map([0.1, 0.2], draw(SHAPE))
    expanded = total.expand(total.lambda_map([0.25, 0.5, 0.75], draw(SHAPE)), draw(SHAPE))
    assert expanded[:, 0, 0, 0, 0, 0].tolist() == [0.5, 0.25, 0.25, 0.75]
