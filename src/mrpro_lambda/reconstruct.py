"""One reconstruction for the command line and for Python: from k-space data and settings to an image."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from mrpro.data import CsmData, IData, KData, KHeader, KNoise
from mrpro.operators import FourierOp

from mrpro_lambda import __version__
from mrpro_lambda.checks import check_type
from mrpro_lambda.dictionary import load_dictionary
from mrpro_lambda.models import LambdaMapModel
from mrpro_lambda.models.fields import Range, check_fields
from mrpro_lambda.operators import ConvolutionalDictionaryOp
from mrpro_lambda.pretrained import list_pretrained, load_pretrained, load_weights
from mrpro_lambda.raw_data import read_kdata, read_noise, sampled_fraction, standardize, to_unit_range, upsample
from mrpro_lambda.reconstruction import (
    AdaptiveDictionaryReconstruction,
    AdaptiveTotalVariationReconstruction,
    LearnedReconstruction,
    estimate_noise_std,
    estimate_noise_weight,
    prewhiten,
    residual_image,
)
from mrpro_lambda.regularizers import TotalGeneralizedVariation
from mrpro_lambda.solvers import ADMM, Solution
from mrpro_lambda.summary import summary_html
from mrpro_lambda.weighting import AutomaticWeight, Discrepancy, LCurve, Sure

Method = Literal['tv', 'tgv', 'cdl']
Whitening = Literal['auto', 'background', 'none']
Csm = Literal['inati', 'walsh', 'none']
Phase = Literal['auto', 'on', 'off']
Rule = Literal['sure', 'discrepancy', 'l-curve']

_CSM = {'inati': CsmData.from_idata_inati, 'walsh': CsmData.from_idata_walsh, 'none': None}
_RULES: dict[Rule, Callable[[], AutomaticWeight]] = {'sure': Sure, 'discrepancy': Discrepancy, 'l-curve': LCurve}
_DICTIONARY = 'k32-9x9-medium'
_FULLY_SAMPLED = 0.9
"""Fraction of the points of the measured band above which data count as fully sampled."""


@dataclass(frozen=True)
class Settings:
    """How data are reconstructed. What is `None` is chosen for the data.

    Raises
    ------
    ValueError
        If a value has another type or is out of its range, if there are both a model and a weight, or if there is a
        dictionary for a method that has none.
    """

    method: Method | None = None
    """Total variation, generalized variation or convolutional dictionary. `None`: that of the model, and total
    variation without one."""
    model: str | Path | None = None
    """Name of pretrained weights, or a file of weights. `None`: `choose_model`, unless there is a weight."""
    weight: Annotated[float, Range(0)] | Rule | None = None
    """One weight in place of a network, relative to the noise level, or the rule that finds it on the scan."""
    dictionary: str | Path | None = None
    """Name of a dictionary, or a file. `None`: that of the weights, or `k32-9x9-medium` with one weight."""
    noise_std: Annotated[float, Range(0, above=True)] | None = None
    """Standard deviation of the complex noise of a k-space sample, after prewhitening. `None`: 1 for prewhitened data,
    and otherwise estimated."""
    whitening: Whitening = 'auto'
    """Whether the phase encodings are weighted with the noise in the air at the ends of the readout. `'auto'`: if it
    can be measured, for Cartesian data that are fully sampled and have no noise measurement."""
    csm: Csm | None = None
    """Coil sensitivities; `'none'` reconstructs each coil on its own. `None`: `'inati'`, or `'none'` for one coil."""
    phase: Phase = 'auto'
    """Whether real and imaginary part of the demodulated image are regularized apart, see
    `~mrpro_lambda.regularizers.PhaseAware`. `'auto'`: for an image or slices, but not for contrasts, cardiac phases,
    repetitions and sets, whose phases may differ. It is wrong where the phase is what is imaged."""
    upsample: Annotated[float, Range(1)] | None = None
    """Refinement of the grid of the image in the plane. `None`: `choose_upsampling`."""
    device: Literal['cpu', 'cuda'] = 'cpu'
    """Where it is computed."""
    tolerance: Annotated[float, Range(0, above=True)] = 1e-2
    """Certified gap relative to the objective of each image at which the solver stops."""
    max_iterations: Annotated[int, Range(1)] = 1000
    """Largest number of iterations."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_fields(self)
        if self.model is not None and self.weight is not None:
            raise ValueError(f'Give either model or weight, got model={str(self.model)!r} and weight={self.weight!r}.')
        if self.dictionary is not None and self.method != 'cdl' and (self.method is not None or self.model is None):
            raise ValueError(f"A dictionary needs the method 'cdl', got {self.method!r} and {str(self.dictionary)!r}.")


class Reconstructed(NamedTuple):
    """Image with what led to it."""

    idata: IData
    """Image."""
    initial_idata: IData
    """Zero-filled image, which the network saw."""
    lambda_map: torch.Tensor
    """Lambda map, shape `(n_maps, *image)`."""
    noise_std: float
    """Standard deviation of the complex noise of a k-space sample, in the units of the image."""
    solution: Solution
    """Result of the solver, with its certificate."""
    dictionary_op: ConvolutionalDictionaryOp | None
    """Dictionary, if the method has one."""
    notes: list[str]
    """What to know about the result: the text of each warning."""
    report: dict[str, Any]
    """What was chosen for the data and found in them, and the certificate, in types that JSON knows."""
    residual: torch.Tensor | None = None
    """Residual in units of the noise, see `~mrpro_lambda.reconstruction.residual_image`, of the shape of the image."""
    kheader: KHeader | None = None
    """Header of the raw data."""

    def __repr__(self) -> str:
        """Return a line without the values of the tensors."""
        return (
            f'Reconstructed(model={self.report["model"]!r}, noise_std={self.noise_std:.4g}, solution={self.solution})'
        )

    def _repr_html_(self) -> str:
        """Return the middle slice beside the summary, for notebooks."""
        resolution = self.idata.header.resolution
        aspect = float(resolution.y) / float(resolution.x)
        return summary_html(self.solution.img, self.report | {'notes': self.notes}, aspect=aspect)


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
        result = _reconstruct(standardize(kdata), settings, weights, filters, noise, progress=progress)
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
        kdata, noise = read_kdata(path, trajectory), None
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
    """Reconstruct data that were checked."""
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
    sampled = sampled_fraction(kdata)
    if weights is None and settings.weight is None:
        weights = _load(choose_model(settings.method or 'tv', sampled), filters)
    refinement = settings.upsample or choose_upsampling(None if weights is None else weights.name, sampled)
    kdata = upsample(kdata, refinement).to(settings.device)
    fourier_op = FourierOp.from_kdata(kdata)
    if settings.noise_std is not None or noise is not None:
        noise_std = factor * (settings.noise_std or 1.0)
    else:
        noise_std = estimate_noise_std(kdata, fourier_op)
    if not noise_std > 0:
        raise ValueError('The noise level can not be estimated from these data: give noise_std (--noise-std).')
    whiten_background = _whiten_background(kdata, settings, sampled, prewhitened=noise is not None)
    csm = settings.csm or ('none' if kdata.data.shape[-4] == 1 else 'inati')

    common: dict[str, Any] = {'noise_std': noise_std, 'whiten_background': whiten_background, 'progress': progress}
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
        else:
            options['regularization_weight'] = settings.weight * noise_std
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
    result = reconstruction.to(settings.device).solve(kdata)
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
        'settings': {
            'max_iterations': settings.max_iterations,
            'tolerance': settings.tolerance,
            'csm': csm,
            'phase': 'on' if phase_aware else 'off',
            'upsample': refinement,
        },
        'image_shape': list(solution.img.shape),
        'noise_std': noise_std,
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
    acquisition_op, csm_op = reconstruction.fourier_op, reconstruction.csm_op
    acquisition_op = acquisition_op if csm_op is None else acquisition_op @ csm_op
    data = kdata.data
    if result.noise_weight is not None:
        data, acquisition_op = result.noise_weight * data, result.noise_weight * acquisition_op
    residual = residual_image(data, acquisition_op, solution.img, noise_std)
    return Reconstructed(
        result.idata,
        result.initial_idata,
        result.lambda_map,
        noise_std,
        solution,
        dictionary_op,
        [],
        report,
        residual,
        kdata.header,
    )


def _whiten_background(kdata: KData, settings: Settings, sampled: float | None, *, prewhitened: bool) -> bool:
    """Tell whether the phase encodings are weighted with the noise in the air."""
    requested = settings.whitening == 'background'
    if not requested and (settings.whitening == 'none' or prewhitened or not _is_fully_sampled(sampled)):
        return False
    try:
        estimate_noise_weight(kdata)
    except ValueError:
        if requested:
            raise
        return False
    return True


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
