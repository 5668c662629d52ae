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
    lines = lines_of(table, work_dir)
    _keep(lines, former)
    titles = ' / '.join(_TITLES.get(metric, metric) for metric in table.get('metrics', ['mIoU']))
    header = ['config', *table.get('columns', ()), f'published {titles}', *LAST[1:]]
    full = markdown(header, [line.written() for line in lines])
    return f'{_overview(table, lines)}\n\n{full}' if 'sets' in table else full


def _keep(lines: Sequence[Line], former: str) -> None:
    """Give lines our figures that they have in a table so far."""
    cells = [_cells(line) for line in former.splitlines()]
    found = {tuple(one[:-len(LAST)]): (one[-4], one[-2], one[-1]) for one in cells if len(one) > len(LAST)}
    for line in lines:
        line.former = found.get(tuple(line.cells), line.former)


def _cells(line: str) -> list[str]:
    """Return the cells of a line of a Markdown table."""
    return [cell.strip().replace(r'\|', '|') for cell in re.split(r'(?<!\\)\|', line)[1:-1]]


def _overview(table: Mapping[str, Any], lines: Sequence[Line]) -> str:
    """Return a table of methods and sets: published figures and their mean, and the mean of ours."""
    count, rows, rest = len(table['sets']), [], list(lines)
    for entry in table['entries']:
        own, rest = (rest[:count], rest[count:]) if 'rows' in entry else ([], rest)
        means = [mean(entry['published']), mean([None if line.other_images() else line.ours()[-1] for line in own])]
        rows.append([*entry['cells'], *map(figure, entry['published']),
                     *('' if value is None else f'{value:.1f}' for value in means)])
    return markdown([*table['columns'][:-1], *table['sets'].values(), 'mean', 'our mean'], rows)


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
