"""A convex reconstruction problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_tensor, check_type
from mrpro_lambda.data_terms.circulant_bound import CirculantBound
from mrpro_lambda.data_terms.DataTerm import DataTerm
from mrpro_lambda.data_terms.LeastSquares import LeastSquares, double_module, double_tensor
from mrpro_lambda.operators.GridDictionary import GridDictionary
from mrpro_lambda.operators.real_parts import real_parts
from mrpro_lambda.regularizers.Regularizer import Regularizer

_LARGEST_WEIGHT = 1e12
"""Largest weight relative to the data. Rounding errors of differences, times larger ones, would hide the data."""


@dataclass(frozen=True, eq=False)
class Problem:
    r"""The problem :math:`\min_u F(u) = \frac{1}{2} \|B u - y\|_2^2 + \|\Lambda \cdot K u\|_N`.

    Another data term :math:`f(A u; y)` may take the place of the square, see `~mrpro_lambda.data_terms.DataTerm`; then
    the unknown is the image, and it may be restricted to :math:`u \ge 0`.

    The unknown :math:`u` is the image and :math:`B` the acquisition :math:`A`; or the image is synthesized from it,
    :math:`B = A S`: of coefficients of a dictionary, where :math:`y` are the data without those of the smooth part, or
    of the image and a vector field. A phase-aware regularizer has a multiplication of the image by a phase between
    :math:`A` and :math:`S`.

    The solvers see the data of least squares through the Gram operator :math:`A^H A` and the right-hand side
    :math:`A^H y` only. Such data so small or large that their squares would leave the range of single precision are
    divided by a power of two, as are the start and the map: the minimizer scales with them.
    """

    regularizer: Regularizer
    data_term: DataTerm
    """Data term, whose operator includes the modulation."""
    data: torch.Tensor
    r""":math:`y`."""
    start: torch.Tensor
    """Unknown to start from, for example the initial image."""
    offset: torch.Tensor | None
    """Part of the image that is not synthesized."""
    rhs: torch.Tensor
    r"""Right-hand side :math:`A^H y`, an image; of other data terms see `~mrpro_lambda.data_terms.DataTerm.rhs`."""
    threshold: torch.Tensor
    r"""Lambda map in the shape of :math:`K u`, with a last axis more if real and imaginary part differ in it."""
    modulation: torch.Tensor | None = None
    """What the synthesized image and the offset are multiplied with."""
    scale: float = 1.0
    """What data, start, offset and map were divided by."""

    def __post_init__(self) -> None:
        """Transform the filters here, with the gradient mode of the caller; solvers set up without gradient."""
        if self.has_dictionary:
            self.dictionary  # noqa: B018

    @classmethod
    def create(
        cls,
        regularizer: Regularizer,
        data: torch.Tensor,
        acquisition_op: LinearOperator | DataTerm,
        initial_image: torch.Tensor,
        lambda_map: float | Sequence[float] | torch.Tensor,
    ) -> Self:
        """Check the parts of a problem and put them together.

        Parameters
        ----------
        regularizer
            Regularizer.
        data
            k-space data, shape `(*other, coils, k2, k1, k0)`.
        acquisition_op
            Acquisition operator, from images to data, or a data term.
        initial_image
            Initial image, shape `(*other, coils, z, y, x)`.
        lambda_map
            A number, one number for each map of the regularizer, or a map, see `Regularizer.lambda_map`.

        Raises
        ------
        ValueError
            If data or initial image hold NaN or Inf, if the data are all zero or have not the shape of those of the
            initial image, if their adjoint has not the shape of the initial image or only one of them is complex, if
            the Lambda map is not valid or too large for the data, if filters are complex but not the image, if the
            norm of coefficients is grouped, or if the image is synthesized but the data term is not least squares.
        """
        check_type('regularizer', regularizer, Regularizer)
        data_term = LeastSquares.of(acquisition_op)
        if not data_term.quadratic and not regularizer.of_image:
            raise ValueError(
                f'{type(data_term).__name__} needs a regularizer of the image itself, got {type(regularizer).__name__}.'
            )
        for name, tensor in (('data', data), ('initial_image', initial_image)):
            check_tensor(name, tensor, finite=False)
            # NaN and Inf show in a sum, which needs no array of booleans; that of large numbers may overflow
            if not bool(real_parts(tensor.detach()).sum(dtype=torch.float64).isfinite()):
                check_tensor(name, tensor)
        data_term.check_data(data)
        lambda_map = regularizer.lambda_map(lambda_map, initial_image)
        scale = _scale(data, lambda_map) if data_term.quadratic else 1.0
        if scale != 1:
            data, initial_image, lambda_map = data / scale, initial_image / scale, lambda_map / scale
        threshold = regularizer.expand(lambda_map, initial_image)
        modulation = regularizer.modulation(initial_image)
        if modulation is not None:
            data_term, initial_image = data_term.modulated(modulation), modulation.conj() * initial_image
        acquisition_op = data_term.acquisition_op
        offset = regularizer.offset(initial_image)
        if offset is not None:
            (smooth,) = acquisition_op(offset)
            _check_data_shape(data, smooth.shape)
            data = data - smooth
        rhs = data_term.rhs(data)
        if rhs.shape != initial_image.shape or rhs.is_complex() != initial_image.is_complex():
            raise ValueError(
                'initial_image must have the shape of A^H data, and be complex if and only if that is, got '
                f'{tuple(initial_image.shape)}, {initial_image.dtype}, and {tuple(rhs.shape)}, {rhs.dtype}.'
            )
        _check_data_shape(data, data_term.data_shape(initial_image))
        if regularizer.dictionary_op is not None:
            if not regularizer.elementwise:
                raise ValueError(
                    f'The coefficients of a dictionary need a norm of each real number on its own, got a grouped norm '
                    f'of {type(regularizer).__name__}.'
                )
            if regularizer.dictionary_op.filters.is_complex() and not rhs.is_complex():
                raise ValueError(
                    f'Complex filters need complex images, got an initial_image of {initial_image.dtype}, shape '
                    f'{tuple(initial_image.shape)}.'
                )
        data_term = data_term.to(rhs.device)
        # without an initial image in it, the start has the precision of the operators
        start = regularizer.start(initial_image if regularizer.dictionary_op is None else rhs)
        return cls(regularizer, data_term, data, start, offset, rhs, threshold, modulation, scale)

    @property
    def acquisition_op(self) -> LinearOperator:
        """Acquisition operator, with the modulation of the image."""
        return self.data_term.acquisition_op

    @property
    def least_squares(self) -> LeastSquares:
        """Data term of those algorithms that need least squares.

        Raises
        ------
        ValueError
            If it is another one.
        """
        if not isinstance(self.data_term, LeastSquares):
            raise ValueError(
                f'This solver needs least squares, got {type(self.data_term).__name__}: use PreconditionedPDHG or PD3O.'
            )
        return self.data_term

    @property
    def gram(self) -> LinearOperator:
        r"""Gram operator :math:`A^H A` of images."""
        return self.least_squares.gram

    @property
    def has_dictionary(self) -> bool:
        """Whether the unknown are the coefficients of a dictionary."""
        return self.regularizer.dictionary_op is not None

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient with respect to the map, the data, the initial image or the filters is wanted."""
        tensors = [self.rhs, self.start, self.threshold]
        if self.has_dictionary:
            tensors.append(self.dictionary.spectrum)
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)

    @cached_property
    def dictionary(self) -> GridDictionary:
        """The dictionary of a synthesis regularizer, for images of this problem.

        Raises
        ------
        ValueError
            If the regularizer has no dictionary.
        """
        if self.regularizer.dictionary_op is None:
            raise ValueError(f'{type(self.regularizer).__name__} has no dictionary.')
        return self.regularizer.dictionary_op.on_grid(self.rhs)

    def zero_coefficients(self) -> torch.Tensor:
        """Return zeros in the shape of the coefficients."""
        shape = self.regularizer.transform_op.coefficient_shape(self.rhs.shape)
        return torch.zeros(shape, dtype=self.start.dtype, device=self.rhs.device)

    def image(self, unknown: torch.Tensor) -> torch.Tensor:
        """Return the image that belongs to a value of the unknown."""
        return self.with_offset(self.synthesize(unknown))

    def with_offset(self, synthesized: torch.Tensor) -> torch.Tensor:
        """Return the image with a synthesized part, in the units of the data that were given."""
        img = synthesized if self.offset is None else self.offset + synthesized
        if self.modulation is not None:
            img = self.modulation * img
        return img if self.scale == 1 else self.scale * img

    def synthesize(self, unknown: torch.Tensor) -> torch.Tensor:
        """Return the image that belongs to a value of the unknown, without offset, modulation and scale."""
        if self.regularizer.synthesis_op is None:
            return unknown
        if self.has_dictionary:
            return self.dictionary.image(self.dictionary.synthesize(unknown))
        return self.regularizer.synthesis_op(unknown)[0]

    def analyze(self, img: torch.Tensor) -> torch.Tensor:
        """Apply the adjoint of `synthesize`."""
        if self.regularizer.synthesis_op is None:
            return img
        if self.has_dictionary:
            return self.dictionary.analyze(self.dictionary.transform(img))
        return self.regularizer.synthesis_op.adjoint(img)[0]

    def analyze_(self, img: torch.Tensor, out: torch.Tensor) -> None:
        """Write the adjoint of `synthesize` to memory in the shape of the unknown."""
        if not self.has_dictionary:
            out.copy_(self.analyze(img))
            return
        spectrum = self.dictionary.transform(img)
        for chunk in self.dictionary.chunks:
            out[chunk] = self.dictionary.analyze_chunk(spectrum, chunk)

    @cached_property
    def coupled_dim(self) -> tuple[int, ...]:
        """Negative axes of the image that regularizer or acquisition couple; all for an operator that is not known."""
        coupled = self.data_term.coupled_dim
        if coupled is None:
            return tuple(range(-self.rhs.ndim, 0))
        return tuple(sorted({*self.regularizer.dim, *coupled}))

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """Negative axes that belong to one image; the others are a batch, whose entries are problems of their own."""
        batch = self.data.shape[:-4] == self.rhs.shape[:-4]
        leading = tuple(d for d in range(-self.rhs.ndim, -4) if not batch or d in self.coupled_dim)
        return (*leading, -4, -3, -2, -1)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum real numbers in the shape of image, data or coefficients for each image, in float64."""
        axes = self.axes if values.ndim == self.rhs.ndim else (0, *self.axes)
        summed = values.sum(axes, keepdim=True, dtype=torch.float64)
        return summed if values.ndim == self.rhs.ndim else summed.squeeze(0)

    def inner(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the real part of the inner product for each image, in float64."""
        return self.total((real_parts(a) * real_parts(b)).sum(-1))

    def largest(self, values: torch.Tensor) -> torch.Tensor:
        """Return the largest of real numbers in the shape of image or coefficients for each image."""
        if values.ndim == self.rhs.ndim:
            return values.amax(self.axes, keepdim=True)
        return values.amax((0, *self.axes), keepdim=True).squeeze(0)

    @property
    def circulant_bound(self) -> CirculantBound:
        r"""Circulant upper bound of :math:`A^H A`."""
        return self.data_term.circulant_bound(self.rhs, self.regularizer.dim)

    @property
    def gram_norm(self) -> torch.Tensor:
        """Upper bound of the norm of the Gram operator, for each image that the regularizer does not couple."""
        return self.least_squares.norm(self.rhs, self.regularizer.dim)

    @cached_property
    def double(self) -> Problem:
        """The problem in double precision."""
        return replace(
            self,
            regularizer=double_module(self.regularizer),
            data_term=self.data_term.double,
            data=double_tensor(self.data),
            start=double_tensor(self.start),
            offset=None if self.offset is None else double_tensor(self.offset),
            rhs=double_tensor(self.rhs),
            threshold=double_tensor(self.threshold),
            modulation=None if self.modulation is None else double_tensor(self.modulation),
        )

    def forward(self, unknown: torch.Tensor) -> torch.Tensor:
        """Apply :math:`B`."""
        return self.acquisition_op(self.synthesize(unknown))[0]

    def apply_gram(self, unknown: torch.Tensor) -> torch.Tensor:
        """Apply :math:`B^H B` by the Gram operator, to the accuracy of that."""
        if self.has_dictionary:
            dictionary = self.dictionary
            return dictionary.analyze(dictionary.gram(dictionary.synthesize(unknown), self.gram))
        return self.analyze(self.gram(self.synthesize(unknown))[0])

    def adjoint(self, data: torch.Tensor) -> torch.Tensor:
        """Apply :math:`B^H`."""
        return self.analyze(self.acquisition_op.adjoint(data)[0])


def _scale(data: torch.Tensor, lambda_map: torch.Tensor) -> float:
    """Return what least squares are divided by, after checking that the weight fits the data."""
    low, high = (x.item() for x in real_parts(data.detach()).aminmax())
    largest, weight = max(-low, high), lambda_map.detach().amax().item()
    if weight > _LARGEST_WEIGHT * largest:
        raise ValueError(
            f'The Lambda map must be at most {_LARGEST_WEIGHT:g} times as large as the data, got a largest value '
            f'of {weight:g} for data up to {largest:g}.'
        )
    return 1.0 if 2.0**-30 < largest < 2.0**30 else 2.0 ** (math.frexp(largest)[1] - 1)


def _check_data_shape(data: torch.Tensor, shape: Sequence[int]) -> None:
    """Raise an error unless data have the shape of those of an image: they would broadcast to another problem."""
    if data.shape != tuple(shape):
        raise ValueError(
            f'data must have the shape of those of the initial image, got {tuple(data.shape)} instead of '
            f'{tuple(shape)}.'
        )
