"""Base class of the losses that need no target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.data_terms import PoissonCounts
from mrpro_lambda.operators.acquisition_factors import without_coil_maps
from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator

_COMPLETE = 0.9
"""Fraction of the points of the measured band above which they count as all."""

_WIDTH = 2.0
"""Standard deviation of the window of the density in samples."""
_SMALLEST_DENSITY = 0.02
"""Smallest density, of a sample that is alone within two times this distance."""

Reconstruct = Callable[[torch.Tensor, Any, torch.Tensor], torch.Tensor]
"""Reconstruction, from data, acquisition operator (or data term of counts) and standard deviation of the noise of a
sample to the image."""


class Measured(NamedTuple):
    """What was measured, as losses see it."""

    data: torch.Tensor
    """k-space data with white noise, shape `(*other, coils, k2, k1, k0)`."""
    acquisition_op: LinearOperator
    """Acquisition operator, from images to data."""
    noise_std: torch.Tensor
    r"""Standard deviation :math:`\sigma` of the complex noise of a sample, that broadcasts to image and data."""
    sampled: torch.Tensor
    """Ones where there are samples and zeros where there are none, in the shape of the data."""
    center: torch.Tensor
    """Whether a sample is at the center of k-space, without axis of coils (size 1)."""
    counts: PoissonCounts | None = None
    """Data term, if the data are counts of photons after the logarithm."""

    @classmethod
    def create(
        cls, data: torch.Tensor, acquisition_op: LinearOperator, noise_std: torch.Tensor, img: torch.Tensor
    ) -> Self:
        """Find out where an acquisition has samples.

        Parameters
        ----------
        data, acquisition_op, noise_std
            As in the fields.
        img
            Image, for its shape.
        """
        generator = torch.Generator().manual_seed(0)
        random = torch.randn(img.shape, generator=generator, dtype=img.dtype).to(img.device)
        # a sample that no image reaches was not measured, and the center responds most to a constant image
        sampled = (acquisition_op(random)[0] != 0).expand(data.shape).to(data.dtype.to_real())
        response = without_coil_maps(acquisition_op)(torch.ones_like(img))[0].abs().amax(-4, keepdim=True)
        center = response >= 0.99 * response.amax((-3, -2, -1), keepdim=True)
        return cls(data, acquisition_op, noise_std, sampled, center.expand(*data.shape[:-4], 1, *data.shape[-3:]))

    @classmethod
    def of_photons(cls, data: torch.Tensor, term: PoissonCounts, noise_std: torch.Tensor) -> Self:
        """Put counts of photons together: each bin is a sample."""
        ones = torch.ones_like(data)
        return cls(data, term.acquisition_op, noise_std, ones, torch.zeros_like(ones, dtype=torch.bool), term)

    @property
    def count_term(self) -> PoissonCounts:
        """Data term of counts of photons.

        Raises
        ------
        ValueError
            If the data are something else.
        """
        if self.counts is None:
            raise ValueError(
                f'This loss needs counts of photons, got other data of shape {tuple(self.data.shape)}: use Recorrupted.'
            )
        return self.counts

    @property
    def density(self) -> torch.Tensor:
        """Density of the samples around each sample, from nearly 0 to 1, in the shape of `center`.

        It is the convolution of the samples with a Gaussian of a standard deviation of 2 samples: a multiplication of
        their point spread function.
        """
        fourier_op = without_coil_maps(self.acquisition_op)
        sampled = (self.sampled.amax(-4, keepdim=True) > 0).to(self.data.dtype)
        (spread,) = fourier_op.adjoint(sampled)
        for d in (-3, -2, -1):
            n = spread.shape[d]
            position = (torch.arange(n, device=spread.device) - n // 2) / n
            window = torch.exp(-0.5 * (2 * torch.pi * _WIDTH * position).square()).to(self.sampled)
            spread = spread * window.reshape(-1, *(1,) * (-d - 1))
        (density,) = fourier_op(spread)
        return density.real.amax(-4, keepdim=True).clamp(_SMALLEST_DENSITY, 1).expand(self.center.shape)

    @property
    def has_complete_readouts(self) -> bool:
        """Whether there are readouts, and all samples of each or none."""
        return self.sampled.shape[-1] > 1 and bool((self.sampled == self.sampled[..., :1]).all())

    @property
    def is_cartesian(self) -> bool:
        """Whether the samples are on a grid."""
        return isinstance(gram_operator(without_coil_maps(self.acquisition_op)), CirculantGramOp)

    @property
    def complete(self) -> bool:
        """Whether the acquisition is Cartesian and has sampled nearly all of the measured band."""
        gram = gram_operator(without_coil_maps(self.acquisition_op))
        if not isinstance(gram, CirculantGramOp):
            return False
        sampled = gram.transfer > 0
        band = BandLimitOp.from_gram(gram)
        inside = torch.ones_like(sampled) if band is None else band.band.bool().expand_as(sampled)
        return sampled.sum().item() > _COMPLETE * inside.sum().item()

    def noise(self, generator: torch.Generator) -> torch.Tensor:
        r"""Draw noise of the samples, :math:`E|n|^2 = \sigma^2`."""
        drawn = torch.randn(self.data.shape, generator=generator, dtype=self.data.dtype).to(self.data.device)
        return self.noise_std * self.sampled * drawn

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean over the samples of real numbers in the shape of the data."""
        return (values * self.sampled).sum() / self.sampled.sum()


class ScanLoss(ABC):
    r"""A loss of a reconstruction :math:`\hat x` that is computed from the measured data alone.

    Up to a constant that does not depend on the reconstruction, its expectation is an error of :math:`A \hat x` at
    samples, relative to the noise. None sees the frequencies that were never sampled. Losses add up, and may be
    multiplied with a number.
    """

    @classmethod
    def examples(cls) -> Mapping[str, ScanLoss]:
        """Return losses of this class by their names, which the tests of all losses take."""
        return {cls.__name__: cls()}

    @abstractmethod
    def __call__(self, reconstruct: Reconstruct, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Return the loss, a real scalar.

        Parameters
        ----------
        reconstruct
            Reconstruction, differentiable in its parameters.
        measured
            What was measured.
        generator
            Random number generator of what the loss draws.
        """

    for_counts: bool = False
    """Whether the loss is for counts of photons."""

    def check(self, measured: Measured) -> None:
        """Raise an error if the loss does not suit what was measured."""
        if self.for_counts:
            _ = measured.count_term
        elif measured.counts is not None:
            raise ValueError(
                f'{type(self).__name__} needs Gaussian noise, got counts of photons, data of shape '
                f'{tuple(measured.data.shape)}: use Thinned.'
            )

    def __add__(self, other: ScanLoss) -> ScanLoss:
        """Add another loss."""
        return SumOfLosses([(1.0, self), (1.0, other)]) if isinstance(other, ScanLoss) else NotImplemented

    def __rmul__(self, factor: float) -> ScanLoss:
        """Multiply with a number."""
        return SumOfLosses([(factor, self)])


class SumOfLosses(ScanLoss):
    """A sum of losses, what ``a + 0.5 * b`` returns."""

    parts: tuple[tuple[float, ScanLoss], ...]
    """Factors and losses."""

    def __init__(self, parts: Sequence[tuple[float, ScanLoss]]) -> None:
        """Initialize the loss.

        Parameters
        ----------
        parts
            Factors and losses.
        """
        flat: list[tuple[float, ScanLoss]] = []
        for factor, loss in parts:
            check_number('The factor of a loss', factor, positive=True)
            check_type('loss', loss, ScanLoss)
            inner = loss.parts if isinstance(loss, SumOfLosses) else ((1.0, loss),)
            flat += [(factor * inner_factor, part) for inner_factor, part in inner]
        self.parts = tuple(flat)

    @classmethod
    def examples(cls) -> Mapping[str, ScanLoss]:
        """Return none: the parts are tested, and their sum by itself."""
        return {}

    def __call__(self, reconstruct: Reconstruct, measured: Measured, generator: torch.Generator) -> torch.Tensor:
        """Return the sum."""
        losses = [factor * loss(reconstruct, measured, generator) for factor, loss in self.parts]
        return torch.stack(losses).sum()

    def check(self, measured: Measured) -> None:
        """Let each part check."""
        for _, loss in self.parts:
            loss.check(measured)
