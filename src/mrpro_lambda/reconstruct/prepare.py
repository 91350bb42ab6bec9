"""From raw data to the acquisition that is reconstructed: noise, coils, grid."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple

import torch
from mrpro.data import CsmData, KData, KNoise
from mrpro.operators import FourierOp, LinearOperator

from mrpro_lambda.coil_maps import CoilMaps, combine_coils, compress_coils, find_coil_maps
from mrpro_lambda.models import Model
from mrpro_lambda.operators import gram_operator
from mrpro_lambda.raw_data import RawScan, to_unit_range, upsample
from mrpro_lambda.recipes import Recipe, ScanProperties
from mrpro_lambda.reconstruct.choose import refinement_of, sampling_of, scan_properties
from mrpro_lambda.reconstruct.Settings import Settings
from mrpro_lambda.reconstruction import NoiseEstimate, estimate_noise, estimate_noise_weight, prewhiten
from mrpro_lambda.reconstruction.check_inputs import check_refusal

_SAME_LEVEL = 1.3
"""Largest ratio of the noise level that is seen in prewhitened data to that of the noise measurement."""


class Prepared(NamedTuple):
    """An acquisition with what is known about it."""

    kdata: KData
    """Data of the coils that are reconstructed, in the range and on the grid of the image."""
    factor: float
    """What data, image and noise level were multiplied by."""
    noise: NoiseEstimate
    """Noise level, and where it comes from."""
    coil_maps: CoilMaps | None
    """Coil maps with their source, `None` if each coil is reconstructed on its own."""
    n_measured: int
    """Number of coils that were measured."""
    whitening: tuple[str, ...]
    """What the noise was whitened with."""
    properties: ScanProperties
    """What decides whether weights suit the scan."""
    refinement: float
    """How much finer the grid of the image is than that of the header."""
    noise_weight: torch.Tensor | None
    """Weights of the phase encodings from the noise in the air, `None` if they are not weighted."""

    def on_grid_of(self, recipe: Recipe | None) -> Prepared:
        """Return the acquisition on the grid that belongs to weights, unless the settings have chosen one."""
        refinement = refinement_of(recipe, self.properties)
        if refinement == 1 or self.refinement != 1 or self.coil_maps is not None:
            return self
        noise = self.properties.noise
        properties = self.properties._replace(noise=None if noise is None else refinement * noise)
        return self._replace(kdata=upsample(self.kdata, refinement), refinement=refinement, properties=properties)


def prepare(
    scan: RawScan, settings: Settings, maps: CsmData | torch.Tensor | None, model: Model | None = None
) -> Prepared:
    """Whiten and combine coils, bring data to a range that mrpro takes, find noise level and coil maps.

    Parameters
    ----------
    scan
        Raw data.
    settings
        Settings.
    maps
        Coil maps of the user.
    model
        Model, which may refuse the acquisition. It does so before coil maps are estimated.

    Raises
    ------
    ValueError
        If the parts do not fit together, if the model can not reconstruct the acquisition, or if the noise level can
        not be estimated.

    Warns
    -----
    UserWarning
        If the coil maps come from the image itself, if the noise level is an upper bound only, if that of prewhitened
        data is not 1, or if the noise of the phase encodings can not be whitened.
    """
    if settings.compression is not None and maps is not None:
        raise ValueError('Coil maps are those of the measured coils: leave out either compression or the maps.')
    kdata, n_measured, whitening = scan.kdata, scan.kdata.data.shape[-4], []
    parts: dict[str, KData | None] = {'oversampled': scan.oversampled, 'calibration': scan.calibration}
    if scan.noise is not None:
        kdata = _prewhiten(kdata, scan.noise)
        parts = {name: None if part is None else _prewhiten(part, scan.noise) for name, part in parts.items()}
        whitening.append('noise measurement')
    if settings.compression is not None and n_measured > 1:
        kdata, matrix, _ = compress_coils(kdata, settings.compression)
        parts = {name: None if part is None else combine_coils(part, matrix) for name, part in parts.items()}
    kdata, factor = to_unit_range(kdata)
    if factor != 1:
        warnings.warn(f'Data, image and noise level were multiplied by {factor:g}.', stacklevel=1)
    fourier_op = FourierOp.from_kdata(kdata)
    measured = kdata
    if (oversampled := parts['oversampled']) is not None:  # there is air beyond the field of view that is kept
        measured = KData(oversampled.header, factor * oversampled.data, oversampled.traj)
    box = sampling_of(gram_operator(fourier_op))[0] == 'box'
    noise_weight = _noise_weight(measured, settings, box=box, prewhitened=scan.noise is not None)
    if noise_weight is not None:
        noise_weight = noise_weight.to(settings.device)
        whitening.append('background')
    refinement = settings.upsample or 1.0
    kdata = upsample(kdata, refinement).to(settings.device)
    fourier_op = FourierOp.from_kdata(kdata) if refinement != 1 else fourier_op
    estimated = maps is None and _method_of_maps(kdata, settings) is not None
    if model is not None and estimated:  # otherwise the grid may change, and nothing takes long before the model
        check_refusal(model, kdata, fourier_op, combined=True)
    coil_maps = _coil_maps(kdata, fourier_op, parts['calibration'], settings, maps)
    acquisition_op: LinearOperator = fourier_op
    measured_op = acquisition_op
    if oversampled is None:
        measured = kdata
    else:
        measured = upsample(measured, refinement).to(settings.device)
        measured_op = FourierOp.from_kdata(measured)
    if coil_maps is not None:
        csm_op = coil_maps.csm.as_operator()
        acquisition_op, measured_op = fourier_op @ csm_op, measured_op @ csm_op
    noise = _noise(measured, measured_op, parts['calibration'], factor, settings, prewhitened=scan.noise is not None)
    (initial_image,) = acquisition_op.adjoint(kdata.data)
    n_coils = 1 if coil_maps is None else kdata.data.shape[-4]
    properties = scan_properties(gram_operator(fourier_op), n_coils, initial_image, noise.std)
    return Prepared(kdata, factor, noise, coil_maps, n_measured, tuple(whitening), properties, refinement, noise_weight)


def _prewhiten(kdata: KData, noise: KNoise) -> KData:
    """Prewhiten data, with the option of the command line in the error."""
    try:
        return prewhiten(kdata, noise)
    except ValueError as error:
        raise ValueError(
            f'The noise measurement does not fit the data, it must be noise of {kdata.data.shape[-4]} coil(s), or be '
            f'left out (--noise-file none): {error}'
        ) from error


def _noise(
    measured: KData,
    measured_op: LinearOperator,
    calibration: KData | None,
    factor: float,
    settings: Settings,
    *,
    prewhitened: bool,
) -> NoiseEstimate:
    """Return the noise level of data, with the oversampling of their readout, or of calibration lines."""
    if settings.noise_std is not None:
        return NoiseEstimate(factor * settings.noise_std, 'given', reliable=True)
    noise = estimate_noise(measured, measured_op)
    if not noise.reliable and calibration is not None:  # they have no gaps
        found = estimate_noise(KData(calibration.header, factor * calibration.data, calibration.traj))
        if found.reliable or found.std < noise.std:
            noise = found._replace(source=f'{found.source}, of the calibration lines')
    if prewhitened:
        if not noise.reliable or 1 / _SAME_LEVEL < noise.std / factor < _SAME_LEVEL:
            return NoiseEstimate(factor, 'noise measurement', reliable=True)
        warnings.warn(
            f'The noise level of the prewhitened data is not 1 but {noise.std / factor:.3g}, as seen in this place: '
            f'{noise.source}. It is used. The noise measurement may have another bandwidth than the scan.',
            stacklevel=1,
        )
    if not noise.std > 0:
        raise ValueError('The noise level can not be estimated from these data: give noise_std (--noise-std).')
    if not noise.reliable:
        warnings.warn(
            f'The noise level of {noise.std:.4g} is an upper bound: nothing in the data is free of signal '
            f'({noise.source}). If it is known, give noise_std (--noise-std).',
            stacklevel=1,
        )
    return noise


def _noise_weight(measured: KData, settings: Settings, *, box: bool, prewhitened: bool) -> torch.Tensor | None:
    """Return the weights of the phase encodings from the noise in the air, if they are to be weighted."""
    requested = settings.whitening == 'background'
    if not requested and (settings.whitening == 'none' or prewhitened or not box):
        return None
    try:
        return estimate_noise_weight(measured)
    except ValueError as error:
        if requested:
            raise
        warnings.warn(f'The noise of the phase encodings is not whitened: {error}', stacklevel=1)
        return None


def _method_of_maps(kdata: KData, settings: Settings) -> Literal['espirit', 'inati', 'walsh'] | None:
    """Return how coil maps are estimated, `None` if each coil is reconstructed on its own."""
    if settings.csm == 'none' or (settings.csm is None and kdata.data.shape[-4] == 1):
        return None
    return settings.csm or 'espirit'


def _coil_maps(
    kdata: KData,
    fourier_op: LinearOperator,
    calibration: KData | None,
    settings: Settings,
    maps: CsmData | torch.Tensor | None,
) -> CoilMaps | None:
    """Find the coil maps that the settings ask for."""
    if maps is not None:
        if settings.csm is not None:
            raise ValueError(f'Give either coil maps or csm, how they are estimated, got csm={settings.csm!r} as well.')
        return find_coil_maps(kdata, fourier_op, maps=maps)  # those of the user go before calibration data
    method = _method_of_maps(kdata, settings)
    if method is None:
        return None
    calibration = None if calibration is None else calibration.to(settings.device)
    return find_coil_maps(kdata, fourier_op, calibration=calibration, method=method)


def describe(prepared: Prepared) -> dict[str, Any]:
    """Return what was found, in types that JSON knows."""
    properties, maps = prepared.properties, prepared.coil_maps
    width = None if maps is None or maps.width is None else list(maps.width.zyx)
    return {
        'shape': list(prepared.kdata.data.shape),
        'sampling': properties.sampling,
        'sampled_fraction': None if properties.acceleration is None else 1 / properties.acceleration,
        'factor': prepared.factor,
        'coils': prepared.n_measured,
        'virtual_coils': prepared.kdata.data.shape[-4],
        'coil_maps': None if maps is None else {'source': maps.source, 'method': maps.method, 'width': width},
        'whitening': ' and '.join(prepared.whitening) or 'none',
        'noise_std': prepared.noise.std,
        'noise_source': prepared.noise.source,
        'noise_reliable': prepared.noise.reliable,
        'noise_relative_to_image': properties.noise,
    }
