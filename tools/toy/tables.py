"""Tables of runs on the toy world: tables in a page of docs/, and the single runs as CSV beside it."""
import csv
import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from scipy import stats

METRICS = {'mIoU_S': 'mIoU(S)', 'mIoU_U': 'mIoU(U)', 'hIoU': 'hIoU', 'mIoU': 'mIoU', 'hIoU_val': 'hIoU, val',
           'mIoU_val': 'mIoU, val'}
START, END = '<!-- table: written by tools/toy -->', '<!-- end of table -->'


def collect(jobs: Sequence[dict], run: Callable[..., dict[str, float]], store: Path | None = None) -> list[dict]:
    """Run all jobs and print progress with the remaining time; return one result per job.

    Args:
        jobs: Row, seed and the like of each run, the keyword arguments of ``run``.
        run: Function that returns metrics in percent.
        store: CSV of the results so far. Jobs in it are not run again.
    """
    results = []
    if store is not None and store.exists():
        with open(store, newline='') as file:
            found = [_numbers(row) for row in csv.DictReader(file)]
        results = [one for one in found if any(one.items() >= job.items() for job in jobs)]
    left = [job for job in jobs if not any(one.items() >= job.items() for one in results)]
    if results:
        print(f'{len(results)} of {len(jobs)} runs are in {store}: remove it to repeat them', flush=True)
    start = time.time()
    for done, job in enumerate(left, 1):
        metrics = run(**job)
        results.append(dict(**job, **{key: round(metrics[key], 4) for key in METRICS if key in metrics}))
        if store is not None:
            _write_csv(results, store)
        minutes = (time.time() - start) / done * (len(left) - done) / 60
        title = ', '.join(f'{key} {value}' if key != 'row' else value for key, value in job.items())
        print(f'[{done}/{len(left)}, eta {minutes:.0f} min] {title}: hIoU {metrics["hIoU"]:.2f}', flush=True)
    return results


def _numbers(row: dict[str, str]) -> dict:
    return {key: value if key == 'row' else float(value) if key in METRICS else int(value)
            for key, value in row.items()}


def _write_csv(results: list[dict], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w', newline='') as file:
        keys = results[0].keys()
        writer = csv.DictWriter(file, [*(key for key in keys if key not in METRICS),
                                       *(key for key in METRICS if key in keys)])
        writer.writeheader()
        writer.writerows(results)


def summarize(results: list[dict]) -> str:
    """Return a Markdown table with mean and standard deviation over the runs of each row."""
    metrics = {key: title for key, title in METRICS.items() if key in results[0]}
    return markdown(['row', *metrics.values(), 'runs'],
                    ([row, *(spread([one[key] for one in runs]) for key in metrics), str(len(runs))]
                     for row, runs in _rows(results).items()))


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of a header and rows of cells."""
    first, *others = (f'| {" | ".join(cells)} |' for cells in [header, *rows])
    return '\n'.join([first, '|---' * len(header) + '|', *others])


def by_group(results: list[dict], groups: dict[str, dict], metric: str = 'hIoU') -> str:
    """Return a Markdown table of a metric with one column per group of runs, such as ``{'CLIP 0': {'clip': 0}}``."""
    return markdown(['row', *groups],
                    ([row, *(spread([one[metric] for one in runs if one.items() >= group.items()])
                             for group in groups.values())] for row, runs in _rows(results).items()))


def differences(results: list[dict], pairs: Sequence[tuple[str, str]], groups: dict[str, dict]) -> str:
    """Return a Markdown table of differences of hIoU between rows, run by run, with 95 % t intervals.

    Runs of equal CLIP and seed are subtracted. A row that has one run per CLIP is subtracted from each seed.
    """
    table, rows = [], _rows(results)
    for first, second in pairs:
        others = {(one['clip'], one['seed']): one['hIoU'] for one in rows.get(second, [])}
        if len({seed for _, seed in others}) == 1:
            others = {(one['clip'], one['seed']): value for one in rows.get(first, [])
                      for (clip, _), value in others.items() if clip == one['clip']}
        found = [(one, one['hIoU'] - others[one['clip'], one['seed']]) for one in rows.get(first, [])
                 if (one['clip'], one['seed']) in others]
        values = [value for _, value in found]
        if len(values) > 1:
            half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
            mean = statistics.mean(values)
            parts = [[value for one, value in found if one.items() >= group.items()] for group in groups.values()]
            cells = [f'{mean:+.1f}', f'{mean - half:+.1f} to {mean + half:+.1f}',
                     f'{sum(value > 0 for value in values)} of {len(values)}',
                     *(f'{statistics.mean(part):+.1f}' if part else '' for part in parts)]
            table.append([first, second, *cells])
    return markdown(['row', 'minus', 'hIoU', '95 % interval', 'above 0', *groups], table)


def _rows(results: list[dict]) -> dict[str, list[dict]]:
    """Group results by row, in the order of their first run."""
    return {row: [one for one in results if one['row'] == row] for row in dict.fromkeys(one['row'] for one in results)}


def spread(values: list[float]) -> str:
    """Write mean and standard deviation of figures; without figures, nothing."""
    if not values:
        return ''
    spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
    return f'{statistics.mean(values):.1f}{spread}'


def write(results: list[dict], page: Path, table: str | None = None) -> str:
    """Write the runs as CSV and the table, by default :func:`summarize`, into the page; return the table."""
    _write_csv(results, page.with_suffix('.csv'))
    (page.parent / 'images').mkdir(exist_ok=True)
    table = table or summarize(results)
    if not page.exists():
        page.write_text(f'# {page.stem}\n\n{START}\n{END}\n')
    replace(page, table)
    return table


def replace(page: Path, table: str) -> None:
    """Replace the table between the markers of a page."""
    text = page.read_text()
    page.write_text(f'{text.split(START)[0]}{START}\n{table}\n{END}{text.split(END)[1]}')
