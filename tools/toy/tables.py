"""Tables of runs on the toy world: tables in a page of docs/, and the single runs as CSV beside it."""
import csv
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scipy import stats

METRICS = {'mIoU_S': 'mIoU(S)', 'mIoU_U': 'mIoU(U)', 'hIoU': 'hIoU', 'mIoU': 'mIoU'}
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
    start = time.time()
    for done, job in enumerate(left, 1):
        metrics = run(**job)
        results.append(dict(**job, **{key: round(metrics[key], 4) for key in METRICS}))
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
        writer = csv.DictWriter(file, [*(key for key in results[0] if key not in METRICS), *METRICS])
        writer.writeheader()
        writer.writerows(results)


def summarize(results: list[dict]) -> str:
    """Return a Markdown table with mean and standard deviation over the runs of each row."""
    lines = ['| row | ' + ' | '.join(METRICS.values()) + ' | runs |', '|---' * (len(METRICS) + 2) + '|']
    for row in dict.fromkeys(one['row'] for one in results):
        runs = [one for one in results if one['row'] == row]
        cells = []
        for key in METRICS:
            values = [one[key] for one in runs]
            spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
            cells.append(f'{statistics.mean(values):.1f}{spread}')
        lines.append(f'| {row} | ' + ' | '.join(cells) + f' | {len(runs)} |')
    return '\n'.join(lines)


def differences(results: list[dict], pairs: Sequence[tuple[str, str]]) -> str:
    """Return a Markdown table of the differences of hIoU between rows, run by run, with 95 % t intervals."""
    lines = ['| row | minus | hIoU | 95 % interval | above 0 |', '|---|---|---|---|---|']
    for first, second in pairs:
        found = [{(one.get('clip'), one['seed']): one['hIoU'] for one in results if one['row'] == row}
                 for row in (first, second)]
        values = [found[0][key] - found[1][key] for key in found[0] if key in found[1]]
        if len(values) > 1:
            half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
            mean = statistics.mean(values)
            lines.append(f'| {first} | {second} | {mean:+.1f} | {mean - half:+.1f} to {mean + half:+.1f} | '
                         f'{sum(value > 0 for value in values)} of {len(values)} |')
    return '\n'.join(lines)


def write(results: list[dict], page: Path, table: str | None = None) -> str:
    """Write the runs as CSV and the table, by default :func:`summarize`, into the page; return the table."""
    _write_csv(results, page.with_suffix('.csv'))
    table = table or summarize(results)
    text = page.read_text() if page.exists() else f'# {page.stem}\n\n{START}\n{END}\n'
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(f'{before}{START}\n{table}\n{END}{after}')
    return table
