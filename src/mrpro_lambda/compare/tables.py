"""Tables of the results."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mrpro_lambda.compare.measures import MEASURES
from mrpro_lambda.compare.Results import Record

Collected = dict[str, dict[str, list[Record]]]
"""Records of all samples by test and method, in the same order for each method."""


class Mean(NamedTuple):
    """Mean with its standard error."""

    mean: float
    """Mean."""
    error: float
    """Standard error, NaN for one value."""


def mean_of(values: Sequence[float]) -> Mean:
    """Return mean and standard error.

    Parameters
    ----------
    values
        At least one value.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Mean(mean, math.nan)
    return Mean(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n))


def by_image(records: Sequence[Record], name: str, noise: float | None = None) -> dict[int, float]:
    """Return a measure of each image, of several noise levels the mean.

    Errors of the same image at several noise levels are not independent: a standard error counts images.

    Parameters
    ----------
    records
        Records of a method in a test.
    name
        Measure.
    noise
        Noise level, `None` for all.
    """
    chosen = [record for record in records if noise is None or record['noise'] == noise]
    found: dict[int, list[float]] = {}
    for record in chosen:
        found.setdefault(record['image'], []).append(record[name])
    return {image: math.fsum(values) / len(values) for image, values in found.items()}


def levels_of(records: Sequence[Record]) -> list[float | None]:
    """Return the noise levels of a test, after `None` for all of them if there are several.

    Parameters
    ----------
    records
        Records of a method.
    """
    levels = list(dict.fromkeys(record['noise'] for record in records))
    return [None, *levels] if len(levels) > 1 else [None]


def difference(
    records: Sequence[Record], reference: Sequence[Record], name: str, noise: float | None = None
) -> Mean | None:
    """Return the mean of the paired differences of a measure; `None` if the images are not the same.

    Parameters
    ----------
    records, reference
        Records of two methods in a test, or of a method in two tests of the same images.
    name
        Measure.
    noise
        Noise level, `None` for all.
    """
    a, b = by_image(records, name, noise), by_image(reference, name, noise)
    same = {(r['image'], r['truth']) for r in records} == {(r['image'], r['truth']) for r in reference}
    return mean_of([a[image] - b[image] for image in a]) if same and a.keys() == b.keys() else None


def table_csv(collected: Collected, baseline: str) -> str:
    """Return the table of all means, differences to the baseline and standard errors.

    Parameters
    ----------
    collected
        Records.
    baseline
        Name of the method that differences are to.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    columns = [f'{name}{part}' for name in MEASURES for part in ('', '_se', '_difference', '_difference_se')]
    writer.writerow(['test', 'noise', 'method', 'images', *columns, 'seconds', 'memory_mib'])
    for test, methods in collected.items():
        for noise in levels_of(methods[baseline]):
            for method, records in methods.items():
                cells: list[str] = []
                for name in MEASURES:
                    mean = mean_of([*by_image(records, name, noise).values()])
                    paired = difference(records, methods[baseline], name, noise)
                    numbers = [*mean, *(paired or (math.nan, math.nan))]
                    cells += ['' if math.isnan(number) else f'{number:.6g}' for number in numbers]
                chosen = [r for r in records if noise is None or r['noise'] == noise]
                seconds = math.fsum(record['seconds'] for record in chosen) / len(chosen)
                memory = [record['memory'] for record in chosen if record['memory'] is not None]
                level = 'all' if noise is None else f'{noise:g}'
                n_images = len(by_image(records, 'psnr', noise))
                peak = f'{max(memory):.0f}' if memory else ''
                writer.writerow([test, level, method, n_images, *cells, f'{seconds:.4g}', peak])
    return text.getvalue()


def quality_rows(collected: Collected, test: str, noise: float | None = None) -> list[list[str]]:
    """Return the rows of the table of means of a test, the first with the titles.

    Parameters
    ----------
    collected
        Records.
    test
        Name of the test.
    noise
        Noise level, `None` for all.
    """
    rows = [['method', *(measure.title for measure in MEASURES.values())]]
    for method, records in collected[test].items():
        cells = [
            _cell(mean_of([*by_image(records, name, noise).values()]), measure.digits)
            for name, measure in MEASURES.items()
        ]
        rows.append([method, *cells])
    return rows


def difference_rows(collected: Collected, test: str, baseline: str) -> list[list[str]]:
    """Return the rows of the table of paired differences to the baseline.

    Parameters
    ----------
    collected
        Records.
    test
        Name of the test.
    baseline
        Name of the method that differences are to.
    """
    rows = [[f'minus {baseline}', *(measure.title for measure in MEASURES.values())]]
    for method, records in collected[test].items():
        if method != baseline:
            found = {name: difference(records, collected[test][baseline], name) for name in MEASURES}
            rows.append([method, *(_cell(found[name], m.digits, sign=True) for name, m in MEASURES.items())])
    return rows


def change_rows(collected: Collected, measure: str) -> list[list[str]]:
    """Return the rows of the table of changes of a measure from the first test to each other one.

    Tests of the same images are compared image by image, others by their means.

    Parameters
    ----------
    collected
        Records.
    measure
        Name of the measure.
    """
    first, *others = collected
    digits, title = MEASURES[measure].digits, MEASURES[measure].title
    rows = [[f'{title}: change from {first}', first, *others]]
    for method, records in collected[first].items():
        start = mean_of([*by_image(records, measure).values()])
        cells = [_cell(start, digits)]
        for test in others:
            change = difference(collected[test][method], records, measure)
            if change is None:
                end = mean_of([*by_image(collected[test][method], measure).values()])
                change = Mean(end.mean - start.mean, math.hypot(end.error, start.error))
            cells.append(_cell(change, digits, sign=True))
        rows.append([method, *cells])
    return rows


def cost_rows(collected: Collected) -> list[list[str]]:
    """Return the rows of the table of time and memory.

    Parameters
    ----------
    collected
        Records.
    """
    rows = [['method', *(f'{test}: {part}' for test in collected for part in ('s', 'MiB'))]]
    for method in next(iter(collected.values())):
        cells = []
        for methods in collected.values():
            records = methods[method]
            memory = [record['memory'] for record in records if record['memory'] is not None]
            seconds = math.fsum(record['seconds'] for record in records) / len(records)
            cells += [f'{seconds:.2f}', f'{max(memory):.0f}' if memory else '-']
        rows.append([method, *cells])
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Format rows, the first with the titles, as a table of Markdown.

    Parameters
    ----------
    rows
        Rows.
    """
    lines = ['| ' + ' | '.join(row) + ' |' for row in rows]
    return '\n'.join([lines[0], '|---' * len(rows[0]) + '|', *lines[1:]])


def sections(
    collected: Collected, baseline: str, known: Sequence[Mapping[str, str]]
) -> list[tuple[str, str, list[list[str]]]]:
    """Return all tables for readers: title, explanation and rows.

    Parameters
    ----------
    collected
        Records.
    baseline
        Name of the method that differences are to.
    known
        What is known about each method.
    """
    found = []
    for test, methods in collected.items():
        levels = levels_of(methods[baseline])
        n_images = len(by_image(methods[baseline], 'psnr'))
        at = f', mean of the noise levels {", ".join(f"{x:g}" for x in levels if x is not None)}' * (len(levels) > 1)
        text = f'Mean (standard error) over {n_images} image(s){at}. Foreground: above a tenth of the maximum, filled.'
        found.append((test, text, quality_rows(collected, test)))
        if len(methods) > 1:
            text = f'Paired differences to {baseline}, mean (standard error).'
            found.append((f'{test}: differences', text, difference_rows(collected, test, baseline)))
        found += [
            (f'{test}, noise {level:g}', 'Mean (standard error).', quality_rows(collected, test, level))
            for level in levels
            if level is not None
        ]
    if len(collected) > 1:
        text = 'Change of the mean (standard error), paired where the images are the same.'
        found += [
            (f'Robustness: {MEASURES[name].title}', text, change_rows(collected, name))
            for name in ('psnr', 'psnr_foreground', 'ssim', 'ssim_foreground')
        ]
    titles = list(dict.fromkeys(key for row in known for key in row))
    rows = [['method', *(title for title in titles if title != 'method')]]
    rows += [[row.get(title, '') for title in ('method', *rows[0][1:])] for row in known]
    found.append(('Methods', 'What was trained, tuned or loaded.', rows))
    text = (
        'Mean seconds of an image, without training and tuning, and largest memory beyond what was in use before. On a '
        'CPU that is the growth of the resident memory of the process.'
    )
    found.append(('Time and memory', text, cost_rows(collected)))
    return found


def _cell(value: Mean | None, digits: int, *, sign: bool = False) -> str:
    """Format a mean with its standard error."""
    if value is None:
        return '-'
    text = f'{value.mean:{"+" if sign else ""}.{digits}f}'
    return text if math.isnan(value.error) else f'{text} ({value.error:.{digits}f})'
