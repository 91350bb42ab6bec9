"""One weight for the whole image."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.methods.ComparedMethod import (
    ComparedMethod,
    MethodResult,
    Reconstruct,
    Workplace,
    solve_with,
    try_model,
)
from mrpro_lambda.compare.methods.penalty import Penalty, filters_of, limits_band, regularizer_of, solver_of
from mrpro_lambda.compare.write_text import write_text
from mrpro_lambda.metrics import psnr
from mrpro_lambda.models.fields import Range
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.oracle import best_weight
from mrpro_lambda.weighting import Discrepancy, LCurve, NoiseWeight, Sure

_RULES = {'sure': Sure, 'discrepancy': Discrepancy, 'l-curve': LCurve}


@dataclass(frozen=True)
class ScalarMethod(ComparedMethod):
    r"""Classical regularization with one weight :math:`\Lambda_k = c\, r_k \sigma`, solved to a certified gap."""

    kind: Literal['scalar'] = 'scalar'
    """Tells this kind from others."""
    regularizer: Penalty = 'tv'
    """What is sparse or small."""
    choice: Literal['tuned', 'oracle', 'sure', 'discrepancy', 'l-curve'] = 'tuned'
    """How the weight is chosen: of the highest mean PSNR of training images at the noise level, of the highest PSNR of
    the image itself, which takes the true image, or by a rule on the scan."""
    dictionary: str | Path | None = None
    """Dictionary of `'cdl'`, a name or a file."""
    betas: tuple[Annotated[float, Range(0, 1e6)], ...] = (4.0,)
    """Strengths of the low-pass filter of `'cdl'`, of which the best is taken as well; a rule takes the first."""
    ratios: tuple[Annotated[float, Range(0, above=True)], ...] | None = None
    """Ratios :math:`r_k` of the weights of a regularizer with several maps. Default: all are 1."""
    low: Annotated[float, Range(0, above=True)] = 0.03
    """Smallest weight that is tried, in units of the noise."""
    high: Annotated[float, Range(0, above=True)] = 3.0
    """Largest weight."""
    n_weights: Annotated[int, Range(3, 1000)] = 11
    """Number of weights; a parabola through the best and its neighbors refines them."""
    search_iterations: Annotated[int, Range(1, 10**6)] = 100
    """Iterations of each solve of the search."""
    n_tuning: Annotated[int, Range(1, 10**4)] = 6
    """Number of training images to tune with."""
    tolerance: Annotated[float, Range(0, above=True)] = 1e-2
    """Certified gap of the final solve."""
    max_iterations: Annotated[int, Range(1, 10**9)] = 1000
    """Largest number of its iterations."""

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.low >= self.high:
            raise ValueError(f'low must be below high, got {self.low} and {self.high}.')
        if (self.regularizer == 'cdl') != (self.dictionary is not None):
            raise ValueError(
                f"dictionary must be given with regularizer = 'cdl', and only with it, got {self.dictionary!r}."
            )

    @property
    def weights(self) -> torch.Tensor:
        """Weights that are tried."""
        return torch.logspace(math.log10(self.low), math.log10(self.high), self.n_weights, dtype=torch.float64)

    @property
    def needs_images(self) -> bool:
        """Whether it needs training images, to tune the weight."""
        return self.choice == 'tuned'

    def prepare(self, workplace: Workplace) -> Reconstruct:
        """Tune the weight, unless it is chosen on each sample."""
        if self.choice in _RULES:
            return solve_with(self._with_rule())
        if self.choice == 'oracle':
            return lambda sample: self._solve(sample, *self._best([sample]))
        tuned = self._tuned(workplace)
        return lambda sample: self._solve(sample, *_at_noise(tuned, sample))

    def try_out(self, workplace: Workplace, samples: Sequence[EvaluationSample]) -> None:  # noqa: ARG002
        """Solve with one iteration."""
        try_model(self.name, self._model(self.betas[0], n_iterations=1, weight=1.0), samples)

    def described(self, workplace: Workplace) -> Mapping[str, Any]:
        """Return the weights that were chosen."""
        if self.choice != 'tuned':
            return {'how': 'weight of the highest PSNR of each image' if self.choice == 'oracle' else self.choice}
        weights = [
            f'{entry["weight"]:.3g} at noise {entry["noise"]:g}{" (end of the range)" * self._is_end(entry["weight"])}'
            for entry in self._tuned(workplace)
        ]
        return {'how': 'weight tuned on training images: ' + ', '.join(weights)}

    def _model(self, beta: float, *, n_iterations: int | None = None, weight: float | None = None) -> LambdaMapModel:
        """Return the model of a number of iterations, or to the tolerance."""
        regularizer = regularizer_of(self.regularizer, filters_of(self.dictionary), beta)
        options: dict[str, Any] = {'n_iterations': n_iterations}
        if n_iterations is None:
            options = {'tolerance': self.tolerance, 'max_iterations': self.max_iterations}
        solver = solver_of(self.regularizer, regularizer, **options)
        chosen = None if weight is None else self._weight(weight)
        return LambdaMapModel(chosen, solver, band_limit=limits_band(self.regularizer))

    def _weight(self, factor: float) -> NoiseWeight:
        """Return a weight in units of the noise."""
        return NoiseWeight(factor if self.ratios is None else [factor * ratio for ratio in self.ratios])

    def _with_rule(self) -> LambdaMapModel:
        """Return the model whose weight a rule finds."""
        model = self._model(self.betas[0])
        rule = _RULES[self.choice](ratios=self.ratios, low=self.low, high=self.high)
        return LambdaMapModel(rule, model.solver, band_limit=model.band_limit)

    def _solve(self, sample: EvaluationSample, weight: float, beta: float, *_: float) -> MethodResult:
        """Solve with a weight to the tolerance."""
        result = solve_with(self._model(beta, weight=weight).to(sample.data.device))(sample)
        return result._replace(details=result.details | {'weight': weight})

    def _best(self, samples: Sequence[EvaluationSample]) -> tuple[float, float, float]:
        """Return the weight of the highest mean PSNR of samples, the strength of the low-pass filter, and the PSNR."""
        found = []
        for beta in self.betas:
            rows = []
            for weight in self.weights.tolist():
                reconstruct = solve_with(
                    self._model(beta, n_iterations=self.search_iterations, weight=weight).to(samples[0].data.device)
                )
                rows.append(torch.stack([psnr(reconstruct(sample).img, sample.target) for sample in samples]).mean())
            best = best_weight(self.weights, torch.stack(rows))
            found.append((best.weight.item(), beta, best.quality.item()))
        return max(found, key=lambda row: row[2])

    def _is_end(self, weight: float) -> bool:
        """Tell whether a weight is the smallest or the largest of those tried."""
        return not self.low * 1.0001 < weight < self.high * 0.9999

    def _tuned(self, workplace: Workplace) -> list[dict[str, float]]:
        """Return the best weight at each noise level of the validation, found once and stored."""
        path = workplace.folder / self.name / 'tuned.json'
        found: list[dict[str, float]] = json.loads(path.read_text('utf-8')) if path.exists() else []
        for noise in sorted(workplace.training.validation_noise)[len(found) :]:
            weight, beta, quality = self._best(
                [sample.to(workplace.device) for sample in workplace.training.tuning_samples(self.n_tuning, noise)]
            )
            if self._is_end(weight):
                warnings.warn(
                    f'The tuned weight of {self.name!r} is an end of those tried, {weight:g} from {self.low:g} to '
                    f'{self.high:g}, at the noise level {noise:g}: change low or high.',
                    stacklevel=2,
                )
            found.append({'noise': noise, 'weight': weight, 'beta': beta, 'psnr': quality})
            write_text(path, json.dumps(found, indent=2))
        return found


def _at_noise(tuned: Sequence[Mapping[str, float]], sample: EvaluationSample) -> tuple[float, float]:
    """Return weight and strength for a noise level: linear in the logarithms, at the ends those of the ends."""
    noise = sample.noise
    if noise is None:  # relative to the image, as that of simulations
        noise = (sample.noise_std.mean() / sample.initial_image.abs().square().mean().sqrt()).item()
    levels = [math.log(max(entry['noise'], 1e-9)) for entry in tuned]
    x = min(max(math.log(max(noise, 1e-9)), levels[0]), levels[-1])
    upper = next(i for i, level in enumerate(levels) if level >= x)
    lower = max(0, upper - 1)
    share = 1.0 if upper == lower else (x - levels[lower]) / (levels[upper] - levels[lower])
    logs = [math.log(tuned[i]['weight']) for i in (lower, upper)]
    return math.exp(logs[0] + share * (logs[1] - logs[0])), tuned[upper if share >= 0.5 else lower]['beta']
