"""A weight that a network chooses."""

from __future__ import annotations

from collections.abc import Mapping

from mrpro_lambda.checks import check_type
from mrpro_lambda.nets.inputs import ImageInput, NetworkInput, ResponsesInput
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.nets.UNet import UNet
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class NetworkWeight(Weight):
    r"""A map :math:`\Lambda_\theta(x_0, \sigma)` that a network chooses, of the image or of responses to filters.

    With a dictionary :math:`D`, the responses are :math:`D^H x_0`, or :math:`D^H (x_0 - x_{low})` for a network with
    `high_pass`.
    """

    def __init__(self, lambda_net: LambdaNet) -> None:
        """Initialize the weight.

        Parameters
        ----------
        lambda_net
            Network.
        """
        super().__init__()
        check_type('lambda_net', lambda_net, LambdaNet)
        self.lambda_net = lambda_net

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:
        """Return networks of the image, and one of the responses of the filters of a dictionary."""

        def network(network_input: NetworkInput, n_channels_out: int, initial_scale: float = 1.0) -> LambdaNet:
            backbone = UNet(2, 1, n_channels_out, n_features=2, n_resolutions=2)
            return LambdaNet(backbone, [network_input], padding=3, initial_scale=initial_scale)

        return {
            'network': cls(network(ImageInput('signal_to_noise'), n_maps)),
            'network of the image': cls(network(ImageInput('magnitude'), n_maps, 0.05)),
            'network of responses': cls(network(ResponsesInput('signal_to_noise', None, True), 1)),
        }

    @property
    def uses_noise_level(self) -> bool:
        """Whether the network uses the noise level."""
        return self.lambda_net.uses_noise_level

    def choose(self, scan: Scan) -> WeightChoice:
        """Return the map of the network."""
        net, regularizer = self.lambda_net, scan.solver.regularizer
        responses = None
        if net.uses_responses and regularizer.dictionary_op is not None:
            smooth = regularizer.offset(scan.initial_image) if net.high_pass else None
            (responses,) = regularizer.dictionary_op.adjoint(
                scan.initial_image if smooth is None else scan.initial_image - smooth
            )
        return WeightChoice(net(scan.initial_image, scan.noise_std if self.uses_noise_level else None, responses))

    def check_solver(self, solver: Solver) -> None:
        """Raise an error if the network needs a dictionary that is not there, or gives another number of maps."""
        net, regularizer = self.lambda_net, solver.regularizer
        if net.uses_responses and regularizer.dictionary_op is None:
            raise ValueError(
                f'A network for the responses of filters needs a dictionary, got {type(regularizer).__name__}.'
            )
        if net.n_maps not in (None, regularizer.n_maps):
            raise ValueError(
                f'The network gives {net.n_maps} map(s), but {type(regularizer).__name__} needs {regularizer.n_maps}. '
                "Networks with responses='each' (V3) take dictionaries of any size."
            )

    def start_from(self, earlier: Weight) -> None:
        """Take the weights of a network that may see less, see `LambdaNet.start_from`."""
        check_type('The weight of the initial weights', earlier, NetworkWeight)
        if isinstance(earlier, NetworkWeight):
            self.lambda_net.start_from(earlier.lambda_net)
