"""Comparison of methods on the same samples."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from mrpro_lambda.compare.CompareConfig import CompareConfig
from mrpro_lambda.compare.EvaluationSample import EvaluationSample
from mrpro_lambda.compare.EvaluationSet import EvaluationSet
from mrpro_lambda.compare.measures import measure
from mrpro_lambda.compare.Meter import Meter
from mrpro_lambda.compare.methods import ComparedMethod, Reconstruct, Workplace
from mrpro_lambda.compare.pictures import plot_sample, plot_training
from mrpro_lambda.compare.report_page import report_page
from mrpro_lambda.compare.Results import Record, Results
from mrpro_lambda.compare.tables import Collected, markdown, sections, table_csv
from mrpro_lambda.compare.write_text import write_text
from mrpro_lambda.progress import Progress


def compare(config: CompareConfig, output: str | Path, *, resume: bool = False, progress: bool = False) -> Path:
    """Train or load methods, reconstruct the same samples with each, and write tables, pictures and a report.

    All input is checked before anything is trained: persons of tests are not in the training, and each method can take
    each acquisition. Every result is stored at once, so that an interrupted comparison goes on where it was.

    Parameters
    ----------
    config
        Configuration.
    output
        Folder. It must be empty or not exist, unless resuming. Written are `table.csv`, `table.md`, `report.html` and
        `pictures/`; `methods/` holds weights and logs, `results/` a file for each method and sample.
    resume
        Go on with what is in the folder. The configuration must be the same, but may have more methods and tests.
    progress
        Show progress.

    Returns
    -------
        The report, `report.html`.

    Raises
    ------
    ValueError
        If the configuration is not valid, a person is in training and test, a method can not take an acquisition, a
        file can not be read, the folder is that of another configuration, or an extra is not installed.
    """
    _check_extras()
    results = Results(output, config)
    results.check(resume=resume)
    config.check()
    workplace = Workplace(
        config.training,
        results.methods,
        config.device,
        tuple(method.name for method in config.methods if method.is_trained),
        progress,
    )
    samples = [next(test.samples())._replace(name=test.name).to(config.device) for test in config.tests]
    for method in config.methods:
        method.try_out(workplace, samples)
    results.begin()

    total = len(config.methods) * (1 + sum(map(len, config.tests)))
    with Progress(total, 'Comparison', show=progress) as bar:
        # others may take the weights of those that are trained
        prepared: dict[str, Reconstruct] = {}
        for method in sorted(config.methods, key=lambda method: not method.is_trained):
            bar.update(0, {'now': method.name})
            prepared[method.name] = method.prepare(workplace)
            bar.update(1)
        collected: Collected = {test.name: {method.name: [] for method in config.methods} for test in config.tests}
        for test in config.tests:
            for sample in test.samples():
                for name, reconstruct in prepared.items():
                    bar.update(0, {'now': f'{name}, {test.name}'})
                    collected[test.name][name].append(_result(results, name, reconstruct, test, sample, config.device))
                    bar.update(1)
    return _write_report(config, results, collected, workplace)


def _check_extras() -> None:
    """Raise an error unless what trains, measures and plots is installed."""
    try:
        import lightning  # noqa: F401
        import matplotlib  # noqa: F401
        import skimage  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"A comparison needs the extras 'train' and 'plot', pip install 'mrpro-lambda[train,plot]': {error}"
        ) from error


def _result(
    results: Results, method: str, reconstruct: Reconstruct, test: EvaluationSet, sample: EvaluationSample, device: str
) -> Record:
    """Return what was found for a method and a sample before, or find it."""
    shown = test.is_shown(sample.image, sample.noise)
    found = results.read(method, test.name, sample.name)
    if found is not None and (not shown or results.has_image(method, test.name, sample.name)):
        return found
    moved = sample.to(device)
    with warnings.catch_warnings(record=True) as caught, Meter(device) as meter:
        warnings.simplefilter('always')
        img, details = reconstruct(moved)
    if not bool(img.isfinite().all()):
        raise ValueError(f'The image of {method!r} for {sample.name!r} of {test.name!r} holds NaN or Inf.')
    if shown:
        results.write_image(method, test.name, sample.name, img)
    texts = sorted({str(w.message) for w in caught if issubclass(w.category, UserWarning | RuntimeWarning)})
    record = {
        **measure(img, sample),
        'seconds': meter.seconds,
        'memory': meter.memory,
        'details': details,
        'warnings': texts,
    }
    results.write(method, test.name, sample, record)
    stored = results.read(method, test.name, sample.name)
    if stored is None:
        raise ValueError(f'The result of {method!r} could not be stored in {results.folder}.')
    return stored


def _write_report(config: CompareConfig, results: Results, collected: Collected, workplace: Workplace) -> Path:
    """Write tables, pictures and the report."""
    order = [method.name for method in config.methods]
    collected = {test: {name: methods[name] for name in order} for test, methods in collected.items()}
    baseline = config.baseline or order[0]
    write_text(results.folder / 'table.csv', table_csv(collected, baseline))
    known = [_known(method, workplace) for method in config.methods]
    tables = sections(collected, baseline, known)
    text = '\n\n'.join(f'## {title}\n\n{words}\n\n{markdown(rows)}' for title, words, rows in tables)
    write_text(results.folder / 'table.md', f'# {config.title}\n\n{text}\n')

    pictures: dict[str, Path] = {}
    folder = results.folder / 'pictures'
    folder.mkdir(exist_ok=True)
    for test in config.tests:
        for sample in test.samples(shown=True):
            images = {name: results.read_image(name, test.name, sample.name) for name in order}
            path = folder / f'{test.name} {sample.name}.png'
            plot_sample(images, sample.target).savefig(path, dpi=110)
            level = '' if sample.noise is None else f', noise {sample.noise:g}'
            pictures[f'{test.name}: image {sample.image}{level}'] = path
    figure = plot_training({name: workplace.folder / name for name in workplace.trained})
    if figure is not None:
        path = folder / 'training.png'
        figure.savefig(path, dpi=110)
        pictures['Trainings'] = path
    page = results.folder / 'report.html'
    configuration = json.dumps(config.described(), indent=1, ensure_ascii=False)
    write_text(page, report_page(config.title, tables, pictures, _notes(collected), configuration))
    return page


def _known(method: ComparedMethod, workplace: Workplace) -> dict[str, str]:
    """Return what is known about a prepared method, as text."""
    found = {
        key: f'{value:,}' if isinstance(value, int) else str(value)
        for key, value in method.described(workplace).items()
    }
    return {'method': method.name, 'kind': str(getattr(method, 'kind', ''))} | found


def _notes(collected: Collected) -> list[str]:
    """Return the warnings of methods, with the number of samples of each test."""
    counts: dict[tuple[str, str, str], int] = {}
    for test, methods in collected.items():
        for method, records in methods.items():
            for record in records:
                for text in record['warnings']:
                    key = (method, test, text)
                    counts[key] = counts.get(key, 0) + 1
    return [f'{method}, {test}, {n} sample(s): {text}' for (method, test, text), n in counts.items()]
