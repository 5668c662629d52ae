"""Run the host's own test suites with and without this package: python benchmarks/reliability/host_suites.py CHECKOUT.

A checkout has the sources of mmengine or mmsegmentation, close to the installed version. Its tests run plain and with
``import mmseg_mvp`` first. Each run uses a copy without the host's package, so it tests the installed one. Outcomes are
compared per test. Tests that differ run again, without the others. A test with a common outcome in both modes is
reported as unsteady. Exits with 1 if a test differs.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from xml.etree import ElementTree

sys.path.append(str(Path(__file__).resolve().parents[1]))

from harness import environment  # noqa: E402  (one folder up)

MODES = ('plain', 'imported')
# pytest loads this before it collects tests, in both modes. The time limit includes fixtures.
PLUGIN = '''
import signal

import pytest
{statement}


def give_up(*_):
    raise TimeoutError('more than {limit} seconds')


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm({limit})
    yield
    signal.alarm(0)
'''
Outcomes = dict[str, str]


def copy(checkout: Path, folder: Path) -> Path:
    """Copy a checkout without its packages; return the path of the copy.

    Args:
        checkout (Path): Folder with ``tests`` and the files that the tests read.
        folder (Path): Parent folder of the copy.
    """
    packages = [path.parent.name for path in checkout.glob('*/__init__.py') if path.parent.name != 'tests']
    return Path(shutil.copytree(checkout, folder / checkout.name, symlinks=True,
                                ignore=lambda at, names: {'.git', *packages} if Path(at) == checkout else ()))


def run(checkout: Path, mode: str, args: argparse.Namespace, tests: Iterable[str] = ('tests',)) -> Outcomes:
    """Run tests of a checkout in a fresh process and folder.

    Args:
        checkout (Path): Folder of the sources.
        mode (str): One of ``MODES``.
        args (argparse.Namespace): Result of :func:`arguments`.
        tests (Iterable[str]): Test ids, files or folders.

    Returns:
        Outcomes: ``'passed'``, ``'skipped'``, ``'failed'`` or ``'error'`` by test id.
    """
    with tempfile.TemporaryDirectory() as scratch:
        place, report = copy(checkout, Path(scratch)), Path(scratch, 'report.xml')
        temporary = Path(scratch, 'tmp')
        temporary.mkdir()
        plugin = Path(scratch, 'plugin', 'import_first.py')
        plugin.parent.mkdir()
        plugin.write_text(PLUGIN.format(statement=f'import {args.module}' * (mode == 'imported'), limit=args.limit))
        paths = os.pathsep.join([str(plugin.parent), *filter(None, [os.environ.get('PYTHONPATH')])])
        env = {**os.environ, 'PYTHONPATH': paths, 'TMPDIR': str(temporary), 'CUDA_VISIBLE_DEVICES': '-1',
               'OMP_NUM_THREADS': '1', 'PYTHONHASHSEED': '0'}
        done = subprocess.run(command(args, report, tests), cwd=place, env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not report.exists():
            sys.exit(f'{checkout.name}, {mode}: pytest ended with {done.returncode} and no report.\n'
                     f'{done.stdout[-3000:]}')
        return read(report)


def command(args: argparse.Namespace, report: Path, tests: Iterable[str]) -> list[str]:
    """Return the command line of pytest, with the checkout's settings except ``addopts``."""
    jobs = ['-n', str(args.jobs), '--dist', 'loadfile'] if args.jobs > 1 else ['-n', '0']
    return [sys.executable, '-m', 'pytest', '-q', '-p', 'import_first', '-p', 'no:cacheprovider', '-o', 'addopts=',
            '-o', 'junit_family=xunit1', f'--junit-xml={report}', '--continue-on-collection-errors', *jobs,
            *(['-k', args.k] if args.k else []), *tests]


def read(report: Path) -> Outcomes:
    """Read outcomes by test id from a JUnit report; a test listed twice (failed teardown) gets the worse outcome."""
    order = ('passed', 'skipped', 'failed', 'error')
    names = dict(skipped='skipped', failure='failed', error='error')
    outcomes = {}
    for case in ElementTree.parse(report).iter('testcase'):
        found = max((names.get(part.tag, 'passed') for part in case), key=order.index, default='passed')
        key = test_id(case)
        outcomes[key] = max(found, outcomes.get(key, 'passed'), key=order.index)
    return outcomes


def test_id(case: ElementTree.Element) -> str:
    """Return pytest's id, ``FILE::CLASS::NAME``; for a file that could not be imported, the file."""
    name, file = case.get('name'), case.get('file')
    if file is None:
        return f'{name.replace(".", "/")}.py'
    module = re.sub(r'\.py$', '', file).replace('/', '.')
    classes = case.get('classname').removeprefix(module).strip('.')
    return '::'.join([file, *filter(None, classes.split('.')), name])


def differing(seen: dict[str, list[Outcomes]]) -> list[str]:
    """List tests without a common outcome in both modes; ``'not run'`` counts as an outcome.

    Args:
        seen (dict[str, list[Outcomes]]): Outcomes of all runs, by mode.
    """
    tests = {test for runs in seen.values() for test in runs[0]}
    return sorted(test for test in tests if not set.intersection(*(set(told(runs, test)) for runs in seen.values())))


def told(runs: list[Outcomes], test: str) -> list[str]:
    """List the outcomes of a test in the first run and its repeats."""
    return [runs[0].get(test, 'not run'), *(outcomes[test] for outcomes in runs[1:] if test in outcomes)]


def compare(checkout: Path, args: argparse.Namespace) -> bool:
    """Run a checkout's tests in both modes and print the outcomes; return True if a test differs."""
    seen = {mode: [run(checkout, mode, args)] for mode in MODES}
    first = differing(seen)
    for _ in range(args.repeats if first else 0):
        for mode in MODES:
            seen[mode].append(run(checkout, mode, args, first))
    differ = differing(seen)
    plain, imported = (seen[mode][0] for mode in MODES)
    equal = Counter(outcome for test, outcome in plain.items() if imported.get(test) == outcome)
    print(f'{checkout.name}: {len(plain)} tests plain, {len(imported)} with {args.module}')
    print('  both ways:', ', '.join(f'{count} {outcome}' for outcome, count in sorted(equal.items())) or 'none')
    print(f'  {len(differ)} differ, {len(first) - len(differ)} unsteady')
    for test in first:
        lines = [f'{mode}: {" ".join(told(runs, test))}' for mode, runs in seen.items()]
        print(f'  {"DIFFERS" if test in differ else "unsteady"} {test}', *lines, sep='\n    ')
    sys.stdout.flush()
    return bool(differ)


def versions() -> dict[str, str]:
    """Return machine and versions."""
    found = {}
    for name in ('mmengine', 'mmsegmentation', 'onedl-mmengine', 'onedl-mmsegmentation'):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**environment('cpu'), **found}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkouts', nargs='+', type=Path, metavar='CHECKOUT',
                        help='folder with the sources and tests of mmengine or mmsegmentation')
    parser.add_argument('--k', metavar='EXPR', help='expression that selects tests, as in pytest -k')
    parser.add_argument('--jobs', type=int, default=1, help='number of processes; 1 keeps the order of the tests')
    parser.add_argument('--limit', type=int, default=120, help='time limit of a test in seconds')
    parser.add_argument('--repeats', type=int, default=2, help='further runs of the tests that differ')
    parser.add_argument('--module', default='mmseg_mvp', help='module to import')
    args = parser.parse_args()
    if missing := [str(path) for path in args.checkouts if not (path / 'tests').is_dir()]:
        parser.error(f'{", ".join(missing)}: expected a folder tests; give checkouts of mmengine or mmsegmentation')
    return args


def main() -> None:
    args = arguments()
    print(', '.join(f'{key} {value}' for key, value in versions().items()), flush=True)
    sys.exit(any([compare(path.resolve(), args) for path in args.checkouts]))


if __name__ == '__main__':
    main()
