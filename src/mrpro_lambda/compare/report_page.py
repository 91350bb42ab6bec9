"""Report of a comparison as one page that needs no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1250px; padding: 0 1em; color: #1b1b1b; }
h1 { font-size: 1.7em; } h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #ccc; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
th:first-child, td:first-child, .words td { text-align: left; } .words td { white-space: normal; }
th { background: #f2f4f7; } tr:hover td { background: #f8f9fb; } td.best { font-weight: 600; }
img { max-width: 100%; } pre { background: #f6f6f6; padding: 1em; overflow: auto; font-size: 12px; }
nav a { margin-right: 1em; } p.note { color: #555; }
"""


def report_page(
    title: str,
    tables: Sequence[tuple[str, str, Sequence[Sequence[str]]]],
    pictures: Mapping[str, Path],
    notes: Sequence[str],
    configuration: str,
) -> str:
    """Return the page.

    Parameters
    ----------
    title
        Title.
    tables
        Title, explanation and rows of each table.
    pictures
        PNG files by title, which are embedded.
    notes
        Warnings of methods.
    configuration
        Configuration as text.
    """
    names = [name for name, _, _ in tables] + [*pictures]
    links = ''.join(f'<a href="#s{i}">{html.escape(name)}</a>' for i, name in enumerate(names))
    parts = [f'<h1>{html.escape(title)}</h1>', f'<nav>{links}</nav>']
    for i, (name, text, rows) in enumerate(tables):
        parts += [f'<h2 id="s{i}">{html.escape(name)}</h2>', f'<p class="note">{html.escape(text)}</p>', _table(rows)]
    for i, (name, path) in enumerate(pictures.items(), start=len(tables)):
        data = base64.b64encode(path.read_bytes()).decode('ascii')
        parts.append(f'<h2 id="s{i}">{html.escape(name)}</h2>')
        parts.append(f'<img alt="{html.escape(name, quote=True)}" src="data:image/png;base64,{data}">')
    if notes:
        items = ''.join(f'<li>{html.escape(note)}</li>' for note in notes)
        parts.append(f'<h2>Warnings</h2><ul>{items}</ul>')
    settings = f'<summary>all settings</summary><pre>{html.escape(configuration)}</pre>'
    parts.append(f'<h2>Configuration</h2><details>{settings}</details>')
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table, the first row with the titles."""
    first, *others = rows
    kind = '' if any(cell[:1] in '+-0123456789' for row in others for cell in row[1:2]) else ' class="words"'
    head = ''.join(f'<th>{html.escape(cell)}</th>' for cell in first)
    body = ''.join(f'<tr>{"".join(f"<td>{html.escape(cell)}</td>" for cell in row)}</tr>' for row in others)
    return f'<div class="table"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
