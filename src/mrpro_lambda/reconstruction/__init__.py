"""From k-space data to images: drop-in reconstructions for mrpro."""

from mrpro_lambda.reconstruction.AdaptiveDictionaryReconstruction import AdaptiveDictionaryReconstruction
from mrpro_lambda.reconstruction.AdaptiveLowDoseReconstruction import AdaptiveLowDoseReconstruction
from mrpro_lambda.reconstruction.AdaptiveTotalVariationReconstruction import AdaptiveTotalVariationReconstruction
from mrpro_lambda.reconstruction.adaptive_total_variation_denoising import adaptive_total_variation_denoising
from mrpro_lambda.reconstruction.estimate_image_noise import estimate_image_noise
from mrpro_lambda.reconstruction.estimate_noise import NoiseEstimate, estimate_noise
from mrpro_lambda.reconstruction.estimate_noise_std import estimate_noise_std
from mrpro_lambda.reconstruction.estimate_noise_weight import estimate_noise_weight
from mrpro_lambda.reconstruction.fit_t1 import T1Maps, fit_t1
from mrpro_lambda.reconstruction.LearnedReconstruction import LearnedReconstruction, LearnedSolution
from mrpro_lambda.reconstruction.ModelReconstruction import ModelReconstruction, ModelReconstructionSolution
from mrpro_lambda.reconstruction.prewhiten import prewhiten
from mrpro_lambda.reconstruction.residual_image import residual_image
from mrpro_lambda.reconstruction.TensorReconstruction import ScanSolution, ScanTensors, TensorReconstruction

__all__ = [
    "AdaptiveDictionaryReconstruction",
    "AdaptiveLowDoseReconstruction",
    "AdaptiveTotalVariationReconstruction",
    "LearnedReconstruction",
    "LearnedSolution",
    "ModelReconstruction",
    "ModelReconstructionSolution",
    "NoiseEstimate",
    "ScanSolution",
    "ScanTensors",
    "T1Maps",
    "TensorReconstruction",
    "adaptive_total_variation_denoising",
    "estimate_image_noise",
    "estimate_noise",
    "estimate_noise_std",
    "estimate_noise_weight",
    "fit_t1",
    "prewhiten",
    "residual_image",
]
