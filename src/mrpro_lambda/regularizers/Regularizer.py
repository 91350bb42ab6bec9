"""A weighted norm of a linear transform of the unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_tensor, check_type
from mrpro_lambda.norms import GroupNorm, HuberNorm, L1Norm, Norm, StackedNorm
from mrpro_lambda.operators.ConvolutionalDictionaryOp import ConvolutionalDictionaryOp
from mrpro_lambda.operators.GradientOp import GradientOp
from mrpro_lambda.operators.IdentityTransform import IdentityTransform
from mrpro_lambda.operators.StackedTransform import StackedTransform
from mrpro_lambda.operators.Transform import Transform


class Regularizer(torch.nn.Module):
    r"""A weighted norm :math:`R_\Lambda(u) = \|\Lambda \cdot K u\|_N` of a linear transform of the unknown.

    It is put together of a transform :math:`K`, a norm :math:`N` of its coefficients, shape `(n_rows, *image)`, the
    number of the Lambda map that each row of the coefficients has, and a synthesis :math:`S` of the image,
    :math:`x = S u`, unless the unknown is the image. Regularizers of the same unknown add up: ``a + b`` has the maps of
    ``a`` and, after them, those of ``b``.

    Its operators are submodules: their tensors are part of the state and move with `to`, apart from those that require
    a gradient and are no parameters, which stay what they were given as.
    """

    def __init__(
        self,
        transform_op: Transform,
        coefficient_norm: Norm,
        map_of_row: Sequence[int] | None = None,
        synthesis_op: LinearOperator | None = None,
    ) -> None:
        """Initialize the regularizer.

        Parameters
        ----------
        transform_op
            Transform :math:`K`.
        coefficient_norm
            Norm of the coefficients.
        map_of_row
            Number of the Lambda map of each row of the coefficients. Default: one map for all.
        synthesis_op
            Operator :math:`S` from the unknown to the image. `None`: the unknown is the image.

        Raises
        ------
        ValueError
            If there is not one number for each row.
        """
        super().__init__()
        check_type('transform_op', transform_op, Transform)
        check_type('coefficient_norm', coefficient_norm, Norm)
        self.transform_op = transform_op
        self.coefficient_norm = coefficient_norm
        self.synthesis_op = synthesis_op
        self.map_of_row = (0,) * transform_op.n_rows if map_of_row is None else tuple(map_of_row)
        if len(self.map_of_row) != transform_op.n_rows:
            raise ValueError(
                f'map_of_row must hold a number for each of the {transform_op.n_rows} rows, got {map_of_row=}.'
            )

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return small regularizers of this class by their names, which the tests of all regularizers take."""
        gradient_op = GradientOp((-2, -1), 'neumann')
        norm = StackedNorm([L1Norm(), GroupNorm((0, 0))], [2, 2])
        return {
            'two norms of one transform': cls(StackedTransform([gradient_op, gradient_op]), norm, (0, 1, 2, 2)),
            'smoothed': cls(gradient_op, HuberNorm(0.3)),
        }

    def __add__(self, other: Regularizer) -> Regularizer:
        """Add a regularizer of the same unknown.

        Raises
        ------
        ValueError
            If the unknown of one of them is not the image.
        """
        if not isinstance(other, Regularizer):
            return NotImplemented
        for part in (self, other):
            if not part.of_image:
                raise ValueError(
                    'Regularizers that are added must be of one unknown, the image, but that of '
                    f'{type(part).__name__} is another one: got {type(self).__name__} + {type(other).__name__}.'
                )
        return SumRegularizer((self, other))

    @property
    def of_image(self) -> bool:
        """Whether the unknown is the image itself."""
        return self.synthesis_op is None

    def offset(self, initial_image: torch.Tensor) -> torch.Tensor | None:  # noqa: ARG002
        """Return the part of the image that is not synthesized, `None` if there is none."""
        return None

    @property
    def dictionary_op(self) -> ConvolutionalDictionaryOp | None:
        """Dictionary that the image is synthesized with, `None` if there is none."""
        return self.synthesis_op if isinstance(self.synthesis_op, ConvolutionalDictionaryOp) else None

    def modulation(self, initial_image: torch.Tensor) -> torch.Tensor | None:  # noqa: ARG002
        """Return numbers of modulus 1 that the image of the unknown is multiplied with, `None` if there are none."""
        return None

    def with_modulation_of(self, initial_image: torch.Tensor) -> Regularizer:  # noqa: ARG002
        """Return the regularizer with the modulation that belongs to an image, for whatever image it is then used."""
        return self

    @property
    def refinable(self) -> bool:
        """Whether a first reconstruction tells more about the regularizer than the initial image does."""
        return False

    def refined(self, img: torch.Tensor) -> Regularizer:  # noqa: ARG002
        """Return the regularizer for a second reconstruction, with what the image of the first one tells."""
        return self

    def start(self, initial_image: torch.Tensor) -> torch.Tensor:
        """Return the unknown to start from: the initial image, unless the image is synthesized."""
        return initial_image

    def transform(self, unknown: torch.Tensor) -> torch.Tensor:
        """Apply :math:`K`."""
        return self.transform_op(unknown)[0]

    def transform_adjoint(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Apply :math:`K^H`."""
        return self.transform_op.adjoint(coefficients)[0]

    def add_transform_(self, out: torch.Tensor, unknown: torch.Tensor, alpha: float) -> None:
        r"""Add :math:`\alpha K u` to `out` in place."""
        self.transform_op.add_forward_(out, unknown, alpha)

    def add_transform_adjoint_(self, out: torch.Tensor, coefficients: torch.Tensor, alpha: float) -> None:
        r"""Add :math:`\alpha K^H q` to `out` in place."""
        self.transform_op.add_adjoint_(out, coefficients, alpha)

    def norm(self, shape: Sequence[int]) -> float:
        r"""Return :math:`\|K\|_2` for images of a given shape."""
        return self.transform_op.norm(shape)

    def symbol(self, shape: Sequence[int], device: torch.device) -> torch.Tensor:
        r"""Return the Fourier symbol of a circulant operator that is equal to :math:`K^H K` or above it."""
        return self.transform_op.symbol(shape, device)

    def solve_normal(self, unknown: torch.Tensor) -> torch.Tensor:
        r"""Apply the pseudo-inverse of :math:`K^H K`, for the certificate.

        Raises
        ------
        ValueError
            If there is no direct way to do so.
        """
        return self.transform_op.solve_normal(unknown)

    @property
    def has_pseudo_inverse(self) -> bool:
        """Whether `solve_normal` has a direct way."""
        return self.transform_op.mirrored_dim is not None

    @property
    def circulant(self) -> bool:
        r"""Whether :math:`K^H K` is equal to the operator with that symbol."""
        return self.transform_op.circulant

    @property
    def dim(self) -> tuple[int, ...]:
        """Negative axes of the image that :math:`K` or the synthesis couple."""
        return self.transform_op.dim

    @property
    def n_maps(self) -> int:
        """Number of Lambda maps, the size of the first axis of a map."""
        return max(self.map_of_row) + 1

    @property
    def elementwise(self) -> bool:
        """Whether the norm treats each real number on its own, so that its proximal mapping is a clamp."""
        return self.coefficient_norm.elementwise

    def expand(self, lambda_map: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Bring a validated Lambda map to the shape of the coefficients of an image (a view where possible)."""
        shape = self.transform_op.coefficient_shape(img.shape)
        threshold = lambda_map if self.map_of_row == tuple(range(shape[0])) else lambda_map[list(self.map_of_row)]
        if len(set(self.map_of_row)) == 1:
            threshold = lambda_map[:1]
        return threshold.expand(shape)

    def activity(self, img: torch.Tensor) -> torch.Tensor:
        """Return the magnitude of the coefficients of an image, the mean over the rows of each map.

        Parameters
        ----------
        img
            Image, shape `(*other, coils, z, y, x)`.

        Returns
        -------
            Real numbers, shape `(n_maps, *image)`.
        """
        magnitude = self.transform(self.start(img)).abs()
        rows = [[i for i, k in enumerate(self.map_of_row) if k == m] for m in range(max(self.map_of_row) + 1)]
        return torch.stack([magnitude[row].mean(0) for row in rows])

    def value(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return the weighted norm of coefficients, a float64 scalar."""
        return self.weighted_norm(coefficients, threshold).sum(dtype=torch.float64)

    def weighted_norm(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Return real numbers in the shape of the coefficients, whose sum is the weighted norm."""
        return self.coefficient_norm.value(coefficients, threshold)

    def project(self, coefficients: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        """Project coefficients to the dual ball."""
        return self.coefficient_norm.project(coefficients, threshold)

    def lambda_map(self, weight: float | Sequence[float] | torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Turn a weight into a Lambda map and check it.

        Parameters
        ----------
        weight
            A number, one number for each map, or a map of shape `(n_maps, *other, 1, z, y, x)`. Axes of size 1
            broadcast.
        img
            Image that the map is for, shape `(*other, coils, z, y, x)`.

        Returns
        -------
            Real map with one axis more than the image, in its precision and on its device.

        Raises
        ------
        ValueError
            If the weight is negative, complex, not finite, or does not broadcast to the image, or if the image is not
            of single or double precision.
        TypeError
            If the weight is no number, sequence of numbers or tensor.
        """
        check_tensor('initial_image', img, finite=False)
        real_dtype = img.dtype.to_real()
        try:
            lambda_map = torch.as_tensor(weight, device=img.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(
                f'The Lambda map must be a number, a sequence of numbers or a tensor, got {type(weight).__name__}: '
                f'{error}.'
            ) from error
        if lambda_map.is_meta or not lambda_map.numel():
            raise ValueError(
                f'The Lambda map must hold numbers, got shape {tuple(lambda_map.shape)} on {lambda_map.device}.'
            )
        if lambda_map.is_complex():
            raise ValueError(f'The Lambda map must be real, got {lambda_map.dtype} of shape {tuple(lambda_map.shape)}.')
        lambda_map = lambda_map.to(real_dtype)
        if lambda_map.ndim == 0:
            lambda_map = lambda_map.expand(self.n_maps)
        if lambda_map.ndim == 1:
            lambda_map = lambda_map.reshape(-1, *(1,) * img.ndim)
        if lambda_map.shape[0] != self.n_maps or lambda_map.ndim != img.ndim + 1:
            raise ValueError(
                f'The Lambda map must be a number, {self.n_maps} number(s), or have shape (n_maps, *image) with '
                f'n_maps={self.n_maps}, got shape {tuple(lambda_map.shape)} for an image of shape {tuple(img.shape)}'
                f'{self._advice(lambda_map.shape, img.shape)}.'
            )
        if any(m not in (1, n) for m, n in zip(lambda_map.shape[1:], img.shape, strict=True)):
            raise ValueError(
                f'Each axis of the Lambda map must have size 1 or that of the image, got map axes '
                f'{tuple(lambda_map.shape[1:])} for an image of shape {tuple(img.shape)}.'
            )
        smallest = lambda_map.detach().amin()
        if not bool((smallest >= 0) & lambda_map.detach().amax().isfinite()):
            raise ValueError(
                f'The Lambda map must be finite and non-negative, got a smallest value of {smallest.item()} and '
                f'{int((~lambda_map.isfinite()).sum())} non-finite value(s) in shape {tuple(lambda_map.shape)}.'
            )
        return lambda_map

    def _advice(self, shape: torch.Size, img_shape: torch.Size) -> str:
        """Tell how to reshape a map that lacks axes of size 1."""
        for n_maps, axes in ((shape[:1], shape[1:]), ((1,), shape)):
            missing = len(img_shape) - len(axes)
            fits = all(m in (1, n) for m, n in zip(axes[::-1], img_shape[::-1], strict=False))
            if tuple(n_maps) == (self.n_maps,) and missing > 0 and fits:
                return f': give lambda_map.reshape{(*n_maps, *(1,) * missing, *axes)}'
        return ''


class SumRegularizer(Regularizer):
    """Sum of regularizers of one unknown, what ``a + b`` returns."""

    parts: tuple[Regularizer, ...]
    """Regularizers that are added."""

    def __init__(self, parts: Sequence[Regularizer]) -> None:
        """Initialize the regularizer.

        Parameters
        ----------
        parts
            Regularizers of the image.
        """
        flat = [p for part in parts for p in (part.parts if isinstance(part, SumRegularizer) else (part,))]
        transforms = [part.transform_op for part in flat]
        super().__init__(
            StackedTransform(transforms),
            StackedNorm([part.coefficient_norm for part in flat], [op.n_rows for op in transforms]),
            [sum(p.n_maps for p in flat[:i]) + m for i, part in enumerate(flat) for m in part.map_of_row],
        )
        # a tuple, as the operators are those of the stack already
        self.parts = tuple(flat)

    @property
    def n_maps(self) -> int:
        """Number of Lambda maps of all."""
        return sum(part.n_maps for part in self.parts)

    def activity(self, img: torch.Tensor) -> torch.Tensor:
        """Return that of all parts."""
        return torch.cat([part.activity(img) for part in self.parts])

    def expand(self, lambda_map: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Let each part bring its maps to its coefficients."""
        if all(type(part).expand is Regularizer.expand for part in self.parts):
            return super().expand(lambda_map, img)  # a view where possible
        self.transform_op.coefficient_shape(img.shape)
        maps = lambda_map.split([part.n_maps for part in self.parts])
        return torch.cat([part.expand(x, img) for part, x in zip(self.parts, maps, strict=True)])

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return the fused lasso."""
        gradient = Regularizer(GradientOp((-2, -1)), L1Norm())
        return {'fused lasso': gradient + Regularizer(IdentityTransform(), L1Norm())}
