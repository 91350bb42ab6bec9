"""Training of a learned regularization that is split from the inversion."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import default_collate

from mrpro_lambda.data_terms import LeastSquares
from mrpro_lambda.datasets import SimulatedData
from mrpro_lambda.dictionary.checkpoint import load_checkpoint, save_checkpoint
from mrpro_lambda.metrics import foreground_mask, relative_mse
from mrpro_lambda.models import SplittingModel
from mrpro_lambda.models.data_consistency import Measured
from mrpro_lambda.nets import Discriminator, intensity
from mrpro_lambda.progress import Progress
from mrpro_lambda.recipes import SplittingRecipe
from mrpro_lambda.training.TrainingConfig import TrainingConfig


class TrainingImage(NamedTuple):
    """A training image with its acquisition, in units in which its intensity is 1."""

    measured: Measured
    """Data."""
    initial_image: torch.Tensor
    """Initial image, shape `(1, coils=1, z, y, x)`."""
    target: torch.Tensor
    """True image."""
    mask: torch.Tensor
    """Foreground."""


def train_splitting(
    model: SplittingModel,
    recipe: SplittingRecipe,
    config: TrainingConfig,
    data: SimulatedData,
    checkpoint: Path,
    *,
    parameters: Mapping[str, Any],
    resume: bool = False,
    device: torch.device | str = 'cpu',
    progress: bool = True,
    report: Callable[[int, dict[str, float]], None] | None = None,
) -> None:
    r"""Train the network of a `~mrpro_lambda.models.SplittingModel` in place [LIU2020]_.

    All images are trained together, each with an :math:`x`, :math:`z` and :math:`b` of its own that stay from one loop
    to the next, from :math:`x^0 = \arg\min J_0` and :math:`b^0 = 0`:

    .. math::

        z^{k+1} &= \arg\min_z J_k(z) + \frac{\rho}{2} \|x^k - z + b^k\|_2^2 \\
        \theta^{k+1} &= \arg\min_\theta L(x^k, \theta) \\
        x^{k+1} &= \arg\min_x L(x, \theta^{k+1}) + \frac{\rho}{2} \|x - z^{k+1} + b^k\|_2^2 \\
        b^{k+1} &= b^k + x^{k+1} - z^{k+1}

    with :math:`L(x, \theta) = \|f_\theta(x) - \tilde x\|_2^2` for the true image :math:`\tilde x`, weighted as
    `background_weight` says. The second line takes an equal part of the optimizer steps in each loop, for a generator
    in turn with a discriminator; the third one gradient steps on the images. Each image has one acquisition, which
    stays.

    Parameters
    ----------
    model
        Model. Its network is trained.
    recipe
        Description that it was built from.
    config
        Configuration: number of steps, batch size, learning rate, weight of the background and seed.
    data
        Training images.
    checkpoint
        File that is written after each loop.
    parameters
        What the result depends on, to be stored with it.
    resume
        Go on from the checkpoint.
    device
        Device.
    progress
        Show a progress bar.
    report
        Called after each optimizer step with the number of steps that are done and the loss, the error relative to that
        of the initial image, see `~mrpro_lambda.metrics.relative_mse`.

    Raises
    ------
    ValueError
        If the loss is not finite, or if the checkpoint is damaged or that of other parameters.

    References
    ----------
    .. [LIU2020] Liu J, Kuang T, Zhang X (2020) Image reconstruction by splitting deep learning regularization from
       iterative inversion. MICCAI, Lect Notes Comput Sci 12262
    """
    model.to(device)
    data.set_epoch(0)
    images = [_training_image(data, i, model.image_dim, device) for i in range(len(data))]
    generator = torch.Generator().manual_seed(config.seed)
    discriminator = Discriminator(generator=generator).to(device) if recipe.network == 'gan' else None
    optimizer = torch.optim.Adam(model.net.parameters(), config.learning_rate)
    opponent = None if discriminator is None else torch.optim.Adam(discriminator.parameters(), config.learning_rate)
    stateful = {'net': model.net, 'discriminator': discriminator, 'optimizer': optimizer, 'opponent': opponent}
    if resume:
        content = load_checkpoint(checkpoint, parameters)
        for name, part in stateful.items():
            if part is not None:
                part.load_state_dict(content[name])
        x, dual, first = content['x'].to(device), content['dual'].to(device), content['loop']
    else:
        with torch.no_grad():
            x = torch.cat([model.start(image.measured, image.initial_image) for image in images])
        dual, first = torch.zeros_like(x), 0
    initial, target, mask = (
        torch.cat([getattr(i, name) for i in images]) for name in ('initial_image', 'target', 'mask')
    )
    weight = torch.where(mask, 1.0, config.background_weight)
    bounds = [config.max_steps * loop // recipe.n_loops for loop in range(recipe.n_loops + 1)]
    with Progress(config.max_steps, 'Training', show=progress, start=bounds[first]) as shown:
        for loop in range(first, recipe.n_loops):
            with torch.no_grad():
                states = zip(images, x.split(1), dual.split(1), strict=True)
                z = torch.cat(
                    [model.invert(image.measured, own, multiplier, loop) for image, own, multiplier in states]
                )
            seed = np.random.SeedSequence((config.seed, loop)).generate_state(1, np.uint64)
            generator = torch.Generator().manual_seed(int(seed[0]))
            for step in range(bounds[loop], bounds[loop + 1]):
                for group in (part for o in (optimizer, opponent) if o is not None for part in o.param_groups):
                    group['lr'] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / config.max_steps))
                chosen = torch.randperm(len(images), generator=generator)[: config.batch_size].to(device)
                estimate = model.net(x[chosen])
                error = (weight[chosen] * (estimate - target[chosen]).abs().square()).mean()
                loss = error
                if discriminator is not None and opponent is not None:
                    opponent.zero_grad()
                    _verdict(discriminator, target[chosen], estimate.detach()).backward()
                    opponent.step()
                    loss = error + recipe.adversarial_weight * _verdict(discriminator, estimate)
                if not bool(loss.isfinite()):
                    raise ValueError(f'The loss must be finite, it is not at step {step}: lower learning_rate.')
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.net.parameters(), 1.0)
                optimizer.step()
                relative = relative_mse(
                    estimate.detach(), target[chosen], initial[chosen], config.background_weight, mask=mask[chosen]
                )
                shown.update(1, {'loss': f'{float(relative):.4g}'})
                if report is not None:
                    report(step + 1, {'loss': float(relative)})
            for part in torch.arange(len(images), device=device).split(config.batch_size):
                x[part] = _descended(model, recipe, x[part], z[part] - dual[part], target[part], weight[part])
            dual = dual + x - z
            save_checkpoint(
                {
                    'parameters': dict(parameters),
                    'global_step': bounds[loop + 1],
                    'loop': loop + 1,
                    'x': x.cpu(),
                    'dual': dual.cpu(),
                    **{name: part.state_dict() for name, part in stateful.items() if part is not None},
                },
                checkpoint,
            )


def _training_image(data: SimulatedData, index: int, dim: tuple[int, ...], device: torch.device | str) -> TrainingImage:
    """Return an image with its acquisition in units in which its intensity is 1."""
    sample = default_collate([data[index]])
    s = intensity(sample.initial_image, dim)
    mask = foreground_mask(sample.img)
    measured = Measured((sample.data / s).to(device), LeastSquares(sample.acquisition_op().to(device)))
    return TrainingImage(measured, (sample.initial_image / s).to(device), (sample.img / s).to(device), mask.to(device))


def _descended(
    model: SplittingModel,
    recipe: SplittingRecipe,
    x: torch.Tensor,
    center: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
) -> torch.Tensor:
    r"""Take gradient steps on :math:`L(x, \theta) + \frac{\rho}{2} \|x - c\|_2^2`, as if the network were the identity.

    For it, a step of this size of its quadratic functional converges.
    """
    for _ in range(recipe.image_steps):
        x = x.detach().requires_grad_()
        loss = (weight * (model.net(x) - target).abs().square()).sum()
        (gradient,) = torch.autograd.grad(loss, x)
        x = x - 0.5 / (2 + recipe.rho) * (gradient + recipe.rho * (x - center))
    return x.detach()


def _verdict(discriminator: Discriminator, real: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
    """Return how wrong it is that some images are real and others are not."""
    verdict = discriminator(_channels(real))
    loss = binary_cross_entropy_with_logits(verdict, torch.ones_like(verdict))
    if other is not None:
        verdict = discriminator(_channels(other))
        loss = loss + binary_cross_entropy_with_logits(verdict, torch.zeros_like(verdict))
    return loss


def _channels(img: torch.Tensor) -> torch.Tensor:
    """Return the slices of images with real and imaginary part as channels."""
    return torch.view_as_real(img.flatten(0, -3)).movedim(-1, 1)
