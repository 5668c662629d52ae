"""The tables of docs/model_zoo.md, written between markers."""
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmseg_mvp.utils.files import atomic_write

from .comparison import Line, figure, lines_of, mean

START, END = '<!-- table {}: written by tools/benchmark.py -->', '<!-- end of table -->'
LAST = ('published', 'ours', 'difference', 'verdict', 'commit')  # columns after those of a table
_TITLES = {'mIoU': 'mIoU', 'mIoU_S': 'S', 'mIoU_U': 'U', 'hIoU': 'hIoU', 'FBIoU': 'FB-IoU'}


def write_zoo(docs: Path, published: Mapping[str, dict], work_dir: Path) -> None:
    """Rewrite the tables of ``model_zoo.md`` in a folder of pages; a page without markers stays as it is.

    A line whose row has no result in the work dir keeps the figures that the page has.
    """
    path = docs / 'model_zoo.md'
    if not path.exists():
        return
    text = new = path.read_text('utf-8')
    for name, table in published.items():
        pattern = re.compile(f'({re.escape(START.format(name))}\n)(.*?)({re.escape(END)})', re.DOTALL)
        if found := pattern.search(new):
            new = new[:found.start(2)] + render(table, work_dir, found[2]) + '\n' + new[found.end(2):]
    if new != text:
        with atomic_write(path, overwrite=True) as temporary:
            temporary.write_text(new, 'utf-8')


def render(table: Mapping[str, Any], work_dir: Path, former: str = '') -> str:
    """Return the Markdown of a table: of several sets, an overview first; then a line per row.

    A line without a result in the work dir keeps the figures that it has in ``former``, the Markdown so far.
    """
    titles = ' / '.join(_TITLES.get(metric, metric) for metric in table.get('metrics', ['mIoU']))
    header = ['config', *table.get('columns', ()), f'published {titles}', *LAST[1:]]
    full = _kept(markdown(header, [line.written() for line in lines_of(table, work_dir)]), former)
    return f'{_overview(table, full)}\n\n{full}' if 'sets' in table else full


def _overview(table: Mapping[str, Any], full: str) -> str:
    """Return a table of methods and sets: published figures and their mean, and the mean of ours in the full table."""
    ours = [float(cell.split()[0]) if cell else None for _, cell in map(_parts, full.splitlines()[2:])]
    count, rows = len(table['sets']), []
    for entry in table['entries']:
        own, ours = (ours[:count], ours[count:]) if 'rows' in entry else ([], ours)
        rows.append([*entry['cells'], *map(figure, entry['published']),
                     *('' if value is None else f'{value:.1f}' for value in (mean(entry['published']), mean(own)))])
    return markdown([*table['columns'][:-1], *table['sets'].values(), 'mean', 'our mean'], rows)


def _kept(new: str, old: str) -> str:
    """Return the new table; its lines without our figure keep those of the old table."""
    before = {key: line for line in old.splitlines() for key, ours in [_parts(line)] if ours}
    return '\n'.join(line if ours else before.get(key, line)
                     for line in new.splitlines() for key, ours in [_parts(line)])


def _parts(line: str) -> tuple[str, str]:
    """Return the part of a line that a result does not change, and the cell of ours."""
    cells = re.split(r'(?<!\\)\|', line)[1:-1]
    return '|'.join(cells[:1 - len(LAST)]), cells[1 - len(LAST)].strip() if len(cells) > len(LAST) else ''


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    cells = [[cell.replace('|', r'\|') for cell in row] for row in rows]
    return '\n'.join([f'| {" | ".join(header)} |', f'|{"---|" * len(header)}',
                      *(f'| {" | ".join(row)} |' for row in cells)])


def plain(lines: Sequence[Line]) -> str:
    """Return the lines that have our figure as one table; '' if none has one."""
    found = [line for line in lines if line.ours()[-1] is not None]
    if not found:
        return ''
    return markdown(['row', *LAST], [[', '.join(line.cells), *line.written()[len(line.cells):]] for line in found])
