"""The loss that suits an acquisition."""

from mrpro_lambda.losses.Recorrupted import Recorrupted
from mrpro_lambda.losses.RobustHeldOut import RobustHeldOut
from mrpro_lambda.losses.ScanLoss import Measured, ScanLoss


def default_loss(measured: Measured) -> ScanLoss:
    """Return `RobustHeldOut`, or `Recorrupted` where nothing is missing or too few samples could be held out.

    Parameters
    ----------
    measured
        What was measured.
    """
    loss = RobustHeldOut()
    try:
        loss.check(measured)
    except ValueError:
        return Recorrupted()
    return loss
