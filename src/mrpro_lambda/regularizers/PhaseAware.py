"""Regularization of real and imaginary part after demodulation by a low-resolution phase."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.operators.low_resolution_phase import low_resolution_phase
from mrpro_lambda.regularizers.Regularizer import Regularizer
from mrpro_lambda.regularizers.TotalGeneralizedVariation import TotalGeneralizedVariation
from mrpro_lambda.regularizers.TotalVariation import TotalVariation


class PhaseAware(Regularizer):
    r"""Another regularizer of the demodulated image :math:`e^{-i \varphi} x`, with weights of its own for both parts.

    .. math::

        x = e^{i \varphi} (u_0 + i u_1), \qquad
        R_\Lambda(u) = \|\Lambda_0 \cdot K u_0\|_1 + \|\Lambda_1 \cdot K u_1\|_1

    :math:`\varphi` is the phase of the center of the measured k-space, see
    `~mrpro_lambda.operators.low_resolution_phase`. Models solve a second time, with the phase of the first image at a
    higher resolution, see `refined`: the phase of real scans is not that smooth, but that of zero-filled images noisy
    and aliased. An anatomical image is nearly real after it, so that the imaginary part :math:`u_1` can be regularized
    strongly; nothing is forced to be real. It is wrong where the phase itself is what is imaged, such as in
    phase-contrast images, water-fat images, field maps and series with a changing phase.
    """

    def __init__(
        self,
        regularizer: Regularizer,
        *,
        imaginary_factor: float | None = 1.4,
        width: float = 6.0,
        refined_width: float | None = 24.0,
        object_only: bool = True,
    ) -> None:
        r"""Initialize the regularizer.

        Parameters
        ----------
        regularizer
            Regularizer of the demodulated image, or of what this is synthesized from.
        imaginary_factor
            Weights of the imaginary part relative to those of the real part. `None`: there are maps for the imaginary
            part, after those for the real part.
        width
            Standard deviation of the window of the center of k-space in samples.
        refined_width
            The same for the phase of a first reconstruction, `None`: there is none. Over total variation without a
            phase, two training images gained in the foreground, with the phase of the center and with the refined one:
            R = 4, noise 0.1, 1.17 and 1.40 dB where the phase was smooth, 0.39 and 0.75 dB with the phases of raw
            scans; the low-field box at noise 0.6, 0.33 and 0.62 dB, 0.06 and 0.16 dB. Of the widths 12, 16, 24 and 32
            and factors of the imaginary part 1.4, 2 and 3, no pair was better in all of these.
        object_only
            Whether the air keeps its phase, which is that of the noise.

        Raises
        ------
        ValueError
            If the norm takes both parts together, but they are to have different weights, or if the regularizer is
            phase-aware already.
        """
        check_type('regularizer', regularizer, Regularizer)
        if isinstance(regularizer, PhaseAware):
            raise ValueError('A regularizer is phase-aware once, got a PhaseAware of PhaseAware.')
        if imaginary_factor is not None:
            check_number('imaginary_factor', imaginary_factor)
        check_number('width', width, positive=True)
        if refined_width is not None:
            check_number('refined_width', refined_width, positive=True)
        if imaginary_factor != 1 and not regularizer.coefficient_norm.separable_parts:
            raise ValueError(
                'Weights of their own for real and imaginary part need a norm that treats them separately, got '
                f'{type(regularizer.coefficient_norm).__name__} and {imaginary_factor=}.'
            )
        super().__init__(
            regularizer.transform_op, regularizer.coefficient_norm, regularizer.map_of_row, regularizer.synthesis_op
        )
        self.regularizer = regularizer
        self.imaginary_factor = imaginary_factor
        self.width = width
        self.refined_width = refined_width
        self.object_only = object_only
        self._phase: torch.Tensor | None = None

    @classmethod
    def examples(cls) -> Mapping[str, Regularizer]:
        """Return total variation with each kind of weights, and generalized variation."""
        total_variation = TotalVariation((-2, -1))
        return {
            'phase-aware total variation': cls(total_variation, imaginary_factor=3.0),
            'phase-aware, maps for both parts': cls(total_variation, imaginary_factor=None),
            'phase-aware, isotropic': cls(
                TotalVariation((-2, -1), isotropic=True, complex_modulus=True), imaginary_factor=1.0
            ),
            'phase-aware generalized variation': cls(TotalGeneralizedVariation((-2, -1)), imaginary_factor=2.0),
        }

    @property
    def of_image(self) -> bool:
        """Whether the unknown is the image itself: it is the demodulated one. ``PhaseAware(a + b)`` adds up."""
        return False

    @property
    def n_maps(self) -> int:
        """Number of maps, for the real part alone or for both."""
        return self.regularizer.n_maps * (2 if self.imaginary_factor is None else 1)

    def with_modulation_of(self, initial_image: torch.Tensor) -> PhaseAware:
        """Return the regularizer with the phase of an image, for whatever image it is then used."""
        return self._fixed(self.modulation(initial_image))

    def modulation(self, initial_image: torch.Tensor) -> torch.Tensor:
        """Return the low-resolution phase of the initial image, or the one that was fixed."""
        return self._phase_of(initial_image, self.width) if self._phase is None else self._phase

    @property
    def refinable(self) -> bool:
        """Whether the phase can be that of a first reconstruction."""
        return self.refined_width is not None and self._phase is None

    def refined(self, img: torch.Tensor) -> PhaseAware:
        """Return the regularizer with the phase of a first reconstruction."""
        return self if self.refined_width is None else self._fixed(self._phase_of(img, self.refined_width))

    def _fixed(self, phase: torch.Tensor) -> PhaseAware:
        """Return the regularizer with a phase."""
        regularizer = copy.copy(self)
        regularizer.__dict__['_phase'] = phase
        return regularizer

    def _phase_of(self, img: torch.Tensor, width: float) -> torch.Tensor:
        """Return the phase of an image within a window of k-space."""
        dim = tuple(d for d in (-3, -2, -1) if img.shape[d] > 1 and d in self.dim) or self.dim
        return low_resolution_phase(img, dim, width, object_only=self.object_only)

    def offset(self, initial_image: torch.Tensor) -> torch.Tensor | None:
        """Return the part of the demodulated image that is not synthesized."""
        return self.regularizer.offset(initial_image)

    def start(self, initial_image: torch.Tensor) -> torch.Tensor:
        """Return the unknown to start from, for a demodulated image."""
        return self.regularizer.start(initial_image)

    def activity(self, img: torch.Tensor) -> torch.Tensor:
        """Return that of the regularizer, whose magnitudes have no phase, for one or for both parts."""
        activity = self.regularizer.activity(img)
        return activity if self.imaginary_factor is not None else torch.cat([activity, activity])

    def expand(self, lambda_map: torch.Tensor, img: torch.Tensor) -> torch.Tensor:
        """Bring a map to the shape of the coefficients, with an axis more for real and imaginary part."""
        if self.imaginary_factor is None:
            real, imaginary = lambda_map.split(self.regularizer.n_maps)
            return torch.stack([self.regularizer.expand(part, img) for part in (real, imaginary)], -1)
        threshold = self.regularizer.expand(lambda_map, img)
        if self.imaginary_factor == 1:
            return threshold
        return torch.stack((threshold, self.imaginary_factor * threshold), -1)
