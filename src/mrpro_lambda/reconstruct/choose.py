"""What is taken for a scan by default: the one place where weights are chosen."""

from __future__ import annotations

from typing import NamedTuple

import torch

from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.pretrained import pretrained_recipe
from mrpro_lambda.recipes import Recipe, ScanProperties
from mrpro_lambda.recipes.ScanProperties import Sampling
from mrpro_lambda.reconstruct.Settings import Method, Rule

_PRETRAINED: dict[Method, tuple[str, ...]] = {
    'tv': ('tv-low-field', 'tv-variable-density'),
    'tgv': ('tgv-low-field', 'tgv-variable-density'),
    'cdl': ('cdl-v3-low-field', 'cdl-v3'),
}
"""Weights of each method, the first that suit a scan are taken."""
_RULE: Rule = 'sure'
"""Rule where none do."""
_FULLY_SAMPLED = 0.9
"""Fraction of the points of the measured band above which they count as all."""


class Choice(NamedTuple):
    """What is taken for a scan."""

    model: str | None
    """Name of the weights, `None` if none suit."""
    rule: Rule | None
    """Rule that finds one weight on the scan, if no weights suit."""
    note: str
    """Why no weights suit, otherwise empty."""


def sampling_of(gram_op: torch.nn.Module) -> tuple[Sampling, float | None]:
    """Tell how k-space is sampled, and the number of points of the measured band for each sampled one.

    The band is the smallest symmetric box of k-space that holds all samples, see
    `~mrpro_lambda.operators.BandLimitOp`.

    Parameters
    ----------
    gram_op
        Gram operator of the Fourier operator, see `~mrpro_lambda.operators.gram_operator`.
    """
    if not isinstance(gram_op, CirculantGramOp):
        return 'other', None
    sampled = gram_op.transfer > 0
    band = BandLimitOp.from_gram(CirculantGramOp(gram_op.transfer, gram_op.dim))  # on the grid of the encoded k-space
    inside = torch.ones_like(sampled) if band is None else band.band.bool().expand_as(sampled)
    acceleration = inside.sum().item() / sampled.sum().item()
    if acceleration < 1 / _FULLY_SAMPLED:
        return 'box', acceleration
    # along a readout that is complete there is nothing to transform
    complete = len(gram_op.dim) == 1 or any(
        bool(((sampled.any(d, keepdim=True) & inside) == sampled).all()) for d in gram_op.dim
    )
    return 'lines' if complete else 'points', acceleration


def scan_properties(
    gram_op: torch.nn.Module, n_coils: int, initial_image: torch.Tensor, noise_std: float
) -> ScanProperties:
    """Tell what of a scan decides whether weights suit it.

    Parameters
    ----------
    gram_op
        As in `sampling_of`.
    n_coils
        Number of coils.
    initial_image
        Zero-filled image, with combined coils.
    noise_std
        Standard deviation of the complex noise of a sample.
    """
    noise = None
    if isinstance(gram_op, CirculantGramOp):
        # the noise of the samples spreads over the image in proportion to their number
        variance = noise_std * noise_std  # a power would be an error where this is infinite
        fraction = (gram_op.transfer > 0).double().mean().item()
        energy = initial_image.abs().square().mean().item() - variance * fraction
        noise = noise_std / max(energy, 1e-12 * variance) ** 0.5
    return ScanProperties(*sampling_of(gram_op), n_coils, noise)


def choose(method: Method, scan: ScanProperties) -> Choice:
    """Choose weights that suit a scan, or else the rule that finds one weight on it.

    Parameters
    ----------
    method
        Method.
    scan
        Properties of the scan.
    """
    reasons = {name: pretrained_recipe(name).mismatches(scan) for name in _PRETRAINED[method]}
    for name, mismatches in reasons.items():
        if not mismatches:
            return Choice(name, None, '')
    nearest = min(reasons, key=lambda name: len(reasons[name]))
    return Choice(
        None,
        _RULE,
        f'No weights of a network are made for this scan ({nearest}: {", ".join(reasons[nearest])}): one weight is '
        f'found on it by the rule {_RULE!r}. To take them all the same, name them (--model).',
    )


def refinement_of(recipe: Recipe | None, scan: ScanProperties) -> float:
    """Return how much finer than that of the samples the grid of the image should be.

    It belongs to weights that raise the resolution, in the setting of their training: all of a box, one coil, and a
    signal that they know. Elsewhere it would only add frequencies that nothing was measured of.

    Parameters
    ----------
    recipe
        Description of the weights, `None` if there are none.
    scan
        Properties of the scan.
    """
    if recipe is None or scan.sampling != 'box' or scan.n_coils > max(recipe.n_coils or (1,)):
        return 1.0
    low, _ = recipe.noise_range or (0.0, 0.0)
    # on a finer grid the same energy is spread over more voxels
    return recipe.refinement if scan.noise is None or scan.noise * recipe.refinement >= 0.95 * low else 1.0
