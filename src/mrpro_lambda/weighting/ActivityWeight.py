"""A formula of the local activity of the image in place of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from mrpro_lambda.checks import check_number
from mrpro_lambda.nets.InverseResponse import InverseResponse
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class ActivityWeight(Weight):
    r"""Three numbers for each map, :math:`\Lambda_k = t_k \sigma (1 + m_k / (\tau \sigma))^{-p}`.

    :math:`m_k` is the mean magnitude of the coefficients of map :math:`k` of the initial image in a window of 7
    samples: of its differences, its wavelet coefficients, or the responses of a filter of a dictionary. Regularization
    is strong where there is noise only, and falls where there is structure. The numbers have a meaning, and few enough
    of them to be fitted to one scan, see `FittedToScan`. With :math:`p = 1` the weight is the one of the maximum a
    posteriori estimate for coefficients with a Laplace distribution [CHA2000]_.

    References
    ----------
    .. [CHA2000] Chang SG, Yu B, Vetterli M (2000) Adaptive wavelet thresholding for image denoising and compression.
       IEEE Trans Image Process 9(9) https://doi.org/10.1109/83.862633
    """

    def __init__(self, n_maps: int | None = None, initial_scale: float = 0.5) -> None:
        r"""Initialize the weight.

        Parameters
        ----------
        n_maps
            Number of maps with a factor :math:`t_k` of their own. `None`: one factor for all, for any number of maps.
        initial_scale
            Initial value of :math:`t`.

        Raises
        ------
        ValueError
            If a number is not positive.
        """
        super().__init__()
        if n_maps is not None:
            check_number('n_maps', n_maps, 1, integer=True)
        check_number('initial_scale', initial_scale, positive=True)
        shape = () if n_maps is None else (n_maps,)
        self.log_scale = torch.nn.Parameter(torch.full(shape, math.log(initial_scale)))
        self.inverse_response = InverseResponse()

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:
        """Return one with a factor for all maps and one with a factor for each."""
        return {'activity': cls(), 'activity, each map': cls(n_maps)}

    @property
    def uses_noise_level(self) -> bool:
        """Whether the noise level is needed, which it is."""
        return True

    def choose(self, scan: Scan) -> WeightChoice:
        """Return the map."""
        regularizer, img, noise_level = scan.solver.regularizer, scan.initial_image, scan.noise_level
        if regularizer.dictionary_op is None:
            activity = regularizer.activity(img)
        else:
            smooth = regularizer.offset(img)
            activity = regularizer.dictionary_op.adjoint(img if smooth is None else img - smooth)[0].abs()
        activity = activity.amax(-4, keepdim=True) if activity.shape[-4] > 1 else activity
        dim = [d for d in (-3, -2, -1) if img.shape[d] > 1] or [-1]
        last = tuple(range(-len(dim), 0))
        relative = (activity / noise_level).movedim(dim, last)
        shape = relative.shape
        flat = relative.reshape(1, -1, *shape[-len(dim) :])
        factor = self.inverse_response(flat, [False] * len(dim)).reshape(shape).movedim(last, dim)
        scale = self.log_scale.to(factor.dtype).exp()
        return WeightChoice(scale.reshape(-1, *(1,) * img.ndim) * noise_level * factor)

    def check_solver(self, solver: Solver) -> None:
        """Raise an error if there is not one factor for each map."""
        n_maps = solver.regularizer.n_maps
        if self.log_scale.ndim and len(self.log_scale) != n_maps:
            raise ValueError(
                f'There are factors for {len(self.log_scale)} map(s), but {type(solver.regularizer).__name__} has '
                f'{n_maps}.'
            )

    def numbers(self) -> list[torch.nn.Parameter]:
        """Return all parameters, which are numbers with a meaning of their own."""
        return list(self.parameters())
