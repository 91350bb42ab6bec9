"""Learning of a dictionary from a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

import torch

from mrpro_lambda.dictionary import Dictionary, coding_objective, learn_dictionary, save_dictionary
from mrpro_lambda.dictionary.checkpoint import find_checkpoint
from mrpro_lambda.models.fields import Range, check_fields, dataclass_from_dict
from mrpro_lambda.training.TrainingConfig import Images, read_all, read_sections_of_images, read_toml


@dataclass(frozen=True)
class DictionaryConfig:
    """Images to learn a dictionary from, and how."""

    images: tuple[Images, ...]
    """Training images."""
    n_filters: Annotated[int, Range(1, 4096)]
    """Number of filters."""
    filter_size: Annotated[int, Range(1, 101)]
    """Size of the filters in pixels, odd."""
    sparsity: Annotated[float, Range(0, 1e3, above=True)]
    """Weight of the sparsity, for images with a maximum of 1."""
    validation_images: tuple[Images, ...] = ()
    """Images, best of other persons, that the dictionary is evaluated with. The result is stored in the card."""
    beta: Annotated[float, Range(0, 1e6)] = 4.0
    """Strength of the low-pass filter."""
    n_steps: Annotated[int, Range(1, 10**9)] = 300
    """Number of steps."""
    batch_size: Annotated[int, Range(1, 10**4)] = 4
    """Number of crops in a step."""
    crop: Annotated[int, Range(1, 8192)] = 64
    """Size of the crops in pixels."""
    seed: Annotated[int, Range(0, 2**32 - 2)] = 0
    """Seed of the initial filters and the crops."""
    device: str = 'cpu'
    """Device to compute on."""
    card: dict[str, str] = field(default_factory=dict)
    """Card to store with the dictionary: data, license, purpose."""

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self)
        if self.filter_size % 2 == 0 or self.filter_size > self.crop:
            raise ValueError(
                f'filter_size must be odd and not larger than crop, got {self.filter_size} and crop = {self.crop}.'
            )

    @classmethod
    def from_toml(cls, path: str | Path, data_root: str | Path | None = None) -> Self:
        """Read a configuration; unknown keys are an error.

        Parameters
        ----------
        path
            TOML file with the sections `[[images]]`, `[[validation_images]]` and `[card]`; all else at the top.
        data_root
            Folder that the paths of the images are relative to. Default: that of the file.
        """
        root = Path(path).parent if data_root is None else Path(data_root)
        return dataclass_from_dict(cls, read_sections_of_images(read_toml(Path(path)), root), 'top level')

    def learn(self, output: str | Path, *, resume: bool = False, progress: bool = True) -> Path:
        """Learn the dictionary and write it.

        Parameters
        ----------
        output
            Folder for the checkpoint and `dictionary.safetensors`. It must be empty or not exist, unless resuming.
        resume
            Go on from the checkpoint in the folder, from the start if it was interrupted before the first one.
        progress
            Show a progress bar.

        Returns
        -------
            File with the dictionary.

        Raises
        ------
        ValueError
            If the folder is not empty without `resume`, or holds no checkpoint with it, or if a value is not valid.
        """
        output = Path(output)
        path = output / 'checkpoint.ckpt'
        checkpoint = find_checkpoint(path, resume=resume)
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f'device must be one of this computer, got {self.device!r}.') from error
        images, validation_images = read_all(self.images), read_all(self.validation_images)
        output.mkdir(parents=True, exist_ok=True)
        filters = learn_dictionary(
            images,
            self.n_filters,
            self.filter_size,
            sparsity=self.sparsity,
            beta=self.beta,
            n_steps=self.n_steps,
            batch_size=self.batch_size,
            crop=self.crop,
            seed=self.seed,
            device=self.device,
            progress=progress,
            checkpoint=path,
            resume=checkpoint is not None,
        )
        card = {**self.card, 'steps': str(self.n_steps), 'seed': str(self.seed)}
        if validation_images:
            objective = coding_objective(filters, validation_images, self.sparsity, self.beta)
            card['validation_objective'] = f'{objective:.4f}'
        dictionary = output / 'dictionary.safetensors'
        save_dictionary(Dictionary(filters, self.sparsity, self.beta, card), dictionary)
        return dictionary


def learn_from_config(
    config: str | Path,
    output: str | Path,
    data_root: str | Path | None = None,
    *,
    resume: bool = False,
    progress: bool = True,
) -> Path:
    """Learn a dictionary from a configuration file and write it.

    Parameters
    ----------
    config
        TOML file, see `DictionaryConfig.from_toml`.
    output
        Folder for the checkpoint and `dictionary.safetensors`.
    data_root
        Folder that the paths of the images are relative to. Default: that of the file.
    resume
        Go on from the checkpoint in the folder.
    progress
        Show a progress bar.

    Returns
    -------
        File with the dictionary.
    """
    return DictionaryConfig.from_toml(config, data_root).learn(output, resume=resume, progress=progress)
