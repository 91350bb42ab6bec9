"""Weights that others have published, read from their files."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from mrpro_lambda.checks import check_axes, check_number
from mrpro_lambda.models.LambdaMapModel import LambdaMapModel
from mrpro_lambda.nets.inputs import ScaledImageInput
from mrpro_lambda.nets.LambdaNet import LambdaNet
from mrpro_lambda.nets.UNet import UNet
from mrpro_lambda.regularizers.TotalVariation import TotalVariation
from mrpro_lambda.solvers.ADMM import ADMM
from mrpro_lambda.weighting import CGImageWeight, NetworkWeight

_SCALE = 0.1
"""Factor of the softplus."""
_NAMES = {
    'encoder': 'encoder.enc_blocks.{}.conv_block.{}.weight',
    'upsampling': 'decoder.upconvs.{}.weight',
    'decoder': 'decoder.dec_blocks.{}.conv_block.{}.weight',
    'last': 'c1x1.weight',
}
"""Names of the tensors in the file, by the first part of those of a `UNet`."""


def load_published_dynamic_weights(
    path: str | Path, *, intensity: float = 7.0, time_dim: int = -5, circular: bool = True
) -> LambdaMapModel:
    r"""Load the TV-Lambda weights for cine MRI that were published with the method [KOF2023]_.

    Theirs is a 3D U-Net without biases and with zero padding, whose input is added to its output: the map is
    :math:`0.1\, \mathrm{softplus}(u(x) + (\mathrm{Re}\, x, \mathrm{Im}\, x))`, the first channel for space, the second
    for time. It depends on the unit and the global phase of the image. The unit is told by `intensity`: an image
    :math:`x_0` of intensity :math:`s` is seen as :math:`x = k x_0` with :math:`k = \mathrm{intensity} / s`, and the map
    is divided by :math:`k`, so that it scales with the scan. The phase is up to the caller.

    The files are ``networks/pre_trained_models/dyn_mri/unet_T_train*.pth`` of the repository of the authors,
    https://github.com/koflera/LearningRegularizationParameterMaps (Apache-2.0), which are all the same. They are read
    as plain tensors.

    Parameters
    ----------
    path
        File.
    intensity
        Intensity that the network sees, see `~mrpro_lambda.nets.intensity`. That of the training images was not
        published: with 7, the median of the map in time was 8 times that in space for a 4-chamber cine, as it is in the
        pictures that were published.
    time_dim
        Axis of the frames, negative.
    circular
        Continue the series periodically in time, for the frames of a cardiac cycle; otherwise it is reflected for the
        network, and ends there for total variation (Neumann boundary).

    Returns
    -------
        Model for single slices, which sees an image of 8 steps of conjugate gradients, as in the publication.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no state dict, or holds other tensors, or if the axis is not before that of the coils.

    References
    ----------
    .. [KOF2023] Kofler A, et al. (2023) Learning Regularization Parameter-Maps for Variational Image Reconstruction
       using Deep Neural Networks and Algorithm Unrolling. SIAM J Imaging Sci 16(4) https://doi.org/10.1137/23M1552486
    """
    check_number('intensity', intensity, positive=True)
    check_axes('time_dim', (time_dim,))
    if time_dim > -5:
        raise ValueError(f'time_dim must be an axis before that of the coils, -5 or below, got {time_dim=}.')
    net = LambdaNet(
        _backbone(Path(path)),
        [ScaledImageInput('real_imaginary', intensity)],
        dim=(-2, -1, time_dim),
        padding=(4, 4, 8),
        circular_dim=(time_dim,) if circular else (),
        initial_scale=_SCALE / intensity,
    )
    regularizer = TotalVariation(
        (time_dim, -2, -1), boundary=('circular' if circular else 'neumann', 'circular', 'circular')
    )
    solver = ADMM(regularizer, max_iterations=1000, tolerance=1e-2)
    return LambdaMapModel(CGImageWeight(NetworkWeight(net), 8), solver)


def _backbone(path: Path) -> UNet:
    """Read the U-Net from a state dict."""
    if not path.is_file():
        raise FileNotFoundError(f'No such file: {path}')
    try:
        given = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(f'{path} is no file of plain tensors: {error}') from error
    if not isinstance(given, dict) or not all(isinstance(x, torch.Tensor) for x in given.values()):
        raise ValueError(f'{path} must hold a dictionary of tensors, got {type(given).__name__}.')
    backbone = UNet(3, 2, 2, 8, bias=False, residual=True, padding_mode='zeros')
    own = backbone.state_dict()
    names = {_published_name(name): name for name in own}
    found = {name: tuple(tensor.shape) for name, tensor in given.items()}
    expected = {name: tuple(own[names[name]].shape) for name in names}
    if found != expected:
        different = sorted(str(name) for name in {*found, *expected} if found.get(name) != expected.get(name))
        first = different[0]
        raise ValueError(
            f'{path} must hold the {len(expected)} tensors of the published network, but {len(different)} of its '
            f'{len(found)} differ, the first is {first} with shape {found.get(first)}, expected {expected.get(first)}.'
        )
    for name, tensor in given.items():
        if tensor.dtype != torch.float32 or not bool(tensor.isfinite().all()):
            raise ValueError(
                f'The tensors in {path} must be finite numbers of single precision, {name} of {tensor.dtype}, shape '
                f'{tuple(tensor.shape)}, is not.'
            )
    backbone.load_state_dict({names[name]: tensor for name, tensor in given.items()})
    return backbone


def _published_name(name: str) -> str:
    """Return the name of a tensor of the `UNet` in the file."""
    first, *numbers, _ = name.split('.')
    return _NAMES[first].format(*numbers)
