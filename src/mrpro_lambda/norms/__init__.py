"""How sparsity is measured: weighted norms of coefficients."""

from mrpro_lambda.norms.GroupNorm import GroupNorm
from mrpro_lambda.norms.HuberNorm import HuberNorm
from mrpro_lambda.norms.L1Norm import L1Norm
from mrpro_lambda.norms.Norm import Norm
from mrpro_lambda.norms.SquaredNorm import SquaredNorm
from mrpro_lambda.norms.StackedNorm import StackedNorm

__all__ = ["GroupNorm", "HuberNorm", "L1Norm", "Norm", "SquaredNorm", "StackedNorm"]
