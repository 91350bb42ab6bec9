"""End-to-end variational network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.NetworkModel import NetworkModel
from mrpro_lambda.nets.ComplexNet import ComplexNet
from mrpro_lambda.operators.acquisition_factors import split_coil_maps
from mrpro_lambda.operators.calibration_box import calibration_box
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp

SMALLEST_WIDTH = 8
"""Samples of the center of k-space along each axis that the sensitivity network needs."""


class VarNet(NetworkModel):
    r"""Unrolled gradient steps and networks on coil images, end to end [SRI2020]_.

    .. math::

        z_{t+1} = z_t - \eta_t E^H (E z_t - y) - S u_{\theta_t}(S^H z_t), \qquad \hat x = S^H z_T

    for coil images :math:`z = S x`, whose k-space is that of the paper, and the acquisition :math:`A = E S`. The
    steps :math:`\eta_t` are learned, relative to :math:`1 / \|E\|^2`. With a sensitivity network, the maps :math:`S`
    are those that it finds in the calibration lines, in the phase of the maps of the acquisition. With one coil there
    is nothing to find, and :math:`z` is the image.

    References
    ----------
    .. [SRI2020] Sriram A, Zbontar J, Murrell T, et al. (2020) End-to-end variational networks for accelerated MRI
       reconstruction. MICCAI https://doi.org/10.1007/978-3-030-59713-9_7
    """

    def __init__(
        self,
        nets: ComplexNet | Sequence[ComplexNet],
        n_cascades: int = 12,
        *,
        sensitivity_net: ComplexNet | None = None,
        initial_step: float = 1.0,
    ) -> None:
        r"""Initialize the model.

        Parameters
        ----------
        nets
            Network, or one for each cascade.
        n_cascades
            Number of cascades.
        sensitivity_net
            Network that corrects the low-resolution image of each coil, from which the sensitivities are calculated.
            `None` takes those of the acquisition.
        initial_step
            Initial value of the steps :math:`\eta_t`.

        Raises
        ------
        ValueError
            If the number of networks is neither 1 nor that of the cascades, or if one needs the noise level.
        """
        check_number('n_cascades', n_cascades, 1, integer=True)
        check_number('initial_step', initial_step, positive=True)
        nets = [nets] if isinstance(nets, ComplexNet) else list(nets)
        if len(nets) not in (1, n_cascades):
            raise ValueError(f'nets must be one or {n_cascades=}, got {len(nets)}.')
        for net in (*nets, *([] if sensitivity_net is None else [sensitivity_net])):
            check_type('Each of nets, and sensitivity_net', net, ComplexNet)
        super().__init__(nets[0].dim, uses_noise_level=any(net.noise_level for net in nets))
        self.nets = torch.nn.ModuleList(nets)
        self.sensitivity_net = sensitivity_net
        self.steps = torch.nn.ParameterList(torch.tensor(float(initial_step)) for _ in range(n_cascades))

    def refusal(self, data: torch.Tensor, acquisition_op: LinearOperator, initial_image: torch.Tensor) -> str | None:
        """Tell that the sensitivity network needs calibration lines, see `Model.refusal`."""
        encoding_op, csm = split_coil_maps(acquisition_op)
        if csm is None and initial_image.shape[-4] != data.shape[-4]:
            return (
                'VarNet needs an acquisition whose coil sensitivities can be told from it, got '
                f'{type(acquisition_op).__name__} for data of shape {tuple(data.shape)}.'
            )
        if self.sensitivity_net is None or csm is None or csm.shape[-4] == 1:
            return None
        gram = LeastSquares(encoding_op).gram
        rule = f'The sensitivity network needs {SMALLEST_WIDTH} fully sampled points around the k-space center'
        if not isinstance(gram, CirculantGramOp):
            return f'{rule} on a Cartesian grid, got another acquisition for data of shape {tuple(data.shape)}.'
        _, widths = calibration_box(gram, initial_image.shape[-3:])
        needed = torch.tensor([min(SMALLEST_WIDTH, n) for n in initial_image.shape[-3:]])
        if bool((widths < needed).any()):
            return f'{rule} along each axis, got {widths.flatten(0, -2).amin(0).tolist()} along (z, y, x).'
        return None

    def reconstruct(
        self, measured: Measured, initial_image: torch.Tensor, noise_std: torch.Tensor | None
    ) -> torch.Tensor:
        """Run the cascades, see `NetworkModel.reconstruct`."""
        encoding_op, csm = split_coil_maps(measured.data_term.acquisition_op)
        coils = Measured(measured.data, LeastSquares(encoding_op))
        if csm is None:
            csm = torch.ones_like(initial_image[..., :1, :1, :1])
        # the adjoint of samples that are not on a grid is blurred, which the initial image is not
        cartesian = isinstance(coils.data_term.gram, CirculantGramOp)
        z = coils.rhs / coils.norm(coils.rhs) if cartesian else csm * initial_image
        if self.sensitivity_net is not None and csm.shape[-4] > 1:
            csm = self._refined(csm, coils)
        combine = csm.conj() / _nonzero(csm.abs().square().sum(-4, keepdim=True))
        norm = coils.norm(z)
        norm = norm.amax(-4, keepdim=True)
        for i, step in enumerate(self.steps):
            img = (combine * z).sum(-4, keepdim=True) if initial_image.shape[-4] == 1 else combine * z
            correction = csm * self.nets[i % len(self.nets)](img, noise_std)
            z = z - step / norm * coils.gradient(z) - correction
        return (combine * z).sum(-4, keepdim=True) if initial_image.shape[-4] == 1 else combine * z

    def _refined(self, csm: torch.Tensor, coils: Measured) -> torch.Tensor:
        """Calculate sensitivities from the calibration lines, in the phase of those of the acquisition."""
        gram = coils.data_term.gram
        if self.sensitivity_net is None or not isinstance(gram, CirculantGramOp):
            return csm
        box, _ = calibration_box(gram, csm.shape[-3:])
        center = torch.fft.ifftn(torch.fft.fftn(coils.rhs, dim=(-3, -2, -1)) * box, dim=(-3, -2, -1))
        # coils that fill up a batch have no signal, and must not get any
        present = (csm != 0).any((-3, -2, -1), keepdim=True)
        found = present * self.sensitivity_net(center)
        found = found / _nonzero(torch.linalg.vector_norm(found, dim=-4, keepdim=True))
        agreement = (csm.conj() * found).sum(-4, keepdim=True)
        return found * agreement.conj() / _nonzero(agreement.abs())


def _nonzero(x: torch.Tensor) -> torch.Tensor:
    """Replace zeros by ones."""
    return torch.where(x > 0, x, 1)
