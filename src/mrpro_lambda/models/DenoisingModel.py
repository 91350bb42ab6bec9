"""Denoising of complete data, the training of a denoiser."""

from __future__ import annotations

import torch
from mrpro.operators import LinearOperator

from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.models.Model import Model
from mrpro_lambda.models.PlugAndPlayModel import PlugAndPlayModel
from mrpro_lambda.models.PostProcessingModel import PostProcessingModel
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp


class DenoisingModel(PostProcessingModel):
    """A network that denoises the images of complete acquisitions, as `PlugAndPlayModel` needs one."""

    def refusal(
        self,
        data: torch.Tensor,
        acquisition_op: LinearOperator,
        initial_image: torch.Tensor,  # noqa: ARG002
    ) -> str | None:
        """Tell that something is missing in the data, see `Model.refusal`."""
        gram = LeastSquares(acquisition_op).gram
        if isinstance(gram, CirculantGramOp) and bool((gram.transfer == gram.transfer.amax()).all()):
            return None
        return (
            'A denoiser is trained on images with nothing but noise, of a fully sampled grid (CentralBox with fraction '
            f'1), got another acquisition for data of shape {tuple(data.shape)}.'
        )

    def start_from(self, earlier: Model) -> None:
        """Take the parameters of a denoiser, by itself or in a plug-and-play model."""
        if isinstance(earlier, PlugAndPlayModel):
            self.net.load_state_dict(earlier.denoiser.state_dict())
        else:
            super().start_from(earlier)
