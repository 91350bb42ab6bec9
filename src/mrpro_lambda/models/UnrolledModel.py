"""Alternation of a network and data consistency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.models.data_consistency.DataConsistency import DataConsistency
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.NetworkModel import NetworkModel
from mrpro_lambda.nets.ComplexNet import ComplexNet


class UnrolledModel(NetworkModel):
    r"""A fixed number of steps :math:`x \leftarrow u_{\theta_p}(\mathrm{DC}_p(x))`, trained end to end.

    The network and the step towards the data are the same in each iteration, or each iteration has its own. In the
    other order, with one network and `~mrpro_lambda.models.data_consistency.ProximalStep`, it is MoDL [AGG2019]_:

    .. math::

        z_k = x_k + u_\theta(x_k), \qquad
        x_{k+1} = (A^H A + \lambda)^{-1} (A^H y + \lambda z_k), \qquad x_0 = A^H y

    References
    ----------
    .. [AGG2019] Aggarwal HK, Mani MP, Jacob M (2019) MoDL: Model-based deep learning architecture for inverse problems.
       IEEE Trans Med Imaging 38(2) https://doi.org/10.1109/TMI.2018.2865356
    """

    def __init__(
        self,
        nets: ComplexNet | Sequence[ComplexNet],
        data_consistency: DataConsistency | Sequence[DataConsistency],
        n_iterations: int,
        *,
        last: Literal['network', 'data_consistency'] = 'network',
    ) -> None:
        """Initialize the model.

        Parameters
        ----------
        nets
            Network, or one for each iteration.
        data_consistency
            Step towards the data, or one for each iteration.
        n_iterations
            Number of iterations.
        last
            What an iteration ends with.

        Raises
        ------
        ValueError
            If the number of networks or steps is neither 1 nor that of the iterations.
        """
        check_number('n_iterations', n_iterations, 1, integer=True)
        nets = [nets] if isinstance(nets, ComplexNet) else list(nets)
        steps = [data_consistency] if isinstance(data_consistency, DataConsistency) else list(data_consistency)
        for name, items, kind in (('nets', nets, ComplexNet), ('data_consistency', steps, DataConsistency)):
            for item in items:
                check_type(f'Each of {name}', item, kind)
            if len(items) not in (1, n_iterations):
                raise ValueError(f'{name} must be one or {n_iterations=}, got {len(items)}.')
        if last not in ('network', 'data_consistency'):
            raise ValueError(f"last must be 'network' or 'data_consistency', got {last!r}.")
        super().__init__(nets[0].dim, uses_noise_level=any(net.noise_level for net in nets))
        self.nets = torch.nn.ModuleList(nets)
        self.steps = torch.nn.ModuleList(steps)
        self.n_iterations = n_iterations
        self.last = last

    def reconstruct(
        self, measured: Measured, initial_image: torch.Tensor, noise_std: torch.Tensor | None
    ) -> torch.Tensor:
        """Iterate, see `NetworkModel.reconstruct`."""
        img = initial_image
        for i in range(self.n_iterations):
            net, step = self.nets[i % len(self.nets)], self.steps[i % len(self.steps)]
            if self.last == 'network':
                img = net(step(img, measured), noise_std)
            else:
                img = step(net(img, noise_std), measured)
        return img
