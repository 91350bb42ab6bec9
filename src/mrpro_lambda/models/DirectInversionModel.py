"""Direct inversion by dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from mrpro.operators import LinearOperator
from torch.nn import Conv2d, Linear

from mrpro_lambda.checks import check_number
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.NetworkModel import NetworkModel

_KERNEL = 5
_LAST_KERNEL = 7


class DirectInversionModel(NetworkModel):
    r"""Dense layers from the samples to the pixels, then convolutions, after AUTOMAP [ZHU2018]_.

    The network knows nothing of the acquisition and is bound to one number of samples, coils and pixels. Its weights
    grow with the fourth power of the matrix size.

    References
    ----------
    .. [ZHU2018] Zhu B, Liu JZ, Cauley SF, Rosen BR, Rosen MS (2018) Image reconstruction by domain-transform manifold
       learning. Nature 555 https://doi.org/10.1038/nature25988
    """

    def __init__(
        self,
        data_shape: Sequence[int],
        image_shape: Sequence[int],
        n_hidden: int,
        n_features: int = 64,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the model.

        Parameters
        ----------
        data_shape
            Shape `(coils, k2, k1, k0)` of the data.
        image_shape
            Sizes `(y, x)` of the image.
        n_hidden
            Number of values between the two dense layers.
        n_features
            Number of features of the convolutions.
        generator
            Random number generator of the initial weights; `None` uses a new one with seed 0.
        """
        super().__init__()
        for name, sizes, length in (('data_shape', data_shape, 4), ('image_shape', image_shape, 2)):
            if len(sizes) != length:
                raise ValueError(f'{name} must have {length} sizes, got {tuple(sizes)}.')
            for size in sizes:
                check_number(name, size, 1, integer=True)
        check_number('n_hidden', n_hidden, 1, integer=True)
        check_number('n_features', n_features, 1, integer=True)
        self.data_shape = tuple(data_shape)
        self.image_shape = (1, 1, *image_shape)
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        n_data, n_pixels = 2 * prod(data_shape), 2 * prod(image_shape)
        with torch.random.fork_rng(devices=()):  # torch draws weights that are replaced below
            self.dense = torch.nn.ModuleList([Linear(n_data, n_hidden), Linear(n_hidden, n_pixels)])
            self.convolutions = torch.nn.ModuleList(
                [
                    Conv2d(2, n_features, _KERNEL, padding=_KERNEL // 2),
                    Conv2d(n_features, n_features, _KERNEL, padding=_KERNEL // 2),
                    Conv2d(n_features, 2, _LAST_KERNEL, padding=_LAST_KERNEL // 2),
                ]
            )
        for layer in (*self.dense, *self.convolutions):
            torch.nn.init.xavier_normal_(layer.weight, generator=generator)
            torch.nn.init.zeros_(layer.bias)

    def refusal(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator,  # noqa: ARG002
        initial_image: torch.Tensor,
    ) -> str | None:
        """Tell that the sizes are others than those of the network, see `Model.refusal`."""
        found = tuple(data.shape[-4:]), tuple(initial_image.shape[-4:])
        if found == (self.data_shape, self.image_shape):
            return None
        return (
            f'Direct inversion needs data of shape (*other, {", ".join(map(str, self.data_shape))}) and images of '
            f'shape (*other, {", ".join(map(str, self.image_shape))}), for which its dense layers are made, got '
            f'{tuple(data.shape)} and {tuple(initial_image.shape)}.'
        )

    def reconstruct(
        self,
        measured: Measured,
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | None,  # noqa: ARG002
    ) -> torch.Tensor:
        """Apply the layers, see `NetworkModel.reconstruct`."""
        x = torch.view_as_real(measured.data.reshape(-1, prod(self.data_shape))).flatten(1)
        for dense in self.dense:
            x = dense(x).tanh()
        x = x.unflatten(1, (2, *self.image_shape[-2:]))
        for convolution in self.convolutions[:2]:
            x = convolution(x).relu()
        x = self.convolutions[2](x)
        return torch.complex(*x.unbind(1)).reshape(initial_image.shape)
