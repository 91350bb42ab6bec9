"""Summary of a result for people."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mrpro_lambda.plotting import gray_picture


def summary(report: Mapping[str, Any]) -> str:
    """Return what was done and found, a line for each, from the report of a result.

    Parameters
    ----------
    report
        Report of `~mrpro_lambda.reconstruct.Reconstructed`, perhaps with `notes`, `seconds` and `files`.
    """
    certificate, fraction = report['certificate'], report['sampled_fraction']
    source = report['noise_source'] + ('' if report['noise_reliable'] else '; AN UPPER BOUND')
    sampling = 'not Cartesian' if fraction is None else f'{100 * fraction:.0f} % of the measured band sampled'
    relative_noise = report['noise_relative_to_image']
    stopped: str = '' if certificate is None else certificate['reason']
    if stopped == 'estimate within the tolerance':
        stopped += f': {certificate["relative_estimate"]:.1e} assuming a size of the minimizer; NOT PROVEN'
    elif certificate is not None and not certificate['tolerance_reached']:
        stopped += f': THE TOLERANCE {report["settings"]["tolerance"]:g} WAS NOT REACHED'
    lines = {
        'file': report['file'],
        'data': f'{_shape(report["shape"])} (other, coils, k2, k1, k0), {sampling}',
        'image': f'{_shape(report["image_shape"])} (other, coils, z, y, x)',
        'noise level': f'{report["noise_std"]:.4g} ({source})'
        + (f', {relative_noise:.2f} times the root mean square of the image' if relative_noise is not None else ''),
        'whitening': report['whitening'],
        'coil maps': _coil_maps(report),
        'model': report['model'],
        'phase': 'real and imaginary part apart (--phase)' if report['settings']['phase'] == 'on' else '',
        'weight': _weight(report['weight']),
        'trained for': report['card'].get('acquisition', ''),
        'and noise': report['card'].get('noise', ''),
        'iterations': None if certificate is None else certificate['n_iterations'],
        'certified gap': 'NO CERTIFICATE: the image is what networks return, and nothing is proven about it'
        if certificate is None
        else f'{certificate["relative_gap"]:.1e} of the objective',
        'stopped': stopped,
        'seconds': f'{report["seconds"]:.1f}' if 'seconds' in report else None,
        'notes': f'\n{"":16}'.join(report.get('notes', ())),
        'files': ', '.join(report.get('files', ())),
    }
    return '\n'.join(f'{name:16}{value}' for name, value in lines.items() if value not in ('', None))


def summary_html(img: torch.Tensor, report: Mapping[str, Any], *, aspect: float = 1.0) -> str:
    """Return the magnitude of the middle slice beside the summary, for notebooks.

    Parameters
    ----------
    img
        Image, shape `(*other, coils, z, y, x)`.
    report
        As in `summary`.
    aspect
        Height of a pixel relative to its width.
    """
    slices = img.detach().abs().square().sum(-4).sqrt().flatten(0, -3)
    file = io.BytesIO()
    gray_picture(slices[len(slices) // 2], aspect=aspect).save(file, 'PNG')
    picture = base64.b64encode(file.getvalue()).decode()
    return (
        '<div style="display: flex; gap: 1em; align-items: flex-start">'
        f'<img src="data:image/png;base64,{picture}" alt="middle slice" style="max-height: 24em">'
        f'<pre style="white-space: pre-wrap">{html.escape(summary(report))}</pre></div>'
    )


def _coil_maps(report: Mapping[str, Any]) -> str:
    """Tell where the coil maps come from."""
    maps, n_coils = report['coil_maps'], report['virtual_coils']
    if maps is None:
        return '' if n_coils == 1 else 'none: each coil on its own'
    sources = {'given': 'given', 'calibration': 'calibration lines', 'center': 'center of the scan'}
    text = sources.get(maps['source'], 'THE IMAGE ITSELF')
    if maps['method'] is not None:
        text = f'{maps["method"]} from the {text}' if maps['source'] != 'given' else text
    if maps['width'] is not None:
        text += f', {_shape([n for n in maps["width"] if n > 1])} samples'
    return text + (f', {report["coils"]} coils compressed to {n_coils}' if n_coils != report['coils'] else '')


def _weight(report: Mapping[str, Any] | None) -> str:
    """Tell which weight a rule has found."""
    if report is None:
        return ''
    if 'factor' not in report:
        return f'{report["taken"]}, {report["rule"]} in {len(report["losses"])} steps'
    factors = report['factor'] if isinstance(report['factor'], list) else [report['factor']]
    flat = torch.tensor(factors, dtype=torch.float64).flatten()
    number = f'{flat.min():.3g}' + (f' to {flat.max():.3g}' if len(flat) > 1 else '')
    end = ' (AT THE END OF THOSE TRIED)' if report['at_end'] else ''
    return f'{number} times the noise level, found by {report["rule"]}{end}'


def _shape(shape: Sequence[int]) -> str:
    """Format a shape."""
    return ' x '.join(map(str, shape))
