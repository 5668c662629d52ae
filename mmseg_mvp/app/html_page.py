"""Pages of HTML with tables."""
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mmseg_mvp.utils.files import atomic_write

STYLE = ('body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}'
         'table{border-collapse:collapse;margin:1em 0}td,th{border-bottom:1px solid #ddd;padding:.2em .8em;'
         'text-align:left}img{max-width:100%}')


def write_html(path: Path, title: str, parts: Iterable[str]) -> None:
    """Write a page of parts in HTML; replace an earlier one.

    Raises:
        UserError: If the file can't be written.
    """
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_text(f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>',
                             'utf-8')


def html_table(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table in HTML. Values are escaped; None is a dash, and floats have two decimals."""
    return ''.join(['<table>', _row('th', header), *(_row('td', row) for row in rows), '</table>'])


def _row(tag: str, cells: Iterable[Any]) -> str:
    return f'<tr>{"".join(f"<{tag}>{escape(_text(cell))}</{tag}>" for cell in cells)}</tr>'


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join(f'{key} {_text(one)}' for key, one in value.items())
    return '-' if value is None else f'{value:.2f}' if isinstance(value, float) else str(value)
