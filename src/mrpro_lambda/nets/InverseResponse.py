"""Factor of a Lambda map that falls with the responses of the filters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d

from mrpro_lambda.nets.continued import continued
from mrpro_lambda.nets.inputs.NetworkInput import NetworkInput

_AVERAGE = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}
_WINDOW = 7  # of the local mean of the responses, about the size of a filter
_THRESHOLD = 0.8  # the mean response to noise alone is about 0.5 to 0.9 of its standard deviation


class InverseResponse(torch.nn.Module):
    r"""Factor :math:`(1 + m_k / (\tau \sigma))^{-p}` with the mean magnitude :math:`m_k` of a response around a sample.

    The mean is taken in a window of 7 samples. :math:`\tau > 0` and :math:`p` are learned; :math:`p` begins at 1:
    coefficients with a Laplace distribution of mean magnitude :math:`b` have the weight :math:`\sigma^2 / b` in the
    maximum a posteriori estimate, see [CHA2000]_ for :math:`\sigma^2` over a standard deviation.

    References
    ----------
    .. [CHA2000] Chang SG, Yu B, Vetterli M (2000) Adaptive wavelet thresholding for image denoising and compression.
       IEEE Trans Image Process 9(9) https://doi.org/10.1109/83.862633
    """

    def __init__(self) -> None:
        """Initialize the factor."""
        super().__init__()
        self.log_threshold = torch.nn.Parameter(torch.tensor(math.log(_THRESHOLD)))
        self.exponent = torch.nn.Parameter(torch.tensor(1.0))

    @staticmethod
    def check_inputs(inputs: Sequence[NetworkInput]) -> None:
        """Raise an error unless the inputs of a network hold responses with high pass, and the noise level."""
        high_pass = any(item.high_pass for item in inputs)
        noise_level = any(item.uses_noise_level for item in inputs)
        if not (high_pass and noise_level):
            raise ValueError(
                'inverse_response needs responses of the high-passed image and the noise level, got inputs '
                f'{[item.name for item in inputs]} with {high_pass=}, {noise_level=}.'
            )

    def forward(self, responses: torch.Tensor, circular: Sequence[bool]) -> torch.Tensor:
        """Return the factor.

        Parameters
        ----------
        responses
            Magnitudes of the responses relative to the noise, shape `(n_filters, batch, *size)`.
        circular
            For each axis of `size`, whether it is continued periodically.

        Returns
        -------
            Factor, in the shape of the responses.
        """
        for i, is_circular in enumerate(circular):
            responses = continued(responses, i - len(circular), _WINDOW // 2, _WINDOW // 2, circular=is_circular)
        mean = _AVERAGE[len(circular)](responses, _WINDOW, stride=1)
        return torch.exp(-self.exponent * torch.log1p(mean / self.log_threshold.exp()))
