"""Our results beside published figures: the tables of docs/model_zoo.md."""
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from mmseg_mvp.datasets.test_sizes import other_size
from mmseg_mvp.errors import UserError

from .records import read_record, settings, short
from .rows import Job, Row, read_suite

OTHER_IMAGES = 'not comparable'
TOLERANCE = 1.  # difference, in points, up to which a figure counts as reproduced


@dataclass
class Line:
    """Line of a table.

    Attributes:
        cells (list): First cells: config, and what the table adds.
        published (list): Published figure of each metric, percent; None if unknown.
        note (str): Addition to the published figures.
        differs (str): Differences between the published protocol and ours; '' if there are none.
        metrics (list): Names of the metrics; the difference is that of the last published one.
        results (list): Our results: for each row, those of its seeds.
        former (tuple): Our figures, verdict and commit on the page so far, which a line without results keeps.
    """
    cells: list[str]
    published: list[float | None]
    note: str = ''
    differs: str = ''
    metrics: list[str] = field(default_factory=lambda: ['mIoU'])
    results: list[list[dict]] = field(default_factory=list)
    former: tuple[str, str, str] = ('', '', '')

    def complete(self) -> bool:
        """Return True if each row has a result."""
        return bool(self.results) and all(self.results)

    def ours(self) -> list[float | None]:
        """Return our figure of each metric as the page shows it: the mean over seeds, then rows; None without one."""
        if not self.complete():
            return _figures(self.former[0]) or [None] * len(self.metrics)
        means = (mean([mean([one['metrics'].get(metric) for one in row]) for row in self.results])
                 for metric in self.metrics)
        return [None if value is None else round(value, 2) for value in means]

    def spread(self) -> list[float | None]:
        """Return the standard deviation over the seeds of a single row, of each metric."""
        seeds = self.results[0] if len(self.results) == 1 else []
        values = [[one['metrics'].get(metric) for one in seeds] for metric in self.metrics]
        return [statistics.stdev(found) if len(found) > 1 and None not in found else None for found in values]

    def other_images(self) -> str:
        """Return the verdict on a test with another number of images than the published set; '' on all others."""
        if not self.complete():
            return self.former[1] if self.former[1].startswith(OTHER_IMAGES) else ''
        sizes = ((one.get('images'), other_size(one.get('dataset'), one.get('images')))
                 for row in self.results for one in row)
        return next((f'{OTHER_IMAGES}: {images} images, the set has {size}' for images, size in sizes if size), '')

    def difference(self) -> float | None:
        """Return ours minus published, of the last metric that has both; None for other images."""
        if self.other_images():
            return None
        pairs = [(mine, other) for mine, other in zip(self.ours(), self.published) if None not in (mine, other)]
        return pairs[-1][0] - pairs[-1][1] if pairs else None

    def verdict(self) -> str:
        """Return a word on the difference; '' without results."""
        if (other := self.other_images()) or self.ours()[-1] is None:
            return other
        if (difference := self.difference()) is None:
            return 'no published figure'
        word = 'reproduced' if abs(difference) <= TOLERANCE else 'above' if difference > 0 else 'below'
        if not self.differs:
            return word
        return f'{"close" if word == "reproduced" else word}; protocols differ'

    def written(self) -> list[str]:
        """Return all cells as text."""
        published = _joined([figure(one) for one in self.published])
        published = f'{published} ({self.note})' if published and self.note else published or self.note
        difference = self.difference()
        ours, commits = self._written_ours() if self.complete() else self.former[::2]
        return [*self.cells, published, ours, '' if difference is None else f'{difference:+.1f}', self.verdict(),
                commits]

    def _written_ours(self) -> tuple[str, str]:
        """Return our figures and their commits as text."""
        ours = _joined([figure(value) + (f' ± {deviation:.1f}' if deviation is not None else '')
                        for value, deviation in zip(self.ours(), self.spread())])
        return ours, ', '.join(dict.fromkeys(short(one['commit']) for row in self.results for one in row if ours))


def mean(values: Sequence[float | None]) -> float | None:
    return None if None in values or not values else statistics.mean(values)


def figure(value: float | None) -> str:
    return '' if value is None else f'{value:.2f}'.removesuffix('0')


def _joined(figures: Sequence[str]) -> str:
    return ' / '.join(one or '-' for one in figures) if any(figures) else ''


def _figures(text: str) -> list[float | None]:
    """Return the figures of a cell of ours, None for other text; none of an empty cell."""
    found = [re.match(r'\d+(\.\d+)?', one) for one in text.split(' / ')]
    return [one and float(one[0]) for one in found] if text else []


def read_published(docs: Path) -> dict[str, dict]:
    """Read the tables of published figures, ``published.yaml`` in a folder of pages; none if there is no such file.

    Raises:
        UserError: If the file can't be read.
    """
    path = docs / 'published.yaml'
    if not path.exists():
        return {}
    try:
        return yaml.safe_load(path.read_text('utf-8'))['tables']
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f'{path} can\'t be read ({" ".join(str(error).split())}): expected YAML with the key '
                        'tables.') from error


def lines_of(table: Mapping[str, Any], work_dir: Path) -> list[Line]:
    """Return the lines of a table of published figures, with our results in a work dir."""
    read = lru_cache(read_suite)
    return [_line(entry, table, work_dir, read) for entry in _entries(table)]


def _entries(table: Mapping[str, Any]) -> Iterator[dict]:
    """Generate the entries of a table; one of several sets has an entry per method and set."""
    sets = table.get('sets', {})
    for entry in table['entries']:
        if not sets:
            yield entry
        for (name, title), figure in zip(sets.items(), entry['published'] if sets else ()):
            if 'rows' in entry:
                yield dict(entry, rows=entry['rows'].format(set=name), published=figure, cells=[*entry['cells'], title])


def _line(entry: Mapping[str, Any], table: Mapping[str, Any], work_dir: Path,
          read: Callable[[str], dict[str, Row]]) -> Line:
    metrics = entry.get('metrics') or table.get('metrics') or ['mIoU']
    published = entry.get('published')
    published = published if isinstance(published, list) else [None] * (len(metrics) - 1) + [published]
    references = [entry['rows']] if isinstance(entry['rows'], str) else entry['rows']
    found = [reference.split('/') for reference in references]
    rows = [read(suite)[name] for suite, name in found]
    return Line([title(rows), *entry.get('cells', ())], published, entry.get('note', ''),
                entry.get('differs', table.get('differs', '')), metrics,
                [results(suite, row, work_dir) for (suite, _), row in zip(found, rows)])


def title(rows: Sequence[Row]) -> str:
    """Name the config of rows, with settings; several rows, such as folds, share a config."""
    row = rows[0]
    added = [f'{key}={value}' for key, value in [*(row.env.items() if len(rows) == 1 else ()), *row.options.items()]]
    name = f'`{Path(row.config or row.script).name}`'
    return f'{name} with `{" ".join(added)}`' if added else name


def results(suite: str, row: Row, work_dir: Path) -> list[dict]:
    """Return the results of a row, one per seed, that have the settings of the row."""
    jobs = [Job(suite, row, seed, work_dir) for seed in row.seeds]
    found = [(job, read_record(job.result)) for job in jobs if job.result.exists()]
    return [one for job, one in found if all(one.get(key) == value for key, value in settings(job, {}).items())]


def compare(suite: str, published: Mapping[str, dict], work_dir: Path) -> list[Line]:
    """Return the lines of all tables of a suite."""
    return [line for table in published.values() if table['suite'] == suite for line in lines_of(table, work_dir)]


def own_lines(jobs: Sequence[Job]) -> list[Line]:
    """Return a line for each result of jobs, without published figures."""
    found = [(job, read_record(job.result)) for job in jobs if job.result.exists()]
    return [Line([job.name], [None], metrics=list(one['metrics'])[:1] or ['mIoU'], results=[[one]])
            for job, one in found if one['metrics']]
