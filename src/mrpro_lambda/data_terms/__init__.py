"""What is measured: data terms."""

from mrpro_lambda.data_terms.DataTerm import DataTerm
from mrpro_lambda.data_terms.LeastSquares import LeastSquares
from mrpro_lambda.data_terms.PoissonCounts import PoissonCounts

__all__ = ["DataTerm", "LeastSquares", "PoissonCounts"]
