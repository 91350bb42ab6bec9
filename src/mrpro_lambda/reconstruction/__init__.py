"""From k-space data to images: drop-in reconstructions for mrpro."""

from mrpro_lambda.reconstruction.AdaptiveTotalVariationReconstruction import AdaptiveTotalVariationReconstruction
from mrpro_lambda.reconstruction.estimate_noise_std import estimate_noise_std
from mrpro_lambda.reconstruction.LearnedReconstruction import LearnedReconstruction, LearnedSolution

__all__ = [
    "AdaptiveTotalVariationReconstruction",
    "LearnedReconstruction",
    "LearnedSolution",
    "estimate_noise_std",
]
