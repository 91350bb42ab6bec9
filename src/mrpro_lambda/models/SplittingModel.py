"""Splitting of a learned regularization from the inversion."""

from __future__ import annotations

from typing import Literal

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.data_consistency.normal_equations import solve_normal_equations
from mrpro_lambda.models.NetworkModel import NetworkModel
from mrpro_lambda.nets.ComplexNet import ComplexNet
from mrpro_lambda.operators.acquisition_factors import split_coil_maps
from mrpro_lambda.operators.CartesianAcquisitionOp import CartesianAcquisitionOp
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.ADMM import ADMM


class SplittingModel(NetworkModel):
    r"""ADMM between a classical reconstruction and a network that is trained on images alone [LIU2020]_.

    .. math::

        z^{k+1} &= \arg\min_z J_k(z) + \frac{\rho}{2} \|x^k - z + b^k\|_2^2, \qquad
        J_k(z) = \eta \left( \|A z - y\|_2^2 + \mu_k \|\nabla z\|_1 \right) \\
        \hat x^{k+1} &= f_\theta(x^k), \qquad
        x^{k+1} = \frac{\hat x^{k+1} + \rho (z^{k+1} - b^k)}{1 + \rho} \\
        b^{k+1} &= b^k + x^{k+1} - z^{k+1} \quad \text{or} \quad b^k + \hat x^{k+1} - z^{k+1}

    from :math:`x^0 = \arg\min J_0`, :math:`b^0 = 0`, with :math:`\mu_k = \mu_0 q^k`. The image is the last :math:`x`.
    The paper prints the dual rule with :math:`\hat x` here and that with :math:`x` in its training; the latter is that
    of ADMM. For the training, see `mrpro_lambda.training.train_splitting`.

    References
    ----------
    .. [LIU2020] Liu J, Kuang T, Zhang X (2020) Image reconstruction by splitting deep learning regularization from
       iterative inversion. MICCAI, Lect Notes Comput Sci 12262
    """

    def __init__(
        self,
        net: ComplexNet,
        n_loops: int = 5,
        *,
        rho: float = 1.0,
        eta: float = 1.0,
        first_mu: float = 0.02,
        decay: float = 0.5,
        dual: Literal['x', 'xhat'] = 'x',
        n_iterations: int = 30,
    ) -> None:
        r"""Initialize the model.

        Parameters
        ----------
        net
            Network :math:`f_\theta`, from an image to a better one.
        n_loops
            Number of loops.
        rho
            Penalty :math:`\rho`.
        eta
            Weight :math:`\eta` of the data.
        first_mu
            Weight :math:`\mu_0` of the total variation, relative to the intensity of the image; 0 for none.
        decay
            Factor :math:`q` of the weight from one loop to the next, above 0 and at most 1.
        dual
            Dual rule.
        n_iterations
            Iterations of the solver of a loop, which starts from the last image: ADMM with total variation, and without
            conjugate gradients where there is no closed form.
        """
        check_type('net', net, ComplexNet)
        check_number('n_loops', n_loops, 1, integer=True)
        check_number('n_iterations', n_iterations, 1, integer=True)
        check_number('rho', rho, positive=True)
        check_number('eta', eta, positive=True)
        check_number('first_mu', first_mu)
        check_number('decay', decay, 0, 1)
        if not decay:
            raise ValueError(f'decay must be above 0 and at most 1, got {decay!r}.')
        if dual not in ('x', 'xhat'):
            raise ValueError(f"dual must be 'x' or 'xhat', got {dual!r}.")
        super().__init__(net.dim, uses_noise_level=net.noise_level)
        self.net = net
        self.n_loops = n_loops
        self.rho = rho
        self.eta = eta
        self.first_mu = first_mu
        self.decay = decay
        self.dual = dual
        self.n_iterations = n_iterations

    def refusal(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,  # noqa: ARG002
    ) -> str | None:
        """Tell that total variation needs a Cartesian acquisition here, see `Model.refusal`."""
        gram = LeastSquares(acquisition_op).gram
        if not self.first_mu or (isinstance(gram, CirculantGramOp) and gram.pad_op is None):
            return None
        return (
            'Splitting with total variation needs samples on the grid of the image (or first_mu=0), got another '
            f'acquisition for data of shape {tuple(data.shape)}.'
        )

    def reconstruct(
        self, measured: Measured, initial_image: torch.Tensor, noise_std: torch.Tensor | None
    ) -> torch.Tensor:
        """Iterate, see `NetworkModel.reconstruct`."""
        img = self.start(measured, initial_image)
        dual = torch.zeros_like(img)
        for loop in range(self.n_loops):
            z = self.invert(measured, img, dual, loop)
            estimate = self.net(img, noise_std)
            img = (estimate + self.rho * (z - dual)) / (1 + self.rho)
            dual = dual + (img if self.dual == 'x' else estimate) - z
        return img

    def start(self, measured: Measured, initial_image: torch.Tensor) -> torch.Tensor:
        r"""Minimize :math:`J_0`, by three times the iterations of a loop.

        Without total variation it has many minimizers, or one with much noise: then it is the first inversion, near the
        initial image.
        """
        if not self.first_mu:
            return self.invert(measured, initial_image, torch.zeros_like(initial_image), 0)
        solver = ADMM(TotalVariation(self.net.dim), n_iterations=3 * self.n_iterations)
        return solver(measured.data, measured.data_term, initial_image, self.first_mu / 2)

    def invert(self, measured: Measured, img: torch.Tensor, dual: torch.Tensor, loop: int) -> torch.Tensor:
        """Minimize the classical functional near an image, with the weight of a loop.

        Parameters
        ----------
        measured
            Data with their data term.
        img
            Image :math:`x^k`.
        dual
            Dual variable :math:`b^k`.
        loop
            Number :math:`k` of the loop.

        Returns
        -------
            Image :math:`z^{k+1}`.
        """
        mu, target, weight = self.first_mu * self.decay**loop, img + dual, self.rho / (2 * self.eta)
        if not mu:
            weights = torch.full_like(measured.norm(img), weight)
            return solve_normal_equations(measured, target, weights, self.n_iterations)
        data, acquisition_op = _joined(measured, target, weight)
        solver = ADMM(TotalVariation(self.net.dim), n_iterations=self.n_iterations)
        return solver(data, acquisition_op, img, mu / 2)


def _joined(measured: Measured, target: torch.Tensor, weight: float) -> tuple[torch.Tensor, CartesianAcquisitionOp]:
    r"""Return one least-squares problem for :math:`\|A z - y\|^2 + w \|z - t\|^2`, up to a constant.

    The image itself is one more coil, which is completely sampled with the weight :math:`\sqrt{w}`. Without
    sensitivities it is the same coil.
    """
    gram = measured.data_term.gram
    if not isinstance(gram, CirculantGramOp):
        raise ValueError(f'The acquisition must be Cartesian, got {type(gram).__name__}.')
    dim = gram.dim or (-1,)
    transfer = torch.fft.fftshift(gram.transfer, dim=gram.dim) if gram.dim else gram.transfer
    transfer = transfer.reshape(*(1,) * max(4 - transfer.ndim, 0), *transfer.shape).to(target.dtype.to_real())
    if gram.csm is None:
        mask = (transfer + weight).sqrt()
        acquisition_op = CartesianAcquisitionOp(mask, None, dim)
        return acquisition_op.fourier_op(measured.rhs + weight * target)[0] / mask, acquisition_op
    coils = Measured(measured.data, LeastSquares(split_coil_maps(measured.data_term.acquisition_op)[0]))
    n_coils, mask = gram.csm.shape[-4], transfer.sqrt()
    one = torch.ones_like(gram.csm.narrow(-4, 0, 1))
    full = torch.full_like(mask.narrow(-4, 0, 1), weight**0.5)
    acquisition_op = CartesianAcquisitionOp(
        torch.cat([mask.expand(*mask.shape[:-4], n_coils, *mask.shape[-3:]), full], -4),
        torch.cat([gram.csm, one], -4),
        dim,
    )
    samples = acquisition_op.fourier_op(coils.rhs)[0] / torch.where(mask > 0, mask, 1) * (mask > 0)
    shape = samples.shape[:-4]
    return torch.cat(
        [samples, (weight**0.5 * acquisition_op.fourier_op(target)[0]).expand(*shape, -1, -1, -1, -1)], -4
    ), acquisition_op
