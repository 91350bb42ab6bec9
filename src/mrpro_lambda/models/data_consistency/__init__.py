"""Steps from an image towards the data, which models alternate with networks."""

from mrpro_lambda.models.data_consistency.ConjugateGradientSteps import ConjugateGradientSteps
from mrpro_lambda.models.data_consistency.DataConsistency import DataConsistency
from mrpro_lambda.models.data_consistency.Kaczmarz import Kaczmarz
from mrpro_lambda.models.data_consistency.Landweber import Landweber
from mrpro_lambda.models.data_consistency.Measured import Measured
from mrpro_lambda.models.data_consistency.ProximalStep import ProximalStep

__all__ = ["ConjugateGradientSteps", "DataConsistency", "Kaczmarz", "Landweber", "Measured", "ProximalStep"]
