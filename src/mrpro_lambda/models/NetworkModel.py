"""Base class of reconstructions with an image network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import as_noise_std, check_axes, check_tensor
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.Model import Model
from mrpro_lambda.nets.intensity import intensity


class NetworkModel(Model):
    r"""A reconstruction with networks that know images of one intensity: data, image and noise are divided by it.

    The intensity :math:`s` is that of the initial image, see `~mrpro_lambda.nets.intensity`. So the reconstruction of
    :math:`c y` is :math:`c` times that of :math:`y` for :math:`c > 0`, in the units of any scanner.
    """

    def __init__(self, dim: Sequence[int] = (-2, -1), *, uses_noise_level: bool = False) -> None:
        """Initialize the model.

        Parameters
        ----------
        dim
            Negative axes of the image that the networks convolve, which belong to one image.
        uses_noise_level
            Whether the noise level is needed.
        """
        super().__init__()
        check_axes('dim', dim)
        self.image_dim = tuple(sorted({*dim, -4, -3, -2, -1}))
        self._uses_noise_level = uses_noise_level

    @property
    def uses_noise_level(self) -> bool:
        """Whether the noise level is needed."""
        return self._uses_noise_level

    def forward(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | float | None = None,
    ) -> torch.Tensor:
        """Reconstruct, see `Model.forward`.

        Raises
        ------
        ValueError
            If the model can not reconstruct such data, see `Model.refusal`; if data, image and acquisition do not fit
            each other, are not finite or zero; or if the noise level is missing.
        """
        for name, tensor in (('data', data), ('initial_image', initial_image)):
            check_tensor(name, tensor)
        if initial_image.ndim < -self.image_dim[0]:
            raise ValueError(
                f'initial_image must have the axes {self.image_dim}, got shape {tuple(initial_image.shape)}.'
            )
        if (reason := self.refusal(data, acquisition_op, initial_image)) is not None:
            raise ValueError(reason)
        data_term = LeastSquares(acquisition_op)
        if data.shape != data_term.data_shape(initial_image):
            raise ValueError(
                f'data must have the shape of those of the initial image, got {tuple(data.shape)} instead of '
                f'{data_term.data_shape(initial_image)}.'
            )
        s = intensity(initial_image, self.image_dim)
        level = as_noise_std(noise_std, initial_image) / s if self.uses_noise_level else None
        return s * self.reconstruct(Measured(data / s, data_term), initial_image / s, level)

    @abstractmethod
    def reconstruct(
        self, measured: Measured, initial_image: torch.Tensor, noise_std: torch.Tensor | None
    ) -> torch.Tensor:
        """Reconstruct in units in which the intensity of the image is 1.

        Parameters
        ----------
        measured
            Data with their data term.
        initial_image
            Initial image, shape `(*other, coils, z, y, x)`.
        noise_std
            Standard deviation of the noise, broadcastable to the image; `None` for models that do not use it.

        Returns
        -------
            Image, shape `(*other, coils, z, y, x)`.
        """
