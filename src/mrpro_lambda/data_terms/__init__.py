"""What is measured: data terms."""

from mrpro_lambda.data_terms.DataTerm import DataTerm
from mrpro_lambda.data_terms.LeastSquares import LeastSquares

__all__ = ["DataTerm", "LeastSquares"]
