"""Training with Lightning.

`mrpro_lambda.training.train` and `mrpro_lambda.training.ModelModule` need the extra `train` and are not imported
here.
"""

from mrpro_lambda.training.TrainingConfig import Images, TrainingConfig

__all__ = ["Images", "TrainingConfig"]
