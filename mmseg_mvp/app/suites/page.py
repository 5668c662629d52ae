"""The comparison as one page of HTML: bars of published figures and ours, and the table of classes of each row."""
import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmseg_mvp.visualization.charts import BAR, RULE, new_figure, to_array, words

from ..html_page import html_table, write_html
from .comparison import Line
from .records import read_result, short
from .rows import Job
from .zoo import LAST

PUBLISHED = '#b0b0b0'


def write(path: Path, lines: Sequence[Line], jobs: Sequence[Job]) -> None:
    """Write the page; replace an earlier one.

    Args:
        path (Path): File.
        lines (Sequence[Line]): Lines of the comparison.
        jobs (Sequence[Job]): Jobs whose results are shown one by one.

    Raises:
        UserError: If the file can't be written, or a result can't be read.
    """
    title = jobs[0].suite if jobs else path.stem
    parts = [f'<h1>{escape(title)}</h1>', _comparison(lines)]
    parts += [_section(job.name, found) for job in jobs if (found := read_result(job)) is not None]
    write_html(path, title, parts)


def _comparison(lines: Sequence[Line]) -> str:
    shown = [line for line in lines if line.ours()[-1] is not None]
    if not shown:
        return '<p>There is no result with a figure yet.</p>'
    rows = [[_name(line), *line.written()[len(line.cells):]] for line in shown]
    notes = dict.fromkeys(line.differs for line in shown if line.differs)
    return ''.join([_picture(draw_bars(shown)), html_table(['row', *LAST], rows),
                    *(f'<p>{escape(one)}</p>' for one in notes)])


def _name(line: Line) -> str:
    """Return the first cells of a line without Markdown."""
    return ', '.join(line.cells).replace('`', '')


def draw_bars(lines: Sequence[Line]) -> np.ndarray:
    """Draw bars of the last metric of each line, published and ours: RGB, (H, W, 3) uint8."""
    texts, styles = zip(*(words(_name(line)) for line in lines))
    figure = new_figure(6 + 0.08 * max(map(len, texts)), 1.2 + 0.5 * len(lines))
    axis, places = figure.subplots(), np.arange(len(lines))
    for offset, colour, label, values in ((-0.2, PUBLISHED, 'published', [line.published[-1] for line in lines]),
                                          (0.2, BAR, 'ours', [line.ours()[-1] for line in lines])):
        axis.barh(places + offset, [value or 0 for value in values], height=0.36, color=colour, label=label, zorder=2)
        for place, value in zip(places + offset, values):
            if value is not None:
                axis.text(value + 0.5, place, f'{value:.1f}', va='center', fontsize=8)
    axis.set_yticks(places, texts)
    for tick, style in zip(axis.get_yticklabels(), styles):
        tick.set(**style)
    axis.set(xlim=(0, 108), ylim=(len(lines) - 0.4, -0.6))
    axis.set_xlabel('last metric of the row, %')
    axis.tick_params(left=False)
    axis.spines[['top', 'right', 'left']].set_visible(False)
    axis.grid(axis='x', color=RULE, zorder=0)
    figure.legend(loc='outside lower right', ncols=2, frameon=False, fontsize=8)
    return to_array(figure)


def _picture(array: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(array).save(file, 'PNG')
    return f'<img alt="bars" src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'


def _section(name: str, result: dict[str, Any]) -> str:
    """Return the part of one result: how it was made, its metrics, and the table of its classes or runs."""
    made = {'config': result['config'], 'options': result['options'], 'commit': short(result['commit']),
            'finished': result['finished'], 'host': result['host'], 'device': result.get('device'),
            'images': result.get('images'), 'seconds': result.get('seconds'),
            'peak memory, MiB': result.get('peak_memory_mib'), 'CLIP': result.get('clip'),
            'versions': result['versions'], **result['metrics']}
    tables = [html_table(list(entries[0]), (entry.values() for entry in entries))
              for entries in (result.get('classes'), result.get('runs')) if entries]
    return (f'<h2>{escape(name)}</h2>{html_table(["", ""], made.items())}'
            + ''.join(f'<details><summary>Table</summary>{table}</details>' for table in tables))
