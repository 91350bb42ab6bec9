"""Numbers that are trained on a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.GivenWeight import as_numbers
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class LearnedNumbers(Weight):
    r"""One trained number for each map, the same for all scans: :math:`\Lambda_k = \rho\, e^{\theta_k}`.

    The reference :math:`\rho` is the standard deviation of the noise, or the intensity of the image, so that
    :math:`\Lambda` scales with the scan. What a map gains over the best numbers for a data set is what is local in it.
    """

    def __init__(
        self, n_maps: int, initial: float | Sequence[float] | torch.Tensor = 1.0, *, noise_level: bool = True
    ) -> None:
        r"""Initialize the numbers.

        Parameters
        ----------
        n_maps
            Number of maps.
        initial
            Initial value of :math:`e^{\theta_k}`, one for all maps or one for each.
        noise_level
            Use the standard deviation of the noise as reference; otherwise the intensity of the image.

        Raises
        ------
        ValueError
            If an initial value is not positive, or if there is not one for each map.
        """
        super().__init__()
        check_number('n_maps', n_maps, 1, integer=True)
        check_type('noise_level', noise_level, bool)
        numbers = as_numbers('initial', initial)
        if numbers.shape not in ((), (1,), (n_maps,)) or not bool((numbers > 0).all()):
            raise ValueError(
                f'initial must be a positive number, or one for each of {n_maps} map(s), got {numbers.tolist()} of '
                f'shape {tuple(numbers.shape)}.'
            )
        self.noise_level = noise_level
        self.log_numbers = torch.nn.Parameter(numbers.detach().log().to(torch.float32).expand(n_maps).clone())

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:
        """Return both references."""
        return {
            'learned numbers': cls(n_maps, [0.3 + i for i in range(n_maps)]),
            'learned numbers, intensity': cls(n_maps, 0.1, noise_level=False),
        }

    @property
    def uses_noise_level(self) -> bool:
        """Whether the numbers are relative to the noise."""
        return self.noise_level

    def choose(self, scan: Scan) -> WeightChoice:
        """Return the numbers times the reference of each image."""
        reference = scan.noise_level if self.noise_level else scan.intensity
        numbers = self.log_numbers.to(reference.dtype).exp()
        return WeightChoice(numbers.reshape(-1, *(1,) * reference.ndim) * reference)

    def check_solver(self, solver: Solver) -> None:
        """Raise an error if there is not one number for each map."""
        if len(self.log_numbers) != solver.regularizer.n_maps:
            raise ValueError(
                f'There are {len(self.log_numbers)} learned number(s), but {type(solver.regularizer).__name__} needs '
                f'{solver.regularizer.n_maps}.'
            )

    def numbers(self) -> list[torch.nn.Parameter]:
        """Return the numbers."""
        return [self.log_numbers]
