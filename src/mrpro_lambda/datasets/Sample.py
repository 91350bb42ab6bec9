"""What a training sees of a sample."""

from typing import Protocol

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.data_terms import DataTerm


class Sample(Protocol):
    """Acquisition of an image with its truth, and a batch of them along a new first axis."""

    @property
    def img(self) -> torch.Tensor:
        """Image, the target, shape `(*other, coils=1, z, y, x)`."""

    @property
    def data(self) -> torch.Tensor:
        """Noisy data."""

    @property
    def initial_image(self) -> torch.Tensor:
        """Image that a reconstruction starts with, of the shape of the image."""

    @property
    def noise_std(self) -> torch.Tensor:
        """Standard deviation of the noise in units of the data, of one value for each image."""

    def acquisition_op(self) -> LinearOperator | DataTerm:
        """Operator that maps the image to its noise-free data, or a data term with it."""
