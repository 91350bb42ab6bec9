"""Reconstruction by a network that corrects the initial image."""

from __future__ import annotations

import torch

from mrpro_lambda.checks import check_type
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.NetworkModel import NetworkModel
from mrpro_lambda.nets.ComplexNet import ComplexNet


class PostProcessingModel(NetworkModel):
    r"""A network corrects the initial image, :math:`\hat x = x_0 + u_\theta(x_0)`, and never sees the data [JIN2017]_.

    References
    ----------
    .. [JIN2017] Jin KH, McCann MT, Froustey E, Unser M (2017) Deep convolutional neural network for inverse problems in
       imaging. IEEE Trans Image Process 26(9) https://doi.org/10.1109/TIP.2017.2713099
    """

    def __init__(self, net: ComplexNet) -> None:
        """Initialize the model.

        Parameters
        ----------
        net
            Network, with `residual` the one that is added to the image.
        """
        check_type('net', net, ComplexNet)
        super().__init__(net.dim, uses_noise_level=net.noise_level)
        self.net = net

    def reconstruct(
        self,
        measured: Measured,  # noqa: ARG002
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | None,
    ) -> torch.Tensor:
        """Apply the network, see `NetworkModel.reconstruct`."""
        img: torch.Tensor = self.net(initial_image, noise_std)
        return img
