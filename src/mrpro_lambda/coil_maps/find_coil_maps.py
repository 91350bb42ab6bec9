"""Coil maps from the best source at hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from mrpro.algorithms.reconstruction import DirectReconstruction
from mrpro.data import CsmData, DcfData, IData, IHeader, KData, SpatialDimension
from mrpro.operators import FourierOp, LinearOperator
from mrpro.utils.interpolate import interpolate

from mrpro_lambda.checks import check_number, check_tensor, check_type
from mrpro_lambda.coil_maps.calibration_images import calibration_images, center_images, windowed
from mrpro_lambda.coil_maps.calibration_region import SMALLEST_WIDTH, acceleration, calibration_region
from mrpro_lambda.coil_maps.espirit import espirit
from mrpro_lambda.operators.acquisition_factors import sample_multiplicity, with_true_adjoint
from mrpro_lambda.operators.CirculantGramOp import CirculantGramOp
from mrpro_lambda.operators.gram_operator import gram_operator

CoilMapMethod = Literal['espirit', 'inati', 'walsh']
CoilMapSource = Literal['given', 'calibration', 'center', 'image']

_METHODS: dict[CoilMapMethod, Callable[[IData], CsmData]] = {
    'espirit': espirit,
    'inati': CsmData.from_idata_inati,
    'walsh': CsmData.from_idata_walsh,
}
_KERNEL_WIDTH = 6
"""Width of the kernel of ESPIRiT, at most, and otherwise a third of the center.

What the maps leave of the coil images of a brain, 16 coils, in percent: 8 x 8 samples, kernels of 2, 3 and 4: 9.7, 11.3
and 18.3; 12 x 12 samples, 3, 4, 5 and 6: 5.0, 4.8, 6.6 and 11.0; 16 x 16 samples, 4, 5, 6, 7 and 8: 3.7, 3.6, 3.8, 4.8
and 7.5; 24 x 24 samples, 5, 6 and 8: 3.2, 3.1 and 3.0. Of half of the center there are too few patches to tell their
space. With every other coil and for simulated coils it was the same, with a kernel of 3 the best for 8 x 8 samples.
"""
_HIGHEST_ACCELERATION = 2.0


class CoilMaps(NamedTuple):
    """Coil maps, and where they come from."""

    csm: CsmData
    """Coil maps on the grid of the scan."""
    source: CoilMapSource
    """What they were estimated from: maps of the user, calibration data, the fully sampled center, or the image."""
    method: CoilMapMethod | None
    """How they were estimated, `None` for given ones."""
    width: SpatialDimension[int] | None
    """Widths of the fully sampled center in samples, `None` if there was none."""

    def __str__(self) -> str:
        """Tell the source in one line."""
        width = '' if self.width is None else f', {" x ".join(str(w) for w in self.width.zyx if w > 1)} samples'
        return f'{self.source}{"" if self.method is None else f" ({self.method}{width})"}'


def find_coil_maps(
    kdata: KData,
    fourier_op: LinearOperator | None = None,
    *,
    maps: CsmData | torch.Tensor | None = None,
    calibration: KData | None = None,
    method: CoilMapMethod = 'espirit',
    calibration_width: int = 24,
    crop: float = 0.0,
) -> CoilMaps:
    """Return coil maps from the best source at hand.

    These are, in this order, given maps; calibration data; the center of the scan, if it is fully sampled; and only
    then the image itself, which is aliased.

    ESPIRiT is the default. Brain with 16 coils, 16 central lines or points, total variation, PSNR in dB with ESPIRiT,
    Inati, Walsh: 47.7, 41.5, 41.4 for R = 3 (regular lines); 38.7, 37.3, 36.3 for R = 4 (random points), and 34.8 with
    the maps of Inati from the image. All data gave 47.9 in place of 47.7, and 12 and 8 points along both axes 46.8 and
    36.9. Means of three masks, see `benchmarks/coil_maps.py`.

    Parameters
    ----------
    kdata
        k-space data, prewhitened if there is a noise measurement.
    fourier_op
        Fourier operator. If `None`, set up from `kdata`.
    maps
        Maps, shape `(*other, coils, z, y, x)` that broadcasts to the images, or on another grid of the same field of
        view, from which they are interpolated.
    calibration
        Calibration data of the same coils, prewhitened as `kdata`, see `calibration_images`.
    method
        How maps are estimated: `espirit`, or those of mrpro with a smooth window of the center.
    calibration_width
        Largest number of samples of the center along each axis that ESPIRiT takes.
    crop
        Eigenvalue of ESPIRiT below which its maps are 0, see `espirit_maps`.

    Returns
    -------
        Coil maps with their source.

    Raises
    ------
    TypeError, ValueError
        If the maps are not complex, not finite, all zero or of other coils or images, if the calibration data do not
        belong to the scan or are not fully sampled, or if there are both.

    Warns
    -----
    UserWarning
        If the maps come from the image itself.
    """
    check_type('k-space data', kdata, KData)
    check_tensor('k-space data', kdata.data)
    check_number('calibration_width', calibration_width, SMALLEST_WIDTH, integer=True)
    if method not in _METHODS:
        raise ValueError(f'The method of coil maps must be one of {list(_METHODS)}, got {method!r}.')
    if maps is not None and calibration is not None:
        raise ValueError('Give either maps or calibration data, got both.')
    if maps is not None:
        return CoilMaps(_checked_maps(maps, kdata), 'given', None, None)
    if calibration is not None:
        images, width = calibration_images(calibration, kdata)
        return CoilMaps(_estimate(images, method, width, calibration_width, crop), 'calibration', method, width)
    found = calibration_region(kdata)
    if found is not None:
        images = center_images(kdata, found, fourier_op)
        return CoilMaps(_estimate(images, method, found, calibration_width, crop), 'center', method, found)
    return _from_image(kdata, fourier_op, method)


def _estimate(
    images: IData, method: CoilMapMethod, width: SpatialDimension[int], calibration_width: int, crop: float
) -> CsmData:
    """Estimate maps from images of the center of k-space."""
    if method == 'espirit':
        widths = [min(w, calibration_width) for w in width.zyx]
        kernel = [min(_KERNEL_WIDTH, max(round(w / 3), 1)) for w in widths]
        return espirit(
            images, calibration_width=SpatialDimension(*widths), kernel_width=SpatialDimension(*kernel), crop=crop
        )
    return _METHODS[method](windowed(images, width))


def _from_image(kdata: KData, fourier_op: LinearOperator | None, method: CoilMapMethod) -> CoilMaps:
    """Estimate maps from the images of all samples, with a warning."""
    factor = acceleration(kdata)
    text = (
        'Coil maps are estimated from the image itself: there are no maps, no calibration data, and the center of '
        f'k-space is not fully sampled over at least {SMALLEST_WIDTH} samples along each axis.'
    )
    if factor > _HIGHEST_ACCELERATION:
        text += (
            f' With {factor:.1f} times fewer samples than a full acquisition, that image is aliased and the maps are '
            'wrong: the result stays folded. Give coil maps or calibration data.'
        )
    if method == 'espirit':  # it needs a fully sampled center
        method = 'inati'
        text += " ESPIRiT needs such a center: the method is 'inati'."
    warnings.warn(text, UserWarning, stacklevel=3)
    fourier_op = with_true_adjoint(FourierOp.from_kdata(kdata) if fourier_op is None else fourier_op)
    dcf = None
    if isinstance(gram_operator(fourier_op), CirculantGramOp):
        count = sample_multiplicity(fourier_op)
        dcf = DcfData(torch.ones(1, 1, 1, 1, 1, device=kdata.data.device) if count is None else 1 / count)
    images = DirectReconstruction(kdata, fourier_op, None, dcf=dcf)(kdata)
    return CoilMaps(_METHODS[method](images), 'image', method, None)


def _checked_maps(maps: CsmData | torch.Tensor, kdata: KData) -> CsmData:
    """Return given maps on the grid of a scan."""
    check_type('coil maps', maps, (CsmData, torch.Tensor))
    csm = maps.data if isinstance(maps, CsmData) else maps
    check_tensor('coil maps', csm)
    shape, n_coils, grid = tuple(csm.shape), kdata.data.shape[-4], kdata.header.recon_matrix.zyx
    if not csm.is_complex() or csm.ndim < 4:
        raise ValueError(
            f'coil maps must be complex with shape (*other, coils, z, y, x), got {csm.dtype}, shape {shape}.'
        )
    if not bool(csm.any()):
        raise ValueError(f'coil maps must not be all zero, got shape {shape}.')
    if shape[-4] != n_coils:
        raise ValueError(f'coil maps must have the {n_coils} coils of the data, got {shape[-4]} in shape {shape}.')
    other = tuple(kdata.data.shape[:-4])
    if csm.ndim > kdata.data.ndim or any(n not in (1, m) for n, m in zip(shape[-5::-1], other[::-1], strict=False)):
        raise ValueError(f'coil maps must broadcast to the images, whose other axes are {other}, got shape {shape}.')
    if any((n == 1) != (m == 1) for n, m in zip(shape[-3:], grid, strict=True)):
        raise ValueError(f'coil maps must have the grid {grid} (z, y, x) of the scan, got shape {shape}.')
    ratios = [n / m for n, m in zip(shape[-3:], grid, strict=True) if m > 1]
    if ratios and max(ratios) > 1.02 * min(ratios):
        raise ValueError(
            f'coil maps must have the grid {grid} (z, y, x) of the scan, or one that is finer or coarser by the same '
            f'factor along all axes, got shape {shape}.'
        )
    csm = csm.to(kdata.data)
    csm = interpolate(csm[(None,) * (5 - csm.ndim)], grid, (-3, -2, -1))
    result = CsmData(csm, IHeader.from_kheader(kdata.header))
    result.data = csm  # mrpro replaces axes along which values differ by less than 1e-6 by one value
    return result
