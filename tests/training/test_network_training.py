"""Every model that is a network can be trained, as found by the descriptions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mrpro.utils import RandomGenerator
from mrpro_lambda.datasets import AcquisitionFamily, CartesianLines, CentralBox, ImageSource
from mrpro_lambda.models import NetworkModel
from mrpro_lambda.pretrained import load_weights
from mrpro_lambda.recipes import NetworkRecipe, Recipe
from mrpro_lambda.training.train import train
from mrpro_lambda.training.TrainingConfig import Images, TrainingConfig

pytestmark = [
    pytest.mark.filterwarnings('ignore:Checkpoint directory .* exists and is not empty'),
    pytest.mark.filterwarnings('ignore:The number of training batches'),
    pytest.mark.filterwarnings('ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning'),
]

EXAMPLES = {
    method: next(iter(found.examples().values()))
    for method, found in Recipe.methods().items()
    if issubclass(found, NetworkRecipe)
}
FAMILIES: tuple[AcquisitionFamily, ...] = (
    CartesianLines(acceleration=2.0, n_center_lines=4),
    CentralBox(0.5),
    CentralBox(1.0),
)


def configured(method: str, sampling: AcquisitionFamily, folder: Path) -> TrainingConfig:
    images = RandomGenerator(0).float32_tensor((3, 16, 16), 0.0, 0.3)
    images[:, 4:13, 3:12] += 0.7
    np.save(folder / 'images.npy', images.numpy())
    used = (Images(ImageSource(folder / 'images.npy')),)
    return TrainingConfig(
        images=used,
        validation_images=used,
        sampling=sampling,
        validation_sampling=sampling,
        model=EXAMPLES[method],
        noise=(0.1, 0.3),
        validation_noise=(0.2,),
        crop=16,
        max_steps=2,
        batch_size=2,
        validation_interval=2,
        accelerator='cpu',
    )


@pytest.mark.parametrize('method', EXAMPLES)
def test_two_steps(method: str, tmp_path: Path) -> None:
    """An acquisition that the method can not take is refused before anything is written; with another one it learns."""
    taken = False
    for i, sampling in enumerate(FAMILIES):
        config, output = configured(method, sampling, tmp_path), tmp_path / str(i)
        try:
            path = train(config, output, progress=False)
        except ValueError as error:
            if 'can not reconstruct this acquisition' not in str(error) or output.exists():
                raise
            continue
        taken = True
        model, card = load_weights(path)
        assert isinstance(model, NetworkModel)
        assert card['steps'] == '2'
        before = torch.nn.utils.parameters_to_vector(config.model.build(config.seed, inference=True).parameters())
        after = torch.nn.utils.parameters_to_vector(model.parameters())
        assert before.shape == after.shape
        assert not torch.equal(before, after)
        break
    assert taken
