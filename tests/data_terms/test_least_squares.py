"""What depends on the acquisition only is computed once."""

import importlib
from collections.abc import Callable

import pytest
import torch
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.data_terms.gram_norm import gram_norm
from mrpro_lambda.operators import BandLimitOp
from mrpro_lambda.regularizers import TotalVariation
from mrpro_lambda.solvers import ADMM, PDHG

from tests.solvers.cases import TV, get_case


@pytest.mark.parametrize('name', ['radial', 'three coils', 'single coil'])
@pytest.mark.parametrize('cls', [ADMM, PDHG])
def test_same_image_without_set_up(cls: type[ADMM] | type[PDHG], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call finds no norm again; another image size or precision does."""
    case = get_case(name)
    calls = []

    def counted(*args: object, **kwargs: object) -> torch.Tensor:
        calls.append(args)
        return gram_norm(*args, **kwargs)  # type: ignore[arg-type]

    for module in ('LeastSquares', 'circulant_bound'):
        monkeypatch.setattr(importlib.import_module(f'mrpro_lambda.data_terms.{module}'), 'gram_norm', counted)
    solver, data_term = cls(TV, n_iterations=5), LeastSquares(case.acquisition_op)
    expected = solver(*case[1:])
    calls.clear()
    images = [solver(case.data, data_term, *case[3:]) for _ in range(3)]
    assert len(calls) <= 1
    for img in images:
        torch.testing.assert_close(img, expected, rtol=0, atol=1e-6 if case.single_precision else 1e-13)


def test_of_an_operator_or_of_itself() -> None:
    operator = get_case('single coil').acquisition_op
    data_term = LeastSquares.of(operator)
    assert isinstance(data_term, LeastSquares)
    assert LeastSquares.of(data_term) is data_term
    with pytest.raises(TypeError, match='acquisition_op must be LinearOperator or DataTerm, got str'):
        LeastSquares.of('operator')  # type: ignore[arg-type]


@pytest.mark.parametrize('property_of', [lambda d: d.gram, lambda d: d.acquisition_op], ids=['gram', 'operator'])
def test_double_precision(property_of: Callable[[LeastSquares], torch.nn.Module]) -> None:
    case = get_case('radial')
    double = property_of(LeastSquares(case.acquisition_op).double)
    single = property_of(LeastSquares(case.acquisition_op))
    img = case.initial_image
    result = double(img.to(torch.complex128))[0]
    assert result.dtype == torch.complex128
    torch.testing.assert_close(result.to(torch.complex64), single(img)[0], rtol=1e-4, atol=1e-4)


def test_band_of_the_acquisition() -> None:
    case = get_case('single coil')
    data_term = LeastSquares(case.acquisition_op)
    band = data_term.band_limit_op(TotalVariation((-2, -1)).dim)
    expected = BandLimitOp.from_gram(data_term.gram, (-2, -1))
    assert (band is None) == (expected is None)
