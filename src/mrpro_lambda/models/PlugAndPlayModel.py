"""Plug-and-play reconstruction with any denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.models.data_consistency.DataConsistency import DataConsistency
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.NetworkModel import NetworkModel


class PlugAndPlayModel(NetworkModel):
    r"""A denoiser :math:`D` in the place of the proximal map of a regularizer [VEN2013]_, with any step to the data.

    .. math::

        \text{alternating:} \quad x \leftarrow D(\mathrm{DC}(x), \kappa \sigma), \qquad
        \text{ADMM:} \quad x \leftarrow \mathrm{DC}(v - u), \quad v \leftarrow D(x + u, \kappa \sigma), \quad
        u \leftarrow u + x - v

    The result is the last denoised image. :math:`\sigma` is the noise of a sample and :math:`\kappa` says how strongly
    to denoise; it may begin larger and fall geometrically. If :math:`D` is a proximal map, as that of
    `ProximalDenoiser`, the fixed points are minimizers: with gradient steps
    (`~mrpro_lambda.models.data_consistency.Landweber`) in turn it is the forward-backward method, and with the
    proximal step in the other scheme it is ADMM.

    References
    ----------
    .. [VEN2013] Venkatakrishnan SV, Bouman CA, Wohlberg B (2013) Plug-and-play priors for model based reconstruction.
       IEEE GlobalSIP https://doi.org/10.1109/GlobalSIP.2013.6737048
    """

    def __init__(
        self,
        denoiser: torch.nn.Module,
        data_consistency: DataConsistency,
        n_iterations: int = 30,
        *,
        noise_factor: float = 1.0,
        first_noise_factor: float | None = None,
        scheme: Literal['alternating', 'admm'] = 'alternating',
        dim: Sequence[int] = (-2, -1),
    ) -> None:
        r"""Initialize the model.

        Parameters
        ----------
        denoiser
            Called with a complex image, shape `(*other, coils, z, y, x)`, and the standard deviation of its complex
            noise, broadcastable to the image: a `~mrpro_lambda.nets.ComplexNet` with `noise_level`, for example.
        data_consistency
            Step towards the data. ADMM is one with `~mrpro_lambda.models.data_consistency.ProximalStep` only.
        n_iterations
            Number of iterations.
        noise_factor
            :math:`\kappa`, the noise level that the denoiser is told, relative to that of the data.
        first_noise_factor
            That of the first iteration. Default: `noise_factor`.
        scheme
            Whether to alternate denoiser and data consistency, or the scheme of ADMM.
        dim
            Negative axes that the denoiser treats together.
        """
        check_type('denoiser', denoiser, torch.nn.Module)
        check_type('data_consistency', data_consistency, DataConsistency)
        check_number('n_iterations', n_iterations, 1, integer=True)
        check_number('noise_factor', noise_factor, positive=True)
        first_noise_factor = noise_factor if first_noise_factor is None else first_noise_factor
        check_number('first_noise_factor', first_noise_factor, positive=True)
        if scheme not in ('alternating', 'admm'):
            raise ValueError(f"scheme must be 'alternating' or 'admm', got {scheme!r}.")
        super().__init__(dim, uses_noise_level=True)
        self.denoiser = denoiser
        self.data_consistency = data_consistency
        self.n_iterations = n_iterations
        self.noise_factor = noise_factor
        self.first_noise_factor = first_noise_factor
        self.scheme = scheme

    def reconstruct(
        self, measured: Measured, initial_image: torch.Tensor, noise_std: torch.Tensor | None
    ) -> torch.Tensor:
        """Iterate, see `NetworkModel.reconstruct`."""
        if noise_std is None:
            raise ValueError('Plug-and-play needs the noise level: give noise_std.')
        img, multiplier = initial_image, torch.zeros_like(initial_image)
        for i in range(self.n_iterations):
            fraction = i / max(1, self.n_iterations - 1)
            level = self.first_noise_factor ** (1 - fraction) * self.noise_factor**fraction * noise_std
            if self.scheme == 'alternating':
                img = self.denoiser(self.data_consistency(img, measured), level)
            else:
                consistent = self.data_consistency(img - multiplier, measured)
                img = self.denoiser(consistent + multiplier, level)
                multiplier = multiplier + consistent - img
        return img
