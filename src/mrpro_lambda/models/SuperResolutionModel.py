"""Super-resolution of acquisitions of the center of k-space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_type
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.NetworkModel import NetworkModel
from mrpro_lambda.nets.DenseNet import DenseNet
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp


class SuperResolutionModel(NetworkModel):
    r"""A network turns the image of half the resolution into what the central box of k-space lacks [TON2017]_.

    :math:`\hat x = x_0 + u_\theta(x_{low})`, where :math:`x_{low}` is the initial image on the grid of the box, with
    half as many pixels along two axes. In the paper there is no :math:`x_0`. No other sampling can be used.

    References
    ----------
    .. [TON2017] Tong T, Li G, Liu X, Gao Q (2017) Image super-resolution using dense skip connections. IEEE ICCV
       https://doi.org/10.1109/ICCV.2017.514
    """

    def __init__(self, net: DenseNet, dim: Sequence[int] = (-2, -1)) -> None:
        """Initialize the model.

        Parameters
        ----------
        net
            Network.
        dim
            The two negative axes of low resolution.
        """
        check_type('net', net, DenseNet)
        super().__init__(dim)
        if len(dim) != 2 or dim[0] == dim[1]:
            raise ValueError(f'dim must hold two different axes, got {dim=}.')
        self.net = net
        self.dim = tuple(dim)

    def refusal(
        self,
        data: torch.Tensor,  # noqa: ARG002
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,
    ) -> str | None:
        """Tell that not the central half of k-space is sampled, see `Model.refusal`."""
        rule = f'Super-resolution by 2 needs the central half of k-space along each of {self.dim} and nothing else'
        shape, gram = tuple(initial_image.shape), LeastSquares(acquisition_op).gram
        if not isinstance(gram, CirculantGramOp):
            return f'{rule}, got an acquisition that is not on a grid for an image of shape {shape}.'
        if any(shape[d] % 2 for d in self.dim) or gram.pad_op is not None:
            return f'{rule}, got an image of shape {shape} with an odd size or readout oversampling.'
        sampled = gram.transfer > 0
        box = torch.ones(shape[-4:], dtype=torch.bool, device=sampled.device)
        for d in self.dim:
            size = [1] * 4
            size[d] = -1
            box = box & _central_half(shape[d], sampled.device).reshape(size)
        if not bool((sampled == box).all()):
            n, m = int(sampled.expand(torch.broadcast_shapes(sampled.shape, box.shape)).sum()), int(box.sum())
            return f'{rule}, got {n} samples of a grid for images of shape {shape}, where a box has {m}.'
        return None

    def reconstruct(
        self,
        measured: Measured,  # noqa: ARG002
        initial_image: torch.Tensor,
        noise_std: torch.Tensor | None,  # noqa: ARG002
    ) -> torch.Tensor:
        """Raise the resolution, see `NetworkModel.reconstruct`."""
        spectrum = torch.fft.fftn(initial_image, dim=self.dim)
        for d in self.dim:
            half = _central_half(initial_image.shape[d], initial_image.device)
            spectrum = spectrum.index_select(d, half.nonzero()[:, 0])
        low = torch.fft.ifftn(spectrum, dim=self.dim) / 4  # the intensity of the image
        arranged = low.movedim(self.dim, (-2, -1))
        x = torch.view_as_real(arranged.reshape(-1, *arranged.shape[-2:])).movedim(-1, 1)
        high = torch.complex(*self.net(x).unbind(1))
        return initial_image + high.reshape(*arranged.shape[:-2], *high.shape[-2:]).movedim((-2, -1), self.dim)


def _central_half(n: int, device: torch.device) -> torch.Tensor:
    """Return which of `n` frequencies, in the order of `torch.fft.fftn`, are in the central half."""
    index = torch.arange(n, device=device)
    start = n // 2 - n // 2 // 2
    return torch.fft.ifftshift((index >= start) & (index < start + n // 2))
