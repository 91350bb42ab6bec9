"""A network that chooses numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch.nn import Conv1d, Conv2d, Conv3d
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, leaky_relu, softplus

from mrpro_lambda.checks import check_axes, check_number, check_type
from mrpro_lambda.nets.intensity import intensity
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice

_CONV = {1: Conv1d, 2: Conv2d, 3: Conv3d}
_AVERAGE = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}


class NumberNet(Weight):
    r"""A small network that reads one number for each map off the image, the scalar competitor of a Lambda map.

    .. math::

        \Lambda_k = \rho\, t \cdot \mathrm{softplus}\big(w_k^T\, \overline{u(\log(1 + |x_0| / \rho))} + b_k\big)

    :math:`u` has a convolution at each of three resolutions, each followed by leaky ReLU, and the bar is the mean over
    the image. The reference :math:`\rho` is the standard deviation of the noise, or the intensity of the image, so that
    :math:`\Lambda` scales with the scan; :math:`t > 0` is learned.
    """

    def __init__(
        self,
        n_maps: int,
        n_features: int = 16,
        *,
        dim: Sequence[int] = (-2, -1),
        noise_level: bool = True,
        initial_scale: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Initialize the network.

        Parameters
        ----------
        n_maps
            Number of maps.
        n_features
            Number of features at the highest resolution, twice as many below it.
        dim
            Negative axes, one to three, that are convolved and that share a number.
        noise_level
            Use the standard deviation of the noise as reference; otherwise the intensity of the image.
        initial_scale
            Initial value of the learned factor.
        generator
            Random number generator of the initial weights; `None` uses a new one with seed 0.

        Raises
        ------
        ValueError
            If an axis is not negative or is repeated, or if a number is not valid.
        """
        super().__init__()
        check_number('n_maps', n_maps, 1, integer=True)
        check_number('n_features', n_features, 1, 2048, integer=True)
        check_number('initial_scale', initial_scale, positive=True)
        check_type('noise_level', noise_level, bool)
        check_axes('dim', dim)
        self.dim = tuple(dim)
        if not 1 <= len(self.dim) <= 3 or len(set(self.dim)) != len(self.dim):
            raise ValueError(f'dim must hold one to three negative axes, each once, got {dim=}.')
        self.noise_level = noise_level
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(initial_scale)))
        sizes = ((1, n_features), (n_features, 2 * n_features), (2 * n_features, 2 * n_features))
        with torch.random.fork_rng(devices=()):  # torch draws weights that are replaced below
            self.convs = torch.nn.ModuleList(
                # an image may be smaller than what could be reflected
                _CONV[len(self.dim)](n_in, n_out, kernel_size=3, padding=1, padding_mode='replicate')
                for n_in, n_out in sizes
            )
            self.last = torch.nn.Linear(2 * n_features, n_maps)
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        for layer in (*self.convs, self.last):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity='leaky_relu', generator=generator)
            torch.nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.last.weight.mul_(0.1)  # so that the numbers start alike

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:
        """Return both references."""
        return {
            'number net': cls(n_maps, 3),
            'number net, intensity': cls(n_maps, 3, noise_level=False, initial_scale=0.02),
        }

    @property
    def uses_noise_level(self) -> bool:
        """Whether the numbers are relative to the noise."""
        return self.noise_level

    def choose(self, scan: Scan) -> WeightChoice:
        """Return the numbers of each image."""
        img = scan.initial_image
        if img.ndim < max(-d for d in self.dim):
            raise ValueError(f'initial_image must have the axes dim={self.dim}, got shape {tuple(img.shape)}.')
        found = intensity(img, self.dim)  # with its checks of the image
        reference = scan.noise_level if self.noise_level else found
        last = tuple(range(-len(self.dim), 0))
        x = (img / reference).abs().log1p().movedim(self.dim, last)
        other = x.shape[: -len(self.dim)]
        x = x.flatten(0, -len(self.dim) - 1).unsqueeze(1).to(self.log_scale.dtype)
        for i, conv in enumerate(self.convs):
            if i:
                x = _AVERAGE[len(self.dim)](x, [min(2, n) for n in x.shape[2:]], ceil_mode=True)
            x = leaky_relu(conv(x))
        numbers = softplus(self.last(x.mean(last))).movedim(1, 0).to(found.dtype)
        numbers = numbers.reshape(-1, *other, *(1,) * len(self.dim)).movedim(last, self.dim)
        # a noise level that varies within an image has one reference for its number
        reference = reference.square().mean(self.dim, keepdim=True).sqrt()
        return WeightChoice(reference * self.log_scale.exp() * numbers)

    def check_solver(self, solver: Solver) -> None:
        """Raise an error if the network does not give one number for each map."""
        if self.last.out_features != solver.regularizer.n_maps:
            raise ValueError(
                f'The network gives {self.last.out_features} number(s), but {type(solver.regularizer).__name__} needs '
                f'{solver.regularizer.n_maps}.'
            )
