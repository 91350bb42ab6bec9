"""Zero-filled images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.methods.ComparedMethod import ComparedMethod, MethodResult, Reconstruct, Workplace


@dataclass(frozen=True)
class ZeroFilled(ComparedMethod):
    """Adjoint of the acquisition applied to the data, with density compensation where samples are not on a grid."""

    kind: Literal['zero-filled'] = 'zero-filled'
    """Tells this kind from others."""

    def prepare(self, workplace: Workplace) -> Reconstruct:  # noqa: ARG002
        """Return the initial image, computed again for its time if there is no density compensation."""

        def reconstruct(sample: EvaluationSample) -> MethodResult:
            sample.acquisition_op.adjoint(sample.data)
            return MethodResult(sample.initial_image, {})

        return reconstruct

    def try_out(self, workplace: Workplace, samples: Sequence[EvaluationSample]) -> None:
        """Do nothing: each sample has an initial image."""
