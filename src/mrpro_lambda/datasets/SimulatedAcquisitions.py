"""Data set of simulated acquisitions."""

from collections.abc import Sequence
from math import sqrt

import torch
from mrpro.utils import pad_or_crop

from mrpro_lambda.datasets.AcquisitionSample import AcquisitionSample
from mrpro_lambda.datasets.augment_image import augment_image
from mrpro_lambda.datasets.CartesianSampling import CartesianSampling
from mrpro_lambda.datasets.draw import as_range, draw_uniform
from mrpro_lambda.datasets.Radial import Radial
from mrpro_lambda.datasets.radial_acquisition_op import radial_acquisition_op
from mrpro_lambda.datasets.RadialSample import RadialSample
from mrpro_lambda.datasets.SimulatedData import SimulatedData
from mrpro_lambda.datasets.simulation import complex_noise, k1_noise_weight, simulate_coil_maps, smooth_phase
from mrpro_lambda.operators import CartesianAcquisitionOp


class SimulatedAcquisitions(SimulatedData):
    r"""Simulated acquisitions :math:`y = A x + n` of magnitude images.

    Each image is given a random smooth phase and, if there are several coils, random coil sensitivities. The noise has
    :math:`E|n|^2 = \sigma^2`, see `complex_noise`.

    Image, coils, sampling and noise have random number generators of their own: data sets that differ in the noise
    level only have the same images and masks, and noise of the same shape.
    """

    families = (CartesianSampling, Radial)

    def __init__(
        self,
        images: torch.Tensor | Sequence[torch.Tensor],
        sampling: CartesianSampling | Radial,
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
            Magnitude images, shape `(n, y, x)`, or a sequence of images of shape `(y, x)` of any sizes.
        sampling
            Family of acquisitions.
        noise
            Noise standard deviation :math:`\sigma` relative to the root mean square of the noise-free, fully sampled
            k-space, combined over coils. With the orthonormal FFT this is the root mean square of the image over the
            field of view. A range `(low, high)` is drawn from uniformly on a logarithmic scale.
        n_coils
            Number of coils, or several numbers to draw from. Then samples with fewer coils than the largest number are
            filled with coils of zero sensitivity and zero data, so that they can be batched.
        crop
            Size in pixels of the square that is used of each image. Images are padded with zeros if they are smaller.
            If `None`, the size of each image is kept; samples of different sizes cannot be batched.
        augment
            If `True`, random crops are zoomed, flipped, transposed and gamma corrected, see `augment_image`. Otherwise
            the center of the image is used.
        zoom
            Range of the factor that the crops are zoomed by.
        colored_noise
            If the noise varies along `k1`, see `k1_noise_weight`. The factors at the two edges are drawn uniformly from
            a range `(low, high)`, independently; `True` is the range (0.15, 0.9), which covers measurements at 0.055 T.
            The data are whitened, as those of a scanner are before the reconstruction: data and mask are divided by the
            relative standard deviation of the noise, the initial image is that of the data as measured.
        seed
            Seed of all random numbers, from 0 to ``2**32 - 1``.

        Raises
        ------
        ValueError
            If an image is not a magnitude image, or a parameter is out of its range.
        """
        super().__init__(noise=noise, n_coils=n_coils, crop=crop, augment=augment, zoom=zoom, seed=seed)
        self.images = check_images(images)
        if not isinstance(sampling, CartesianSampling | Radial):
            raise ValueError(f'sampling must be a CartesianSampling or Radial, got {type(sampling).__name__}.')
        self.sampling = sampling
        if colored_noise is not False and isinstance(sampling, Radial):
            raise ValueError(f'colored_noise varies along k1 and needs Cartesian sampling, got {sampling}.')
        self.colored_noise: tuple[float, float] | None = None
        if colored_noise is not False:
            edge_factors = (0.15, 0.9) if colored_noise is True else colored_noise
            self.colored_noise = as_range('colored_noise', edge_factors, 0, exclusive=True)
        if not augment:
            for i in range(len(self)):
                if not self._cropped(i).any():
                    raise ValueError(
                        f'The central crop={crop} must not be zero everywhere, which it is for image {i} of shape '
                        f'{tuple(self.images[i].shape)}.'
                    )

    def __getitem__(self, index: int) -> AcquisitionSample | RadialSample:
        """Simulate an acquisition of an image.

        Parameters
        ----------
        index
            Index of the image.
        """
        image_rng, coil_rng, sampling_rng, noise_rng = self.generators(index, 4)
        if self.augment:
            shape = self.images[index].shape if self.crop is None else (self.crop, self.crop)
            magnitude = augment_image(self.images[index], (shape[0], shape[1]), image_rng, zoom=self.zoom)
        else:
            magnitude = self._cropped(index)
        shape = (magnitude.shape[0], magnitude.shape[1])
        img = torch.polar(magnitude / magnitude.max(), smooth_phase(shape, image_rng))[None, None]
        csm = simulate_coil_maps(self.draw_n_coils(coil_rng), shape, coil_rng)
        noise = self.draw_noise(noise_rng)

        if isinstance(self.sampling, Radial):
            traj = self.sampling.trajectory(shape, sampling_rng).as_tensor()[:, 0]
            radial_op = radial_acquisition_op(traj, csm)
            (signal,) = radial_op(img)
            noise_std = noise * float(img.norm()) / traj.shape[-1]  # the fully sampled grid has this number squared
            data = signal + complex_noise(signal.shape, noise_std, noise_rng)
            (initial_image,) = radial_op.adjoint(self.sampling.density_compensation(shape) * data)
            noise_tensor = torch.full((1, 1, 1, 1), noise_std)
            return RadialSample(img, self._filled(data), traj, self._filled(csm), initial_image, noise_tensor)

        mask = self.sampling.mask(shape, sampling_rng)[None, None]
        cartesian_op = CartesianAcquisitionOp(mask, csm)
        (signal,) = cartesian_op(img)
        noise_std = noise * float(img.norm()) / sqrt(img.numel())
        noise_weight = torch.ones(())
        if self.colored_noise is not None:
            edge_factors = (draw_uniform(self.colored_noise, noise_rng), draw_uniform(self.colored_noise, noise_rng))
            noise_weight = k1_noise_weight(mask[0, 0], edge_factors)
        data = signal + mask * complex_noise(signal.shape, noise_std * noise_weight, noise_rng)
        initial_image = cartesian_op.adjoint(data)[0]
        data, mask = data / noise_weight, mask / noise_weight
        noise_tensor = torch.full((1, 1, 1, 1), noise_std)
        return AcquisitionSample(img, self._filled(data), mask, self._filled(csm), initial_image, noise_tensor)

    def _filled(self, coils: torch.Tensor) -> torch.Tensor:
        """Fill with zeros up to the largest number of coils."""
        return pad_or_crop(coils, (max(self.n_coils),), dim=(0,)) if len(coils) < max(self.n_coils) else coils

    def _cropped(self, index: int) -> torch.Tensor:
        """Center of an image."""
        return centered(self.images[index], self.crop)


def check_images(images: torch.Tensor | Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Convert magnitude images to float32.

    Raises
    ------
    ValueError
        If there is none, or if one is no magnitude image.
    """
    checked = [_check_image(image, i) for i, image in enumerate(images)]
    if not checked:
        raise ValueError('images must have at least one image, got none.')
    return checked


def centered(image: torch.Tensor, crop: int | None) -> torch.Tensor:
    """Return the central square of an image, filled with zeros where it is smaller; all of it if `crop` is `None`."""
    return image if crop is None else pad_or_crop(image, (crop, crop))


def _check_image(image: torch.Tensor, index: int) -> torch.Tensor:
    """Convert a magnitude image to float32."""
    image = torch.as_tensor(image)
    what = f'got {image.dtype} of shape {tuple(image.shape)} at index {index}'
    if image.ndim != 2 or not image.numel() or image.is_complex():
        raise ValueError(f'images must be real magnitude images of shape (y, x), {what}.')
    image = image.float()
    if not image.isfinite().all() or image.min() < 0 or image.max() == 0:
        raise ValueError(
            f'images must be finite, non-negative and not zero everywhere, {what} with values from {image.min():g} to '
            f'{image.max():g}.'
        )
    return image
