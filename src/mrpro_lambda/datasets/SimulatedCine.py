"""Data set of simulated acquisitions of the beating heart."""

from collections.abc import Sequence
from math import sqrt

import torch
from mrpro.utils import pad_or_crop

from mrpro_lambda.datasets.AcquisitionSample import AcquisitionSample
from mrpro_lambda.datasets.augment_image import augment_image
from mrpro_lambda.datasets.cardiac_motion import contraction, displace, estimate_motion
from mrpro_lambda.datasets.draw import as_range, draw_uniform
from mrpro_lambda.datasets.KtLines import KtLines
from mrpro_lambda.datasets.SimulatedData import SimulatedData
from mrpro_lambda.datasets.simulation import complex_noise, simulate_coil_maps, smooth_phase
from mrpro_lambda.operators import CartesianAcquisitionOp


class SimulatedCine(SimulatedData):
    r"""Simulated acquisitions :math:`y_t = A_t x_t + n_t` of series of the beating heart.

    A series is given by two frames, at the ends of systole and diastole, or by the frames of one cardiac cycle. From
    two, the frames between are interpolated: each is moved by its part of the displacement between the two, see
    `~mrpro_lambda.datasets.cardiac_motion.estimate_motion`, and the two results are mixed. The contraction follows
    squared sines, with a systole of 30 to 40 % and a relaxation of 30 to 50 % of the cycle, and rest in between. From a
    cycle, frames are interpolated linearly in time.

    Phase and coil sensitivities are drawn as in `~mrpro_lambda.datasets.SimulatedAcquisitions` and do not change with
    time.
    """

    families = (KtLines,)

    def __init__(
        self,
        images: Sequence[torch.Tensor],
        sampling: KtLines,
        *,
        noise: float | tuple[float, float],
        n_coils: int | Sequence[int] = 1,
        crop: int | None = None,
        augment: bool = False,
        zoom: tuple[float, float] = (0.8, 1.15),
        colored_noise: bool | tuple[float, float] = False,
        seed: int = 0,
    ) -> None:
        r"""Initialize the data set.

        Parameters
        ----------
        images
            Series of magnitude images, each of shape `(2, y, x)`, end of systole first, or `(n_frames, y, x)`.
        sampling
            Family of acquisitions.
        noise
            Noise standard deviation :math:`\sigma` relative to the root mean square of the series. A range `(low,
            high)` is drawn from uniformly on a logarithmic scale.
        n_coils
            Number of coils, or several numbers to draw from. Samples with fewer coils than the largest number are
            filled with zeros.
        crop
            Size in pixels of the square that is used of each image, `None` keeps their size.
        augment
            If `True`, random crops are zoomed, flipped, transposed and gamma corrected, all frames alike.
        zoom
            Range of the factor that the crops are zoomed by.
        colored_noise
            Noise that is not white, which is not simulated for series: `False`.
        seed
            Seed of all random numbers, from 0 to ``2**32 - 1``.

        Raises
        ------
        ValueError
            If a series is no magnitude images, or has one frame only, or if a parameter is out of its range.
        """
        super().__init__(noise=noise, n_coils=n_coils, crop=crop, augment=augment, zoom=zoom, seed=seed)
        self.images = [_check_series(series, i) for i, series in enumerate(images)]
        if not self.images:
            raise ValueError('images must have at least one series, got none.')
        if not isinstance(sampling, KtLines):
            raise ValueError(f'sampling must be KtLines, got {type(sampling).__name__}.')
        if colored_noise is not False:
            raise ValueError(f'colored_noise is not simulated for series, got {colored_noise=}.')
        self.sampling = sampling
        self._motion: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __getitem__(self, index: int) -> AcquisitionSample:
        """Simulate an acquisition of a series.

        Parameters
        ----------
        index
            Index of the series.
        """
        image_rng, coil_rng, sampling_rng, noise_rng, motion_rng = self.generators(index, 5)
        frames = self.frames(index % len(self), motion_rng)
        if self.augment:
            crop = frames.shape[1:] if self.crop is None else (self.crop, self.crop)
            frames = augment_image(frames, (crop[0], crop[1]), image_rng, zoom=self.zoom)
        elif self.crop is not None:
            frames = pad_or_crop(frames, (self.crop, self.crop), dim=(-2, -1))
        shape = (frames.shape[1], frames.shape[2])
        phase = smooth_phase(shape, image_rng)
        img = torch.polar(frames / frames.max(), phase.expand_as(frames))[:, None, None]
        csm = simulate_coil_maps(self.draw_n_coils(coil_rng), shape, coil_rng)
        csm = pad_or_crop(csm, (max(self.n_coils),), dim=(0,))[None]
        noise_std = self.draw_noise(noise_rng) * float(img.norm()) / sqrt(img.numel())
        mask = self.sampling.mask(shape, sampling_rng)[:, None, None]
        cartesian_op = CartesianAcquisitionOp(mask, csm)
        (signal,) = cartesian_op(img)
        used = (csm != 0).flatten(2).any(-1)[..., None, None, None]
        data = signal + used * mask * complex_noise(signal.shape, noise_std, noise_rng)
        (initial_image,) = cartesian_op.adjoint(data)
        return AcquisitionSample(img, data, mask, csm, initial_image, torch.full((1, 1, 1, 1, 1), noise_std))

    def frames(self, index: int, generator: torch.Generator) -> torch.Tensor:
        """Draw the frames of a series, real, shape `(n_frames, y, x)`.

        Parameters
        ----------
        index
            Index of the series.
        generator
            Random number generator.
        """
        series, n_frames = self.images[index], self.sampling.n_frames
        systole, relaxation = draw_uniform((0.3, 0.4), generator), draw_uniform((0.3, 0.5), generator)
        start = draw_uniform((0, 1), generator)
        per_cycle: float | tuple[float, float] = self.sampling.frames_per_cycle or float(n_frames)
        cycle = draw_uniform(as_range('frames_per_cycle', per_cycle, 2), generator)
        if len(series) > 2:
            first = int(start * len(series)) if self.augment else 0
            return torch.stack([_at(series, first + i * len(series) / cycle) for i in range(n_frames)])
        if index not in self._motion:
            systolic, diastolic = series
            self._motion[index] = estimate_motion(diastolic, systolic), estimate_motion(systolic, diastolic)
        to_systole, to_diastole = self._motion[index]
        found = []
        for i in range(n_frames):
            p = contraction(start + i / cycle, systole, relaxation)
            found.append(p * displace(series[0], (1 - p) * to_systole) + (1 - p) * displace(series[1], p * to_diastole))
        return torch.stack(found)


def _at(series: torch.Tensor, position: float) -> torch.Tensor:
    """Return the frame at a position between the frames of a cycle."""
    before = int(position)
    weight = position - before
    frame = series[before % len(series)]
    return frame if weight == 0 else torch.lerp(frame, series[(before + 1) % len(series)], weight)


def _check_series(series: torch.Tensor, index: int) -> torch.Tensor:
    """Convert a series of magnitude images to float32."""
    series = torch.as_tensor(series)
    what = f'got {series.dtype} of shape {tuple(series.shape)} at index {index}'
    if series.ndim != 3 or not series.numel() or series.is_complex():
        raise ValueError(f'images must be series of real magnitude images of shape (frames, y, x), {what}.')
    if len(series) < 2:
        raise ValueError(f'A series must have at least 2 frames, {what}.')
    series = series.float()
    if not series.isfinite().all() or series.min() < 0 or series.max() == 0:
        raise ValueError(
            f'images must be finite, non-negative and not zero everywhere, {what} with values from {series.min():g} to '
            f'{series.max():g}.'
        )
    return series
