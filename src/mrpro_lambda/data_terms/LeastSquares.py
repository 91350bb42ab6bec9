"""Least squares."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Self, TypeVar

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_type
from mrpro_lambda.data_terms.circulant_bound import CirculantBound, circulant_bound
from mrpro_lambda.data_terms.DataTerm import DataTerm
from mrpro_lambda.data_terms.gram_norm import gram_norm
from mrpro_lambda.operators.acquisition_factors import with_true_adjoint, without_sensitivities
from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator
from mrpro_lambda.operators.ModulationOp import ModulationOp
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.operators.ToeplitzGramOp import ToeplitzGramOp

Module = TypeVar('Module', bound=torch.nn.Module)


class LeastSquares(DataTerm):
    r"""Data term :math:`\frac{1}{2} \|A x - y\|_2^2`.

    It keeps the Gram operator :math:`A^H A`, its norm and its circulant bound, which are computed when they are first
    asked for. The operator must not change meanwhile.
    """

    quadratic = True

    def __init__(self, acquisition_op: LinearOperator) -> None:
        """Initialize the data term.

        Parameters
        ----------
        acquisition_op
            Acquisition operator, from images to data. Repeated Cartesian samples add up, see
            `~mrpro_lambda.operators.with_true_adjoint`.
        """
        check_type('acquisition_op', acquisition_op, LinearOperator)
        self.acquisition_op = with_true_adjoint(acquisition_op)
        self._norms: dict[tuple, torch.Tensor] = {}
        self._bounds: dict[tuple, CirculantBound] = {}
        self._data_shapes: dict[tuple, tuple[int, ...]] = {}
        self._modulated: tuple[torch.Tensor, Self] | None = None

    @classmethod
    def of(cls, acquisition: LinearOperator | DataTerm) -> DataTerm:
        """Return a data term itself, or least squares for an operator."""
        check_type('acquisition_op', acquisition, (LinearOperator, DataTerm))
        return acquisition if isinstance(acquisition, DataTerm) else cls(acquisition)

    @cached_property
    def gram(self) -> LinearOperator:
        """Gram operator."""
        return gram_operator(self.acquisition_op)

    def check_data(self, data: torch.Tensor) -> None:
        """Raise an error if the data are all zero: their size is the unit of everything else."""
        if not bool(data.detach().any()):
            raise ValueError(f'data must not be all zero, got shape {tuple(data.shape)}.')

    def rhs(self, data: torch.Tensor) -> torch.Tensor:
        """Return :math:`A^H y`."""
        return self.acquisition_op.adjoint(data)[0]

    def gradient(self, img: torch.Tensor, rhs: torch.Tensor) -> torch.Tensor:
        """Return :math:`A^H A x - b`."""
        return self.gram(img)[0] - rhs

    def curvature(self, img: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """Return :math:`A^H A d`."""
        return self.gram(direction)[0]

    def lipschitz(self, img: torch.Tensor, coupled_dim: tuple[int, ...] = ()) -> torch.Tensor:
        """Return the norm of the Gram operator."""
        return self.norm(img, coupled_dim)

    def value(self, response: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        r"""Return :math:`\frac{1}{2} |A x - y|^2`."""
        return 0.5 * real_parts(response - data).square().sum(-1)

    def slope(self, response: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        """Return :math:`A x - y`."""
        return response - data

    def model_slope(self, response: torch.Tensor) -> torch.Tensor:
        """Return :math:`A x`."""
        return response

    def response(self, model_slope: torch.Tensor) -> torch.Tensor:
        """Return the same."""
        return model_slope

    def prox_conjugate(self, dual: torch.Tensor, step: torch.Tensor | float) -> torch.Tensor:
        r"""Return :math:`v / (1 + \sigma)`."""
        return dual / (1 + step)

    def prox_derivative(self, projected: torch.Tensor, step: torch.Tensor | float) -> torch.Tensor | float:  # noqa: ARG002
        r"""Return :math:`1 / (1 + \sigma)`."""
        return 1 / (1 + step)

    def sample_curvature(self, data: torch.Tensor) -> float:  # noqa: ARG002
        """Return 1."""
        return 1.0

    @torch.no_grad()
    def data_shape(self, img: torch.Tensor) -> tuple[int, ...]:
        """Return the shape of the data of an image."""
        key = _key(img)
        if key not in self._data_shapes:
            self._data_shapes[key] = tuple(self.acquisition_op(img)[0].shape)
        return self._data_shapes[key]

    def norm(self, img: torch.Tensor, coupled_dim: tuple[int, ...] = ()) -> torch.Tensor:
        """Return an upper bound of the norm of the Gram operator, see `gram_norm`."""
        key = (*_key(img), coupled_dim)
        if key not in self._norms:
            self._norms[key] = gram_norm(self.gram, img, coupled_dim=coupled_dim)
        return self._norms[key]

    def circulant_bound(self, img: torch.Tensor, coupled_dim: tuple[int, ...]) -> CirculantBound:
        """Return a circulant upper bound of the Gram operator, see `circulant_bound`."""
        key = (*_key(img), coupled_dim)
        if key not in self._bounds:
            self._bounds[key] = circulant_bound(self.acquisition_op, self.gram, img, coupled_dim)
        return self._bounds[key]

    @cached_property
    def coupled_dim(self) -> tuple[int, ...] | None:
        """Negative axes of the image that the acquisition couples; `None` for an operator that is not known."""
        if isinstance(self.gram, CirculantGramOp | ToeplitzGramOp):
            return tuple(sorted({-4, *self.gram.dim}))
        return None if without_sensitivities(self.acquisition_op) is None else (-4, -3, -2, -1)

    def band_limit_op(self, joint_dim: tuple[int, ...]) -> BandLimitOp | None:
        """Return the projection to the measured band, `None` where there is no limit."""
        return BandLimitOp.from_gram(self.gram, joint_dim)

    def modulated(self, modulation: torch.Tensor) -> Self:
        """Return the data term for images that are multiplied before they are acquired.

        The last one is kept: the phase of a scan is the same for each weight that is tried.
        """
        if self._modulated is None or not _equal(self._modulated[0], modulation):
            self._modulated = modulation, type(self)(self.acquisition_op @ ModulationOp(modulation))
        return self._modulated[1]

    @cached_property
    def double(self) -> LeastSquares:
        """The data term in double precision."""
        double = type(self)(double_module(self.acquisition_op))
        double.__dict__['gram'] = double_module(self.gram)
        return double

    def to(self, device: torch.device) -> LeastSquares:
        """Move the Gram operator, whose numbers may be on no device so far."""
        self.__dict__['gram'] = self.gram.to(device)
        return self


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Tell whether two tensors are the same numbers."""
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)


def _key(img: torch.Tensor) -> tuple:
    """Return what the properties of an operator for images depend on."""
    return (tuple(img.shape), img.dtype, img.device)


def double_module(module: Module) -> Module:
    """Copy an operator or regularizer in double precision, without the graph of its tensors."""
    tensors = [x for m in module.modules() for x in (*vars(m).values(), *m.buffers(recurse=False))]
    memo = {id(x): x.detach() for x in tensors if isinstance(x, torch.Tensor) and not x.is_leaf}
    return copy.deepcopy(module, memo)._apply(double_tensor)


def double_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """Convert real and complex numbers to double precision."""
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.to(torch.float64) if tensor.is_floating_point() else tensor
