"""A weight that is fitted to the scan itself."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping

import torch

from mrpro_lambda.checks import check_number, check_type
from mrpro_lambda.data_terms import PoissonCounts
from mrpro_lambda.losses import ScanLoss
from mrpro_lambda.nets.inputs import ImageInput
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.nets.UNet import UNet
from mrpro_lambda.solvers.Solver import Solver
from mrpro_lambda.weighting.ActivityWeight import ActivityWeight
from mrpro_lambda.weighting.fit_weight import ScanTask, fit_weight
from mrpro_lambda.weighting.LowestLoss import LowestLoss
from mrpro_lambda.weighting.NetworkWeight import NetworkWeight
from mrpro_lambda.weighting.Scan import Scan
from mrpro_lambda.weighting.Sure import Sure
from mrpro_lambda.weighting.Weight import Weight, WeightChoice


class FittedToScan(Weight):
    """A map that a network or a formula chooses, trained on the one scan that is reconstructed: no training data.

    The loss needs no target, see `mrpro_lambda.losses`. All images of a batch, slices or frames, train one network. The
    map is then that of the unchanged data. The result is compared with the one weight that `Sure` finds, by the loss at
    held out samples (by that of the fit where nothing is missing), and if it is worse, that weight is taken. Of counts
    of photons, the one weight is that of `LowestLoss`, and the fit begins with it. The same scan gives the same map,
    bit for bit, unless the time runs out.
    """

    def __init__(
        self,
        weight: Weight | None = None,
        *,
        loss: ScanLoss | None = None,
        n_steps: int = 60,
        n_iterations: int = 16,
        learning_rate: float = 3e-3,
        seconds: float = math.inf,
        seed: int = 0,
        safeguard: bool = True,
        progress: bool = False,
    ) -> None:
        """Initialize the weight.

        Parameters
        ----------
        weight
            Weight to begin with, for example that of a pretrained model; it stays as it is. `None`: a small U-Net with
            random weights, and `ActivityWeight` for the coefficients of a dictionary.
        loss
            Loss. `None`: `~mrpro_lambda.losses.Recorrupted` for one coil, `~mrpro_lambda.losses.HeldOut` for several,
            `~mrpro_lambda.losses.Thinned` for counts of photons, see `~mrpro_lambda.losses.default_loss`.
        n_steps
            Number of training steps.
        n_iterations
            Number of iterations of the solver with gradient in each of them. Others without it come before: 16, or 100
            for several coils and acquisitions that are not Cartesian.
        learning_rate
            Largest learning rate of networks; that of numbers is five times as large.
        seconds
            After this time no further step begins, and a `UserWarning` tells so.
        seed
            Seed of the initial weights and of what the loss draws.
        safeguard
            Compare with one weight for the scan.
        progress
            Show a progress bar.

        Raises
        ------
        ValueError
            If a number is out of its range, or if the weight has no parameters.
        """
        super().__init__()
        check_type('weight', weight, (Weight, type(None)))
        check_type('loss', loss, (ScanLoss, type(None)))
        check_number('n_steps', n_steps, 1, integer=True)
        check_number('n_iterations', n_iterations, 1, integer=True)
        check_number('learning_rate', learning_rate, positive=True)
        check_number('seed', seed, integer=True)
        if not seconds > 0:
            raise ValueError(f'seconds must be positive, got {seconds!r}.')
        if weight is not None and not list(weight.parameters()):
            raise ValueError(f'A weight that is fitted needs parameters, {type(weight).__name__} has none.')
        self.weight = weight
        self.loss = loss
        self.n_steps, self.n_iterations, self.learning_rate = n_steps, n_iterations, learning_rate
        self.seconds, self.seed, self.safeguard, self.progress = seconds, seed, safeguard, progress

    @classmethod
    def examples(cls, n_maps: int) -> Mapping[str, Weight]:
        """Return a formula with a few steps, and a network."""
        return {
            'fitted formula': cls(ActivityWeight(n_maps), n_steps=3, n_iterations=4),
            'fitted network': cls(n_steps=2, n_iterations=4),
        }

    @property
    def uses_noise_level(self) -> bool:
        """Whether the noise level is needed, which it is."""
        return True

    @property
    def uses_data(self) -> bool:
        """Whether data and acquisition operator are needed, which they are."""
        return True

    def check_solver(self, solver: Solver) -> None:
        """Raise an error if the weight to begin with does not fit."""
        if self.weight is not None:
            self.weight.check_solver(solver)

    def choose(self, scan: Scan) -> WeightChoice:
        """Fit the weight and return its map.

        Returns
        -------
            Map, and a report in types that JSON knows: the loss in each step, and those of the comparison.

        Warns
        -----
        UserWarning
            If the time has run out, or if the fit has not become better than one weight.
        """
        self.check_solver(scan.solver)
        noise_std = scan.noise_level
        task = ScanTask(scan, self.loss, self.n_iterations)
        rule: Weight = Sure(low=0.05, high=2.0, n_weights=7, n_refinements=1, max_iterations=200, seed=self.seed)
        one: WeightChoice | None = None
        scale = 0.25
        if isinstance(scan.acquisition_op, PoissonCounts):
            rule = LowestLoss(self.loss, seed=self.seed)
            one = rule.choose(scan)
            scale = (one.lambda_map / noise_std).mean().item()
        weight = self._start(scan, scale)
        fit = fit_weight(
            weight,
            task,
            n_steps=self.n_steps,
            learning_rate=self.learning_rate,
            generator=torch.Generator().manual_seed(self.seed),
            seconds=self.seconds,
            progress=self.progress,
        )
        report = {
            'rule': 'fitted to the scan',
            'weight': type(weight).__name__,
            'loss': type(task.loss).__name__,
            'losses': fit.losses,
            'n_iterations': self.n_iterations,
            'seconds': fit.seconds,
            'noise_std': noise_std.squeeze().tolist(),
            'taken': 'map',
        }
        if fit.stopped:
            warnings.warn(
                f'The fit to the scan has stopped after {len(fit.losses)} of {self.n_steps} steps, as its time of '
                f'{self.seconds:g} s was over.',
                stacklevel=4,
            )
        with torch.no_grad():
            if not self.safeguard:
                return WeightChoice(weight(scan).detach(), report)
            one = rule.choose(scan) if one is None else one
            factor = one.lambda_map / noise_std
            judge = task.judge()
            found = judge.compare(weight, self.seed + 1)
            other = judge.compare(lambda s: factor * s.noise_level, self.seed + 1)
            report |= {
                'compared by': type(judge.loss).__name__,
                'compared': {'map': found, 'one weight': other},
                'one weight': dict(one.report or {}),
            }
            if sum(found) > sum(other):
                warnings.warn(
                    f'The map that was fitted to the scan has a loss of {sum(found) / len(found):.5g}, one weight that '
                    f'of {sum(other) / len(other):.5g}: the one weight is taken.',
                    stacklevel=4,
                )
                return WeightChoice(one.lambda_map, report | {'taken': 'one weight'})
            return WeightChoice(weight(scan).detach(), report)

    def _start(self, scan: Scan, scale: float = 0.25) -> Weight:
        """Return a weight to begin with, in the precision of the scan and on its device."""
        regularizer, img = scan.solver.regularizer, scan.initial_image
        weight: Weight
        if self.weight is not None:
            weight = copy.deepcopy(self.weight)
        elif regularizer.dictionary_op is not None:
            weight = ActivityWeight(initial_scale=1.5)
        else:
            time = [d for d in regularizer.dim if d < -4]
            dim = [d for d in (*time, -3, -2, -1) if -d <= img.ndim and img.shape[d] > 1][-3:] or [-1]
            inputs = [ImageInput('signal_to_noise')]
            backbone = UNet(
                len(dim),
                sum(len(item.channel_names) for item in inputs),
                regularizer.n_maps,
                n_features=8,
                generator=torch.Generator().manual_seed(self.seed),
            )
            weight = NetworkWeight(LambdaNet(backbone, inputs, dim=dim, initial_scale=scale))
        return weight.to(img.device, img.dtype.to_real()).requires_grad_(True)
