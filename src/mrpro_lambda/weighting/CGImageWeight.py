"""A weight that looks at an image of a few steps of conjugate gradients."""

from __future__ import annotations

from collections.abc import Mapping

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.regularizers.Tikhonov import Tikhonov
from mrpro_lambda.solvers.ConjugateGradient import ConjugateGradient
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.NetworkWeight import NetworkWeight
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class CGImageWeight(Weight):
    r"""The map that another weight chooses for an image near the solutions of :math:`A^H A x = A^H y`.

    A few steps of conjugate gradients begin at the initial image, for each image with steps of its own. They remove the
    aliasing that the coil sensitivities can tell from the object, before a network looks for edges and motion.
    """

    def __init__(self, weight: Weight, n_iterations: int = 8) -> None:
        """Initialize the weight.

        Parameters
        ----------
        weight
            Weight that sees that image in place of the initial image.
        n_iterations
            Number of steps. Many of them amplify the noise.

        Raises
        ------
        ValueError
            If `n_iterations` is not positive.
        """
        super().__init__()
        check_type('weight', weight, Weight)
        check_number('n_iterations', n_iterations, 1, integer=True)
        self.weight = weight
        self.n_iterations = n_iterations
        self._solver = ConjugateGradient(Tikhonov(), n_iterations=n_iterations)

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:
        """Return one with a network."""
        return {'network of a CG image': cls(NetworkWeight.examples(n_maps)['network'], 2)}

    @property
    def relative(self) -> bool:
        """Whether the map scales with the scan."""
        return self.weight.relative

    @property
    def uses_noise_level(self) -> bool:
        """Whether the weight needs the noise level."""
        return self.weight.uses_noise_level

    @property
    def uses_data(self) -> bool:
        """Whether data and acquisition operator are needed, which they are."""
        return True

    @property
    def counts_samples(self) -> bool:
        """Whether repeated samples are accounted for."""
        return self.weight.counts_samples

    def choose(self, scan: Scan) -> WeightChoice:
        """Return the choice for the image of conjugate gradients."""
        data, acquisition_op = scan.measured()
        img = self._solver(data, acquisition_op, scan.initial_image, 0.0)
        return self.weight.choose(scan._replace(initial_image=img))

    def check_solver(self, solver: Solver) -> None:
        """Raise an error if the weight can not give the maps."""
        self.weight.check_solver(solver)

    def start_from(self, earlier: Weight) -> None:
        """Take the parameters of the weight of another one."""
        check_type('The weight of the initial weights', earlier, CGImageWeight)
        if isinstance(earlier, CGImageWeight):
            self.weight.start_from(earlier.weight)
