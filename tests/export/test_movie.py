"""Tests of movies."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mrpro_lambda.export import write_movie
from PIL import Image


def read_movie(path: Path) -> np.ndarray:
    """Frames of a movie, shape (n_frames, y, x)."""
    with Image.open(path) as movie:
        frames = []
        for i in range(movie.n_frames):  # type: ignore[attr-defined]
            movie.seek(i)
            frames.append(np.asarray(movie.convert('L')))
    return np.stack(frames)


def test_all_frames_have_the_same_window(tmp_path: Path) -> None:
    frames = torch.tensor([1.0, 0.5, 0.25])[:, None, None] * torch.linspace(0, 1, 300).expand(3, 300, 300)
    write_movie(tmp_path / 'movie.gif', 1j * frames)  # of magnitudes
    shown = read_movie(tmp_path / 'movie.gif').astype(float)
    assert shown.shape == (3, 300, 300)
    white = frames.flatten().kthvalue(round(0.998 * frames.numel())).values
    np.testing.assert_allclose(shown, 255 * (frames / white).clamp_max(1), atol=0.51)


def test_movie_is_repeated_and_pixels_have_their_shape(tmp_path: Path) -> None:
    write_movie(tmp_path / 'movie.gif', torch.rand(2, 10, 20, generator=torch.Generator().manual_seed(0)), aspect=1.5)
    with Image.open(tmp_path / 'movie.gif') as movie:
        assert movie.size == (26 * 20, 390)  # 26 x 10 is the first above 256
        assert movie.info['loop'] == 0
        assert movie.info['duration'] == 100


def test_equal_frames_stay(tmp_path: Path) -> None:
    """Two frames that are the same are shown twice as long, in a movie of the same duration."""
    write_movie(tmp_path / 'movie.gif', torch.ones(1, 4, 4).expand(3, 4, 4))
    with Image.open(tmp_path / 'movie.gif') as movie:
        durations = []
        for i in range(movie.n_frames):  # type: ignore[attr-defined]
            movie.seek(i)
            durations.append(movie.info['duration'])
    assert sum(durations) == 300


@pytest.mark.parametrize('shape', [(4, 4), (2, 1, 4, 4), (0, 4, 4)])
def test_other_shapes_are_errors(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='frames must have shape'):
        write_movie(tmp_path / 'movie.gif', torch.ones(shape))
