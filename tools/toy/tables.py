"""Tables of runs on the toy world: a table in a page of docs/, and the single runs as CSV beside it."""
import csv
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

METRICS = {'mIoU_S': 'mIoU(S)', 'mIoU_U': 'mIoU(U)', 'hIoU': 'hIoU', 'mIoU': 'mIoU'}
COLUMNS = ['row', 'seed', *METRICS]
START, END = '<!-- table: written by tools/toy -->', '<!-- end of table -->'


def collect(jobs: Sequence[tuple[str, int]], run: Callable[[str, int], dict[str, float]]) -> list[dict]:
    """Run all jobs and print progress with the remaining time; return one result per job.

    Args:
        jobs: Row and seed of each run.
        run: Function from row and seed to metrics in percent.
    """
    results, start = [], time.time()
    for done, (row, seed) in enumerate(jobs, 1):
        metrics = run(row, seed)
        results.append(dict(row=row, seed=seed, **{key: round(metrics[key], 4) for key in METRICS}))
        left = (time.time() - start) / done * (len(jobs) - done)
        eta = f'eta {left / 60:.0f} min'
        print(f'[{done}/{len(jobs)}, {eta}] {row}, seed {seed}: hIoU {metrics["hIoU"]:.2f}', flush=True)
    return results


def summarize(results: list[dict]) -> str:
    """Return a Markdown table with mean and standard deviation over seeds per row."""
    lines = ['| row | ' + ' | '.join(METRICS.values()) + ' | seeds |', '|---' * (len(METRICS) + 2) + '|']
    for row in dict.fromkeys(one['row'] for one in results):
        runs = [one for one in results if one['row'] == row]
        cells = []
        for key in METRICS:
            values = [one[key] for one in runs]
            spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
            cells.append(f'{statistics.mean(values):.1f}{spread}')
        lines.append(f'| {row} | ' + ' | '.join(cells) + f' | {len(runs)} |')
    return '\n'.join(lines)


def write(results: list[dict], page: Path) -> str:
    """Write the runs as CSV and the table into the page; return the table."""
    page.parent.mkdir(parents=True, exist_ok=True)
    with open(page.with_suffix('.csv'), 'w', newline='') as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(results)
    table = summarize(results)
    text = page.read_text() if page.exists() else f'# {page.stem}\n\n{START}\n{END}\n'
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(f'{before}{START}\n{table}\n{END}{after}')
    return table
