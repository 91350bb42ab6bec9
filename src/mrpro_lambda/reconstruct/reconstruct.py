"""One reconstruction for the command line and for Python: from k-space data and settings to an image."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mrpro.data import CsmData, KData, KNoise
from mrpro.operators import FourierOp

from mrpro_lambda import __version__
from mrpro_lambda.checks import check_type
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from mrpro_lambda.raw_data import read_noise, read_scan, sampled_fraction, standardize, to_unit_range, upsample
from mrpro_lambda.reconstruct.Reconstructed import Reconstructed
from mrpro_lambda.reconstruct.Settings import Method, Rule, Settings
from mrpro_lambda.reconstruction import (
    AdaptiveDictionaryReconstruction,
    AdaptiveTotalVariationReconstruction,
    LearnedReconstruction,
    NoiseEstimate,
    estimate_noise,
    estimate_noise_weight,
    prewhiten,
)
from mrpro_lambda.regularizers import TotalGeneralizedVariation
from mrpro_lambda.solvers import ADMM
from mrpro_lambda.weighting import AutomaticWeight, Discrepancy, LCurve, NoiseWeight, Sure

_LOGGER = logging.getLogger(__name__)
_CSM = {'inati': CsmData.from_idata_inati, 'walsh': CsmData.from_idata_walsh, 'none': None}
_RULES: dict[Rule, Callable[[], AutomaticWeight]] = {'sure': Sure, 'discrepancy': Discrepancy, 'l-curve': LCurve}
_DICTIONARY = 'k32-9x9-medium'
_FULLY_SAMPLED = 0.9
"""Fraction of the points of the measured band above which data count as fully sampled."""
_SAME_LEVEL = 1.3
"""Largest ratio of the noise of prewhitened data to 1."""


class _Weights(NamedTuple):
    """Model with what is known about it."""

    name: str
    """Name of the weights, or file."""
    model: LambdaMapModel
    """Model."""
    card: dict[str, str]
    """Model card."""


def choose_model(method: Method, sampled: float | None) -> str:
    """Return the name of the pretrained weights for an acquisition.

    Fully sampled images suffer from noise and low resolution, others from undersampling.

    Parameters
    ----------
    method
        Method.
    sampled
        Sampled fraction of the measured band, see `~mrpro_lambda.raw_data.sampled_fraction`.
    """
    if method == 'cdl':
        return 'cdl-v3-low-field' if _is_fully_sampled(sampled) else 'cdl-v3'
    return f'{method}-low-field' if _is_fully_sampled(sampled) else f'{method}-variable-density'


def choose_upsampling(model: str | None, sampled: float | None) -> float:
    """Return how much finer the grid of the image should be.

    It is 2 for fully sampled data with pretrained weights that were trained to raise the resolution, and otherwise 1.

    Parameters
    ----------
    model
        Name of the weights, or file. `None` if there are none.
    sampled
        Sampled fraction of the measured band, see `~mrpro_lambda.raw_data.sampled_fraction`.
    """
    raises_resolution = model in list_pretrained() and not str(model).endswith('variable-density')
    return 2.0 if raises_resolution and _is_fully_sampled(sampled) else 1.0


def reconstruct(
    kdata: KData, settings: Settings | None = None, *, noise: KNoise | None = None, progress: bool = False
) -> Reconstructed:
    """Reconstruct k-space data as the command line does: the same scan and settings give the same image.

    The oversampling of a Cartesian readout is removed, a noise measurement whitens the coils, small and huge values are
    multiplied by a power of ten, and what the settings leave open (weights, grid, noise level, whitening, coil
    sensitivities) is chosen for the data.

    Parameters
    ----------
    kdata
        k-space data.
    settings
        Settings. Default: those of `Settings()`.
    noise
        Noise measurement of the same coils for prewhitening, see `~mrpro_lambda.reconstruction.prewhiten`.
    progress
        Show a progress bar.

    Returns
    -------
        Image, with the zero-filled image, the map, the noise level, the certificate, notes and a report.

    Raises
    ------
    ValueError
        If data, noise or settings are not valid or do not fit together, if weights or dictionary are not found, if the
        noise level can not be estimated, or if the result is not finite.

    Warns
    -----
    UserWarning
        For each of the notes, for example if the solver has not reached its tolerance.
    """
    check_type('k-space data', kdata, KData)
    check_type('noise', noise, (KNoise, type(None)))
    settings = _checked(settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        weights, filters = _load_parts(settings)
        result = _reconstruct(
            standardize(kdata, keep_oversampling=True), settings, weights, filters, noise, progress=progress
        )
    return _with_notes(result, caught)


def reconstruct_file(
    path: str | Path,
    settings: Settings | None = None,
    *,
    trajectory: str = 'cartesian',
    noise_file: str | Path | None = None,
    progress: bool = False,
) -> Reconstructed:
    """Read an ISMRMRD file and reconstruct it, see `reconstruct`.

    Parameters
    ----------
    path
        ISMRMRD file.
    settings
        Settings. Default: those of `Settings()`.
    trajectory
        One of `~mrpro_lambda.raw_data.TRAJECTORIES`.
    noise_file
        ISMRMRD file with a noise measurement, `'none'` for no prewhitening. `None`: the noise measurement of `path`,
        if there is one.
    progress
        Show a progress bar.

    Returns
    -------
        As `reconstruct`. The report holds file and trajectory as well.

    Raises
    ------
    ValueError
        As `reconstruct`, and if a file can not be read, see `~mrpro_lambda.raw_data.read_kdata`.

    Warns
    -----
    UserWarning
        As `reconstruct`.
    """
    path, settings = Path(path), _checked(settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        weights, filters = _load_parts(settings)  # before the data, which may be large
        scan, noise = read_scan(path, trajectory=trajectory, noise_file='none'), None
        kdata = scan.kdata if scan.oversampled is None else scan.oversampled
        if noise_file != 'none':
            noise = read_noise(path if noise_file is None else Path(noise_file), required=noise_file is not None)
        result = _reconstruct(kdata, settings, weights, filters, noise, progress=progress)
    result.report['file'] = str(path)
    result.report['settings']['trajectory'] = trajectory
    return _with_notes(result, caught)


def _checked(settings: Settings | None) -> Settings:
    """Return the settings or the default ones, after checking that this computer can follow them."""
    check_type('settings', settings, (Settings, type(None)))
    settings = Settings() if settings is None else settings
    if settings.device == 'cuda' and not torch.cuda.is_available():
        raise ValueError("This computer has no CUDA device: use the device 'cpu'.")
    return settings


def _with_notes(result: Reconstructed, caught: list[warnings.WarningMessage]) -> Reconstructed:
    """Return the result with the texts of the warnings, and issue them where the user called."""
    chosen = [w for w in caught if issubclass(w.category, UserWarning | RuntimeWarning)]
    for text, category in {str(w.message): w.category for w in chosen}.items():
        warnings.warn(text, category, stacklevel=3)
        result.notes.append(text)
    return result


def _is_fully_sampled(sampled: float | None) -> bool:
    """Tell whether a sampled fraction, which is `None` for data that are not Cartesian, is that of all points."""
    return sampled is not None and sampled > _FULLY_SAMPLED


def _load_parts(settings: Settings) -> tuple[_Weights | None, torch.Tensor | None]:
    """Load the weights and the filters that the settings name."""
    filters = None if settings.dictionary is None else load_dictionary(settings.dictionary).filters
    if settings.model is None:
        return None, filters
    weights = _load(settings.model, filters)
    if settings.method not in (None, _method_of(weights.model)):
        needed = {'cdl': 'a model with a dictionary', 'tv': 'total variation', 'tgv': 'generalized variation'}
        raise ValueError(
            f'The method {settings.method!r} needs the weights of {needed[str(settings.method)]}, got {weights.name}.'
        )
    return weights, filters


def _method_of(model: LambdaMapModel) -> Method:
    """Return the method of a model."""
    regularizer = model.solver.regularizer
    if regularizer.dictionary_op is not None:
        return 'cdl'
    return 'tv' if regularizer.transform_op.n_components is None else 'tgv'


def _load(name: str | Path, filters: torch.Tensor | None) -> _Weights:
    """Load weights by their name or from a file, with other filters if there are any."""
    if isinstance(name, Path) or name.endswith('.safetensors') or Path(name).is_file():
        return _Weights(str(name), *load_weights(name, filters))
    return _Weights(name, load_pretrained(name, filters), list_pretrained()[name])


def _reconstruct(
    kdata: KData,
    settings: Settings,
    weights: _Weights | None,
    filters: torch.Tensor | None,
    noise: KNoise | None,
    *,
    progress: bool,
) -> Reconstructed:
    """Reconstruct data that were checked, with the oversampling of their readout: the air beside the image."""
    if noise is not None:
        try:
            kdata = prewhiten(kdata, noise)
        except ValueError as error:
            raise ValueError(
                f'The noise measurement does not fit the data, it must be noise of {kdata.data.shape[-4]} coil(s), or '
                f'be left out (--noise-file none): {error}'
            ) from error
    kdata, factor = to_unit_range(kdata)
    if factor != 1:
        warnings.warn(f'Data, image and noise level were multiplied by {factor:g}.', stacklevel=1)
    estimate = None if settings.noise_std is not None else estimate_noise(kdata)
    measured, kdata = kdata, standardize(kdata)
    sampled = sampled_fraction(kdata)
    if weights is None and settings.weight is None:
        weights = _load(choose_model(settings.method or 'tv', sampled), filters)
    refinement = settings.upsample or choose_upsampling(None if weights is None else weights.name, sampled)
    kdata = upsample(kdata, refinement).to(settings.device)
    fourier_op = FourierOp.from_kdata(kdata)
    noise_std, noise_source = _noise_level(settings, estimate, factor, prewhitened=noise is not None)
    if not noise_std > 0:
        raise ValueError('The noise level can not be estimated from these data: give noise_std (--noise-std).')
    noise_weight = _noise_weight(measured, settings, sampled, prewhitened=noise is not None)
    whiten_background = noise_weight is not None
    csm = settings.csm or ('none' if kdata.data.shape[-4] == 1 else 'inati')

    common: dict[str, Any] = {'noise_std': noise_std, 'progress': progress}
    common['whiten_background'] = False if noise_weight is None else noise_weight.to(settings.device)
    options: dict[str, Any] = {'max_iterations': settings.max_iterations, 'tolerance': settings.tolerance}
    reconstruction: LearnedReconstruction
    if weights is not None:
        name = weights.name
        weights.model.solver = weights.model.solver.replace(**options)
        reconstruction = LearnedReconstruction(kdata, fourier_op, _CSM[csm], model=weights.model, **common)
    else:
        if settings.weight is None:
            raise ValueError('Without weights of a network, there must be a weight.')
        names = {'cdl': 'dictionary', 'tgv': 'generalized variation'}
        name = names.get(str(settings.method), 'total variation')
        if isinstance(settings.weight, str):
            options['regularization_weight'] = _RULES[settings.weight]()
            name += f' with one weight, found by {settings.weight}'
        elif settings.weight_unit == 'image':
            options['regularization_weight'] = factor * settings.weight
            name += f' with the weight {settings.weight:g} in units of the image'
        else:
            options['regularization_weight'] = NoiseWeight(settings.weight)
            name += f' with {settings.weight:g} times the noise level'
        if settings.method == 'cdl':
            filters = load_dictionary(_DICTIONARY).filters if filters is None else filters
            reconstruction = AdaptiveDictionaryReconstruction(
                kdata, fourier_op, _CSM[csm], filters=filters, **common, **options
            )
        elif settings.method == 'tgv':
            weight = options.pop('regularization_weight')
            solver = ADMM(TotalGeneralizedVariation((-2, -1)), **options)
            reconstruction = LearnedReconstruction(
                kdata,
                fourier_op,
                _CSM[csm],
                model=LambdaMapModel(None, solver),
                regularization_weight=weight,
                **common,
            )
        else:
            reconstruction = AdaptiveTotalVariationReconstruction(
                kdata, fourier_op, _CSM[csm], regularization_dim=(-2, -1), **common, **options
            )
    phase_aware = settings.phase == 'on' or (settings.phase == 'auto' and _is_anatomical(kdata))
    if phase_aware:
        reconstruction.model = reconstruction.model.phase_aware()
    _LOGGER.info('%s, noise level %.4g, coil sensitivities %s, grid finer by %g', name, noise_std, csm, refinement)
    result = reconstruction.to(settings.device).solve(kdata)
    _LOGGER.info('%d iterations, %s', result.solution.n_iterations, result.solution.reason)
    dictionary_op = reconstruction.model.solver.regularizer.dictionary_op
    solution = result.solution
    _check_finite('The map', result.lambda_map, 'the data or the weights are not those of a scan')
    # the square, which the root of the sum of squares over coils needs
    energy = solution.img.abs().square()
    _check_finite('The image', energy, 'data, noise level and weight must be in the range of float32')

    # in the units of the noise levels of a training; without meaning for data that are not on a grid
    relative_noise = noise_std / (energy.sum(-4).mean().sqrt().item() or float('inf'))
    whitening = ['noise measurement'] * (noise is not None) + ['background'] * whiten_background
    report = {
        'version': __version__,
        'file': None,
        'shape': list(kdata.data.shape),
        'sampled_fraction': sampled,
        'factor': factor,
        'model': name,
        'method': _method_of(reconstruction.model),
        'dictionary': None if settings.dictionary is None else str(settings.dictionary),
        'card': {} if weights is None else weights.card,
        'prewhitened': noise is not None,
        'whitening': ' and '.join(whitening) or 'none',
        'noise_given': settings.noise_std is not None,
        'weight': None if result.weight_report is None else dict(result.weight_report),
        'settings': _report_of(settings)
        | {
            'csm': csm,
            'phase': 'on' if phase_aware else 'off',
            'upsample': refinement,
        },
        'image_shape': list(solution.img.shape),
        'noise_std': noise_std,
        'noise_source': noise_source,
        'noise_relative_to_image': None if sampled is None else relative_noise,
        'certificate': {
            'objective': solution.objective.flatten().tolist(),
            'gap': solution.gap.flatten().tolist(),
            'relative_gap': solution.relative_gap,
            'relative_estimate': solution.relative_estimate,
            'n_iterations': solution.n_iterations,
            'reason': solution.reason,
            'tolerance_reached': solution.reason == 'tolerance reached',
        },
    }
    return Reconstructed(
        result.idata, result.initial_idata, result.lambda_map, noise_std, solution, dictionary_op, [], report
    )


def _report_of(settings: Settings) -> dict[str, Any]:
    """Return the settings in types that JSON knows."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(Settings)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _noise_level(
    settings: Settings, estimate: NoiseEstimate | None, factor: float, *, prewhitened: bool
) -> tuple[float, str]:
    """Return the noise level of the data, and where it is from."""
    if estimate is None:
        return factor * (settings.noise_std or 1.0), 'given'
    source = estimate.source if estimate.reliable else f'{estimate.source}, an upper bound'
    if not prewhitened:
        return estimate.std, source
    level = estimate.std / factor
    if estimate.reliable and not 1 / _SAME_LEVEL < level < _SAME_LEVEL:
        warnings.warn(
            f'The noise of the prewhitened data is {level:.3g} instead of 1, as seen in this place: {source}. The '
            'noise measurement may have another bandwidth than the scan. The level that was seen is used.',
            stacklevel=1,
        )
        return estimate.std, source
    return factor, 'noise measurement'


def _noise_weight(kdata: KData, settings: Settings, sampled: float | None, *, prewhitened: bool) -> torch.Tensor | None:
    """Return the weights of the phase encodings from the noise in the air, if they are to be weighted."""
    requested = settings.whitening == 'background'
    if not requested and (settings.whitening == 'none' or prewhitened or not _is_fully_sampled(sampled)):
        return None
    try:
        return estimate_noise_weight(kdata)
    except ValueError as error:
        if requested:
            raise
        warnings.warn(f'The noise of the phase encodings is taken as the same: {error}', stacklevel=1)
        return None


def _is_anatomical(kdata: KData) -> bool:
    """Tell whether there are images or slices only, as far as the counters of the data say."""
    counters = kdata.header.acq_info.idx
    return all(
        torch.as_tensor(getattr(counters, name)).unique().numel() == 1
        for name in ('contrast', 'phase', 'repetition', 'set')
    )


def _check_finite(name: str, values: torch.Tensor, advice: str) -> None:
    """Raise an error for NaN and Inf."""
    if n_bad := int((~values.isfinite()).sum()):
        raise ValueError(f'{name} must be finite, got {n_bad} NaN or Inf in shape {tuple(values.shape)}: {advice}.')
