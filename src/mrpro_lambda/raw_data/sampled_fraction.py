"""Which part of k-space is sampled."""

from __future__ import annotations

from mrpro.data import KData
from mrpro.operators import FourierOp

from mrpro_lambda.operators.BandLimitOp import BandLimitOp
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator


def sampled_fraction(kdata: KData) -> float | None:
    """Return the fraction of the points of the measured band that are sampled, `None` if it is not Cartesian.

    The band is the smallest symmetric box of k-space that holds all samples, see
    `~mrpro_lambda.operators.BandLimitOp`.
    """
    gram = gram_operator(FourierOp.from_kdata(kdata))
    if not isinstance(gram, CirculantGramOp):
        return None
    band = BandLimitOp.from_gram(CirculantGramOp(gram.transfer, gram.dim))  # on the grid of the encoded k-space
    return (gram.transfer > 0).double().mean().item() / (1.0 if band is None else band.band.mean().item())
