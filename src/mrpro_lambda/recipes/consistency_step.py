"""Steps towards the data by their names in descriptions."""

from typing import Literal

from mrpro_lambda.models.data_consistency import (
    ConjugateGradientSteps,
    DataConsistency,
    Kaczmarz,
    Landweber,
    ProximalStep,
)

Consistency = Literal['landweber', 'conjugate_gradients', 'kaczmarz', 'proximal']
"""Kind of step towards the data, see `mrpro_lambda.models.data_consistency`."""


def consistency_step(kind: Consistency, n_steps: int, strength: float, *, learned: bool) -> DataConsistency:
    """Build a step towards the data.

    Parameters
    ----------
    kind
        Kind of step.
    n_steps
        Number of steps of gradients or conjugate gradients, or of sweeps over the coils.
    strength
        Weight of the proximal step, or relative size of gradient and Kaczmarz steps.
    learned
        Learn it, for proximal and gradient steps.
    """
    match kind:
        case 'landweber':
            return Landweber(strength, n_steps=n_steps, learned=learned)
        case 'proximal':
            return ProximalStep(strength, n_steps=n_steps, learned=learned)
        case 'kaczmarz':
            return Kaczmarz(strength, n_sweeps=n_steps)
        case 'conjugate_gradients':
            return ConjugateGradientSteps(n_steps)
