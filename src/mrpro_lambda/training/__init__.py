"""Training with Lightning, losses and metrics.

`mrpro_lambda.training.train` and `mrpro_lambda.training.LambdaMapModule` need the extra `train` and are not imported
here.
"""

from mrpro_lambda.training.metrics import blur, foreground_mask, mse, nrmse, psnr, relative_mse, ssim
from mrpro_lambda.training.TrainingConfig import Images, TrainingConfig

__all__ = [
    "Images",
    "TrainingConfig",
    "blur",
    "foreground_mask",
    "mse",
    "nrmse",
    "psnr",
    "relative_mse",
    "ssim",
]
