"""Run a suite of benchmarks and write its table: python tools/benchmark.py SUITE [--rows REGEX] [--list]; see --help.

SUITE is toy, training-free, maskclip, mvp-seg, mvp-seg-plus, lseg, or a YAML file that lists rows (docs/benchmark.md).
Each row is trained, if its method learns, and tested. Its result is one JSON file in the work dir. Rows with a result
are omitted. After a stop, the same command continues.
"""
import argparse
import os
import signal
import sys
from pathlib import Path

try:
    from mmseg_mvp import app
    from mmseg_mvp.app.suites import comparison, page, rows, zoo
    from mmseg_mvp.app.suites.commands import Commands
    from mmseg_mvp.app.suites.locks import alone, holder, is_dead
    from mmseg_mvp.app.suites.missing import Checks
    from mmseg_mvp.app.suites.records import differences, read_result, set_aside
    from mmseg_mvp.app.suites.runs import Runs, duration
    from mmseg_mvp.errors import UserError
    from mmseg_mvp.utils.shipped import DOCS, ROOT
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')

import torch


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('suite', metavar='SUITE', help='name of a suite, or a YAML file')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmark'), help='folder of all suites')
    parser.add_argument('--rows', metavar='REGEX', default='', help='only rows whose name has a match')
    parser.add_argument('--list', action='store_true', help='show the rows and their state, then end')
    parser.add_argument('--redo', action='store_true', help='run rows again whose result is of another commit, other '
                        'versions or other settings; the former result is renamed')
    parser.add_argument('--export', choices=['html'], help='write SUITE.html in the work dir: bars and '
                        'tables of classes')
    parser.add_argument('--jobs', type=int, metavar='N', help='rows at a time (default: one per group of GPUs)')
    parser.add_argument('--gpus-per-row', type=int, default=1, metavar='N', help='processes per row, by torchrun')
    parser.add_argument('--shard', metavar='I/N', help='only part I, from 0 on, of N equal parts (default: that of the '
                        'Slurm array task, if any)')
    parser.add_argument('--docs', type=Path, default=DOCS, help='folder of the pages and published.yaml '
                        '(default: %(default)s)')
    parser.add_argument('--feature-bank', type=Path, metavar='DIR', help='folder that keeps features of test images: '
                        'rows and seeds of one frozen CLIP compute them once')
    parser.add_argument('--skip-data-check', action='store_true', help='start without a look for every image and mask')
    parser.add_argument('--cfg-options', nargs='+', action=app.OptionsAction, metavar='KEY=VALUE', default={},
                        help='settings for all rows')
    return parser.parse_args()


def slots(jobs: int | None, per_row: int) -> list[str]:
    """Return the GPUs of each row that runs at a time; '' without GPUs."""
    for flag, value in (('--jobs', jobs), ('--gpus-per-row', per_row)):
        if value is not None and value < 1:
            raise UserError(f'{flag} is {value}: expected 1 or more')
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    count = torch.cuda.device_count()
    gpus = visible.split(',')[:count] if visible else [str(index) for index in range(count)]
    if gpus and per_row > len(gpus):
        raise UserError(f'--gpus-per-row is {per_row}, but this machine shows {len(gpus)}: give at most that')
    groups = [','.join(gpus[start:start + per_row]) for start in range(0, len(gpus) - per_row + 1, per_row)] or ['']
    return [groups[index % len(groups)] for index in range(jobs or len(groups))]


def state(job: rows.Job, options: dict) -> str:
    """Describe the state of a job."""
    result = read_result(job)
    if result is not None:
        found = differences(result, job, options)
        return f'done, but of {found}' if found else 'done'
    if job.lock.exists() and not is_dead(job.lock):
        return 'running, {pids} on {host}'.format(**{'pids': '?', 'host': '?', **holder(job.lock)})
    return 'begun' if job.folder.exists() else 'new'


def show(jobs: list[rows.Job], options: dict, checks: Checks) -> None:
    """Print each job with its state and all that it lacks."""
    width = max(len(job.title) for job in jobs)
    for job in jobs:
        expected = f', some {duration(job.row.minutes)}' if job.row.minutes else ''
        print(f'{job.title:{width}}  {job.row.config or job.row.script}{expected}: {state(job, options)}')
    tell_missing([job for job in jobs if not job.result.exists()], checks)


def tell_missing(jobs: list[rows.Job], checks: Checks) -> dict[str, str]:
    """Print all that jobs lack; return a sentence for each job that can't start, by title."""
    faults = {job.title: found for job in jobs if (found := checks.faults(job))}
    for sentence, names in grouped(faults).items():
        print(f'missing for {", ".join(names)}: {sentence}')
    sizes = {job.title: checks.other_sizes(job) for job in jobs if job.title not in faults}
    for sentence, names in grouped(sizes).items():
        print(f'{", ".join(names)}: {sentence}')
    for sentence, names in grouped({job.title: checks.downloads(job) for job in jobs}).items():
        print(f'not downloaded yet, for {", ".join(names)}; the first row does it, or the command: {sentence}')
    return {title: found[0] for title, found in faults.items()}


def grouped(sentences: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the names of each sentence."""
    found: dict[str, list[str]] = {}
    for name, ones in sentences.items():
        for one in ones:
            found.setdefault(one, []).append(name)
    return found


def tell_others(jobs: list[rows.Job], options: dict, redo: bool) -> list[rows.Job]:
    """Tell results of another commit, other versions or settings; return their jobs if they are to be made again."""
    others = [(job, found) for job in jobs if (result := read_result(job))
              and (found := differences(result, job, options))]
    texts = dict.fromkeys(found for _, found in others)
    if others and not redo:
        print(f'{len(others)} results in {others[0][0].result.parent} are not of this code and machine '
              f'({"; ".join(texts)}): they are kept; add --redo to run these rows again')
    return [job for job, _ in others] if redo else []


def benchmark(args: argparse.Namespace) -> int:
    """Run what the arguments describe; return the exit code."""
    jobs = rows.shard(rows.plan(args.suite, args.rows, args.work_dir), args.shard, os.environ)
    if not jobs:
        print('this part has no row')
        return 0
    checks = Checks(args.cfg_options, files=not args.skip_data_check)
    if args.list:
        show(jobs, args.cfg_options, checks)
        return 0
    again = tell_others(jobs, args.cfg_options, args.redo)
    failed = tell_missing([job for job in jobs if job in again or not job.result.exists()], checks)
    for job in again:
        if job.title not in failed:
            set_aside(job)
    known = {job.title: sum(found['seconds'].values()) / 60 for job in jobs if (found := read_result(job))}
    commands = Commands(args.cfg_options, args.gpus_per_row, args.docs, args.skip_data_check, args.feature_bank)
    runs = Runs(jobs, commands, slots(args.jobs, args.gpus_per_row), failed, known)
    runs.run()
    with alone(args.work_dir):
        tables(args, jobs)
    for title, sentence in runs.failed.items():
        print(f'error: {title}: {sentence}', file=sys.stderr)
    return 2 if runs.failed else 0


def tables(args: argparse.Namespace, jobs: list[rows.Job]) -> None:
    """Write the model zoo, print the table of the suite and export it."""
    suite = jobs[-1].suite
    published = comparison.read_published(args.docs) or comparison.read_published(ROOT / 'docs')
    lines = comparison.compare(suite, published, args.work_dir) or comparison.own_lines(jobs)
    if table := zoo.plain(lines):
        print(table)
    if args.cfg_options and any(one['suite'] == suite for one in published.values()):
        print('Results with --cfg-options are not in the tables of published figures')
    if scripts := [job.row.name for job in jobs if job.row.script and job.result.exists()]:
        print(f'Tables and pictures of {", ".join(scripts)} are in {args.docs}')
    zoo.write_zoo(args.docs, published, args.work_dir)
    if args.export:
        path = args.work_dir / f'{suite}.html'
        page.write(path, lines, jobs)
        print(f'The comparison is in {path}')


def main() -> int:
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('stopped: the same command continues'))
    try:
        return benchmark(args)
    except KeyboardInterrupt:
        sys.exit('stopped: the same command continues')


if __name__ == '__main__':
    with app.user_errors():
        sys.exit(main())
