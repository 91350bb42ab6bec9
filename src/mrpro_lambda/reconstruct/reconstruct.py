"""One reconstruction for the command line and for Python: from k-space data and settings to an image."""

from __future__ import annotations

import dataclasses
import logging
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mrpro.data import CsmData, KData, KNoise

from mrpro_lambda import __version__
from mrpro_lambda.checks import check_type
from mrpro_lambda.coil_maps import read_coil_maps
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.models import LambdaMapModel, Model
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights, pretrained_recipe, read_recipe
from mrpro_lambda.raw_data import Averages, RawScan, read_scan, standardize
from mrpro_lambda.recipes import Recipe
from mrpro_lambda.reconstruct.choose import choose
from mrpro_lambda.reconstruct.prepare import Prepared, describe, prepare
from mrpro_lambda.reconstruct.Reconstructed import Reconstructed
from mrpro_lambda.reconstruct.Settings import Rule, Settings
from mrpro_lambda.reconstruction import (
    AdaptiveDictionaryReconstruction,
    AdaptiveTotalVariationReconstruction,
    LearnedReconstruction,
    ModelReconstruction,
    TensorReconstruction,
    residual_image,
)
from mrpro_lambda.regularizers import TotalGeneralizedVariation
from mrpro_lambda.solvers import ADMM
from mrpro_lambda.weighting import AutomaticWeight, Discrepancy, FittedToScan, LCurve, NoiseWeight, Sure

_LOGGER = logging.getLogger(__name__)
_RULES: dict[Rule, Callable[..., AutomaticWeight]] = {'sure': Sure, 'discrepancy': Discrepancy, 'l-curve': LCurve}
_SWEEP_ITERATIONS = 200
"""Largest number of iterations at each weight that a rule tries: with 150, it lost 0.01 dB (`automatic_weights.py`)."""
_DICTIONARY = 'k32-9x9-medium'


class _Weights(NamedTuple):
    """Model with what is known about it."""

    name: str
    """Name of the weights, or file."""
    model: Model
    """Model."""
    card: dict[str, str]
    """Model card."""
    recipe: Recipe
    """Description."""

    @property
    def method(self) -> str:
        """Method of the description."""
        return str(getattr(self.recipe, 'method', ''))


def reconstruct(
    kdata: KData,
    settings: Settings | None = None,
    *,
    noise: KNoise | None = None,
    calibration: KData | None = None,
    coil_maps: CsmData | torch.Tensor | None = None,
    progress: bool = False,
) -> Reconstructed:
    """Reconstruct k-space data as the command line does: the same scan and settings give the same image.

    The oversampling of a Cartesian readout is removed, a noise measurement whitens the coils, small and huge values are
    multiplied by a power of ten, coil maps come from the best source at hand, and what the settings leave open
    (weights, grid, noise level, whitening) is chosen for the data. Weights that ship are taken for scans that they are
    good for; for others one weight is found on the scan.

    Parameters
    ----------
    kdata
        k-space data.
    settings
        Settings. Default: those of `Settings()`.
    noise
        Noise measurement of the same coils for prewhitening, see `~mrpro_lambda.reconstruction.prewhiten`.
    calibration
        Separate data of the same coils for coil maps, see `~mrpro_lambda.coil_maps.find_coil_maps`.
    coil_maps
        Coil maps, in place of estimated ones, of the coils after prewhitening.
    progress
        Show a progress bar.

    Returns
    -------
        Image, with the zero-filled image, the map, the noise level, the certificate, notes and a report.

    Raises
    ------
    ValueError
        If data, noise or settings are not valid or do not fit together, if weights or dictionary are not found, if the
        model can not reconstruct the acquisition, if the noise level can not be estimated, or if the result is not
        finite.

    Warns
    -----
    UserWarning
        For each of the notes, for example if the solver has not reached its tolerance.
    """
    check_type('k-space data', kdata, KData)
    check_type('noise', noise, (KNoise, type(None)))
    check_type('calibration', calibration, (KData, type(None)))
    settings = _checked(settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        weights, filters = _load_parts(settings)
        standard = standardize(kdata)
        removed = standard.data.shape[-1] < kdata.data.shape[-1]
        oversampled = standardize(kdata, keep_oversampling=True) if removed else None
        calibration = None if calibration is None else standardize(calibration)
        scan = RawScan(standard, calibration, noise, oversampled, [], {})
        result = _reconstruct(scan, settings, weights, filters, coil_maps, progress=progress)
    return _with_notes(result, caught)


def reconstruct_file(
    path: str | Path,
    settings: Settings | None = None,
    *,
    trajectory: str = 'auto',
    averages: Averages = 'auto',
    noise_file: str | Path | None = None,
    calibration_file: str | Path | None = None,
    coil_maps_file: str | Path | None = None,
    progress: bool = False,
) -> Reconstructed:
    """Read raw data and reconstruct them, see `reconstruct` and `~mrpro_lambda.raw_data.read_scan`.

    Parameters
    ----------
    path
        File: ISMRMRD, `.npy`, `.cfl` of BART, or HDF5 of fastMRI.
    settings
        Settings. Default: those of `Settings()`.
    trajectory
        `'auto'` for that of the file, or one of `~mrpro_lambda.raw_data.TRAJECTORIES`.
    averages
        `'combine'` or `'separate'` images; `'auto'` combines them unless they contradict the header.
    noise_file
        ISMRMRD file with a noise measurement, `'none'` for no prewhitening. `None`: the noise measurement of `path`,
        if there is one.
    calibration_file
        File with lines for coil maps. `None`: the calibration lines of `path`, if there are any.
    coil_maps_file
        File with coil maps, see `~mrpro_lambda.coil_maps.read_coil_maps`, in place of estimated ones.
    progress
        Show a progress bar.

    Returns
    -------
        As `reconstruct`. The report holds the file, and what was found in it, as well.

    Raises
    ------
    ValueError
        As `reconstruct`, and if a file can not be read, see `~mrpro_lambda.raw_data.read_scan`.

    Warns
    -----
    UserWarning
        As `reconstruct`.
    """
    path, settings = Path(path), _checked(settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        weights, filters = _load_parts(settings)  # before the data, which may be large
        maps = None if coil_maps_file is None else read_coil_maps(coil_maps_file)
        scan = read_scan(
            path, trajectory=trajectory, averages=averages, calibration_file=calibration_file, noise_file=noise_file
        )
        result = _reconstruct(scan, settings, weights, filters, maps, progress=progress)
    result.report['file'] = str(path)
    result.report['settings'] |= {'trajectory': trajectory, 'averages': averages}
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


def _load_parts(settings: Settings) -> tuple[_Weights | None, torch.Tensor | None]:
    """Load the weights and the filters that the settings name."""
    filters = None if settings.dictionary is None else load_dictionary(settings.dictionary).filters
    if settings.model is None:
        return None, filters
    weights = _load(settings.model, filters)
    if not isinstance(weights.model, LambdaMapModel):
        _check_without_map(settings, weights)
    if settings.method not in (None, weights.method):
        needed = {'cdl': 'a model with a dictionary', 'tv': 'total variation', 'tgv': 'generalized variation'}
        raise ValueError(
            f'The method {settings.method!r} needs the weights of {needed[str(settings.method)]}, got {weights.name}.'
        )
    return weights, filters


def _check_without_map(settings: Settings, weights: _Weights) -> None:
    """Raise an error if settings belong to a Lambda map or to a solver, which a model does not have."""
    default = Settings()
    given = [n for n in ('fit', 'tolerance', 'max_iterations') if getattr(settings, n) != getattr(default, n)]
    given += ['phase'] if settings.phase == 'on' else []
    if given:
        raise ValueError(
            f'{" and ".join(given)} must be left out with {weights.name}: {type(weights.model).__name__} has neither a '
            'Lambda map nor a solver with a tolerance.'
        )


def _load(name: str | Path, filters: torch.Tensor | None) -> _Weights:
    """Load weights by their name or from a file, with other filters if there are any."""
    if isinstance(name, Path) or name.endswith('.safetensors') or Path(name).is_file():
        found = _Weights(str(name), *load_weights(name, filters), read_recipe(name))
    else:
        found = _Weights(name, load_pretrained(name, filters), list_pretrained()[name], pretrained_recipe(name))
    return found


def _reconstruct(
    scan: RawScan,
    settings: Settings,
    weights: _Weights | None,
    filters: torch.Tensor | None,
    maps: CsmData | torch.Tensor | None,
    *,
    progress: bool,
) -> Reconstructed:
    """Reconstruct data that were checked."""
    prepared = prepare(scan, settings, maps, None if weights is None else weights.model)
    weight = settings.weight
    if weights is not None:
        if mismatches := weights.recipe.mismatches(prepared.properties):
            warnings.warn(f'{weights.name} is not made for this scan: {", ".join(mismatches)}.', stacklevel=1)
    elif weight is None and not settings.fit:
        choice = choose(settings.method or 'tv', prepared.properties)
        weight = choice.rule
        if choice.model is not None:
            weights = _load(choice.model, filters)
        else:
            warnings.warn(choice.note, stacklevel=1)
    prepared = prepared.on_grid_of(None if weights is None else weights.recipe)
    name, reconstruction = _reconstruction(prepared, settings, weights, weight, filters, progress=progress)
    kdata, noise_std = prepared.kdata, prepared.noise.std
    phase_aware = settings.phase == 'on' or (settings.phase == 'auto' and _is_anatomical(kdata))
    phase_aware = phase_aware and isinstance(reconstruction, LearnedReconstruction)
    if isinstance(reconstruction, LearnedReconstruction) and phase_aware:
        # coil maps of the scan hold its phase: with 16 coils, that of a first image cost 0.1 dB, and 0.4 dB with spokes
        options: dict[str, Any] = {} if prepared.coil_maps is None else {'refined_width': None}
        reconstruction.model = reconstruction.model.phase_aware(**options)
    _LOGGER.info('%s, noise level %.4g, coil maps: %s', name, noise_std, prepared.coil_maps)
    result = reconstruction.to(settings.device).solve(kdata)
    solution = result.solution
    if result.lambda_map is not None:
        _check_finite('The map', result.lambda_map, 'the data or the weights are not those of a scan')
    # the square, which the root of the sum of squares over coils needs
    _check_finite(
        'The image', result.img.abs().square(), 'data, noise level and weight must be in the range of float32'
    )
    certificate = None
    dictionary_op = None
    if solution is not None:
        _LOGGER.info('%d iterations, %s', solution.n_iterations, solution.reason)
        certificate = {
            'objective': solution.objective.flatten().tolist(),
            'gap': solution.gap.flatten().tolist(),
            'relative_gap': solution.relative_gap,
            'relative_estimate': solution.relative_estimate,
            'n_iterations': solution.n_iterations,
            'reason': solution.reason,
            'tolerance_reached': solution.reason == 'tolerance reached',
        }
    if isinstance(reconstruction, LearnedReconstruction):
        dictionary_op = reconstruction.model.solver.regularizer.dictionary_op
    report = {
        'version': __version__,
        'file': None,
        'found': scan.found,
        **describe(prepared),
        'model': name,
        'method': settings.method or 'tv' if weights is None else weights.method,
        'dictionary': None if settings.dictionary is None else str(settings.dictionary),
        'card': {} if weights is None else weights.card,
        'weight': None if result.weight_report is None else dict(result.weight_report),
        'settings': _report_of(settings) | {'phase': 'on' if phase_aware else 'off', 'upsample': prepared.refinement},
        'image_shape': list(result.img.shape),
        'certificate': certificate,
    }
    noise_weight = torch.ones(()) if result.noise_weight is None else result.noise_weight
    acquisition_op = noise_weight * reconstruction.acquisition_op
    residual = residual_image(noise_weight * kdata.data, acquisition_op, result.img, noise_std)
    return Reconstructed(
        result.idata,
        result.initial_idata,
        result.img,
        result.lambda_map,
        noise_std,
        solution,
        dictionary_op,
        list(scan.notes),
        report,
        residual,
        kdata.header,
    )


def _reconstruction(
    prepared: Prepared,
    settings: Settings,
    weights: _Weights | None,
    weight: float | Rule | None,
    filters: torch.Tensor | None,
    *,
    progress: bool,
) -> tuple[str, TensorReconstruction]:
    """Return the reconstruction of a scan, with its name."""
    noise_std = prepared.noise.std
    csm = None if prepared.coil_maps is None else prepared.coil_maps.csm
    common: dict[str, Any] = {
        'kdata': prepared.kdata,
        'csm': csm,
        'noise_std': noise_std,
        'whiten_background': False if prepared.noise_weight is None else prepared.noise_weight,
        'progress': progress,
    }
    options: dict[str, Any] = {'max_iterations': settings.max_iterations, 'tolerance': settings.tolerance}
    fit_options: dict[str, Any] = {'seconds': settings.fit_time or math.inf, 'progress': progress}
    if weights is not None:
        model, name = weights.model, weights.name
        if not isinstance(model, LambdaMapModel):
            return name, ModelReconstruction(model=model, **common)
        model.solver = model.solver.replace(**options)
        if settings.fit:
            model = LambdaMapModel(FittedToScan(model.weight, **fit_options), model.solver, band_limit=model.band_limit)
            name += ', fitted to the scan'
        return name, LearnedReconstruction(model=model, **common)
    name = {'cdl': 'dictionary', 'tgv': 'generalized variation'}.get(str(settings.method), 'total variation')
    if settings.fit:
        options['regularization_weight'] = FittedToScan(**fit_options)
        name += ' with a map fitted to the scan'
    elif isinstance(weight, str):
        options['regularization_weight'] = _RULES[weight](max_iterations=_SWEEP_ITERATIONS)
        name += f' with one weight, found by {weight}'
    elif weight is None:
        raise ValueError('Without weights of a network, there must be a weight.')
    elif settings.weight_unit == 'image':
        options['regularization_weight'] = prepared.factor * weight
        name += f' with the weight {weight:g} in units of the image'
    else:
        options['regularization_weight'] = NoiseWeight(weight)
        name += f' with {weight:g} times the noise level'
    if settings.method == 'cdl':
        filters = load_dictionary(_DICTIONARY).filters if filters is None else filters
        return name, AdaptiveDictionaryReconstruction(filters=filters, **common, **options)
    if settings.method == 'tgv':
        chosen = options.pop('regularization_weight')
        solver = ADMM(TotalGeneralizedVariation((-2, -1)), **options)
        model = LambdaMapModel(None, solver)
        return name, LearnedReconstruction(model=model, regularization_weight=chosen, **common)
    return name, AdaptiveTotalVariationReconstruction(regularization_dim=(-2, -1), **common, **options)


def _report_of(settings: Settings) -> dict[str, Any]:
    """Return the settings in types that JSON knows."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(Settings)}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


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
