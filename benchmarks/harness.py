"""Functions shared by all benchmarks: interleaved timing, peak memory, error and ratio, one CSV per script.

args = harness.arguments(__doc__)
rows = harness.compare('label map', 'C=150', {'as written': naive, 'ours': bands}, peer='as written',
error=harness.relative_error, **harness.settings(args))
harness.save(rows, args)
"""
import argparse
import csv
import ctypes
import datetime
import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import mmseg
import open_clip
import torch

T = TypeVar('T')
RESULTS = Path(__file__).resolve().parent / 'results'
MIB = 2**20
COLUMNS = ['claim', 'case', 'variant', 'peer', 'device', 'dtype', 'threads', 'seconds', 'speedup', 'peak_mib',
           'memory_ratio', 'error', 'machine', 'python', 'torch', 'mmseg', 'open_clip', 'date']
# glibc's mallopt parameters.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def arguments(description: str | None = None) -> argparse.Namespace:
    """Parse the arguments of a benchmark and set the number of torch's threads.

    Args:
        description (str, optional): Docstring of the script.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--device', default='cpu', help='device of the variants, such as cpu or cuda')
    parser.add_argument('--dtype', default='float32', choices=('float32', 'float64', 'bfloat16', 'float16'))
    parser.add_argument('--repeats', type=int, default=5, help='timed runs of each variant, after one warm-up')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads')
    parser.add_argument('--quick', action='store_true', help='small sizes, for a quick check without figures')
    parser.add_argument('--out', type=Path, default=RESULTS, help='folder of the CSV')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return args


def settings(args: argparse.Namespace) -> dict:
    """Return the arguments for :func:`compare`: repeats, device, dtype (by name)."""
    return dict(repeats=1 if args.quick else args.repeats, device=args.device, dtype=args.dtype)


def compare(claim: str, case: str, variants: dict[str, Callable[[], T] | None], peer: str,
            error: Callable[[T, T], float], repeats: int = 5, memory: bool = True, device: str = 'cpu',
            dtype: str = 'float32', warm_up: bool = True, **columns) -> list[dict]:
    """Compare variants of the same computation in this process.

    Each variant runs once for warm-up, which gives its error, and once for its memory. Then all are timed in turn
    (A B C A B C ...). The memory includes the returned value, so return only results that a user would keep. Inputs,
    weights and gradient buffers from before are not included.

    Args:
        claim (str): Subject of the comparison; with ``case`` the key of a bar in report.py.
        case (str): Sizes.
        variants (dict[str, Callable[[], T] | None]): Functions by name. None is too large to run and gives a row
            without figures. Bars apply to the variant ``'ours'``.
        peer (str): Variant that ratios and errors refer to.
        error (Callable[[T, T], float]): Error of a result against the peer's, such as :func:`relative_error`.
        repeats (int): Timed runs of each variant.
        memory (bool): If True, measure peak memory.
        device (str): Device of the variants.
        dtype (str): Data type of the computation, for the table only.
        warm_up (bool): False skips the warm-up and the error, for runs that take minutes.
        **columns: Further columns of the CSV.

    Returns:
        list[dict]: One row per variant: ``seconds`` (median), ``speedup`` (peer's seconds / seconds), ``peak_mib``,
        ``memory_ratio`` (peak / peer's peak), ``error`` and the environment.
    """
    runs = {name: run for name, run in variants.items() if run is not None}
    with _freed_memory_returned():  # also in warm-up, or later runs would reuse free heap blocks
        errors = _warm_up(claim, case, runs, peer, error) if warm_up else {}
        peaks = {name: peak_memory(run, device) for name, run in runs.items()} if memory else {}
    seconds = _time(runs, repeats, device)
    rows = [dict(claim=claim, case=case, variant=name, peer=peer, device=device, dtype=dtype,
                 threads=torch.get_num_threads(), seconds=seconds.get(name),
                 speedup=_ratio(seconds.get(peer), seconds.get(name)), peak_mib=peaks.get(name),
                 memory_ratio=_ratio(peaks.get(name), peaks.get(peer)), error=errors.get(name), **columns,
                 **environment(device)) for name in variants]
    for row in rows:
        print(_line(row), flush=True)
    return rows


def save(rows: list[dict], args: argparse.Namespace) -> Path:
    """Write ``<out>/<script>.csv``; keep rows of an older file for other devices and dtypes.

    Args:
        rows (list[dict]): Rows of this run.
        args (argparse.Namespace): Result of :func:`arguments`.
    """
    path = args.out / f'{Path(sys.argv[0]).stem}.csv'
    fresh = {(row['device'], row['dtype']) for row in rows}
    if path.exists():
        with open(path, newline='') as file:
            rows = [row for row in csv.DictReader(file) if (row['device'], row['dtype']) not in fresh] + rows
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w', newline='') as file:
        further = sorted({key for row in rows for key in row} - set(COLUMNS))
        writer = csv.DictWriter(file, COLUMNS + further)
        writer.writeheader()
        writer.writerows({key: _digits(value) for key, value in row.items()} for row in rows)
    return path


def relative_error(result, expected) -> float:
    """Return the largest difference over the largest magnitude; for nested sequences, the maximum over tensors."""
    if not torch.is_tensor(expected):
        return max(map(relative_error, result, expected))
    expected = expected.detach().double()
    scale = float(expected.abs().max())
    return float((result.detach().double() - expected).abs().max()) / (scale or 1.)


def disagreement(result: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the share of different entries, for label maps."""
    return float((result != expected).double().mean())


def peak_memory(run: Callable[[], object], device: str = 'cpu') -> float | None:
    """Return the peak memory of a call above the level before it, in MiB.

    CUDA: memory allocated by torch. CPU: peak of resident memory, reset by ``/proc/self/clear_refs``. Freed memory
    returns to the system before and during the call, so it can't hide new allocations. None if the system lacks that
    file or glibc.

    Args:
        run (Callable[[], object]): Function to measure. Warm it up before, or its caches count.
        device (str): Device of its allocations.
    """
    gc.collect()
    if torch.device(device).type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / MIB
    try:
        with _freed_memory_returned():
            Path('/proc/self/clear_refs').write_text('5')
            before = _status('VmRSS')
            result = run()  # noqa: F841, keep alive until the peak is read
            return _status('VmHWM') - before
    except (OSError, AttributeError):
        return None


@contextmanager
def _freed_memory_returned():
    """Make glibc map blocks above 64 KiB separately; afterwards keep large blocks, as a long-running process does."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, 'mallopt'):  # another C library
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, 64 * 1024)
    libc.mallopt(_TRIM_THRESHOLD, 64 * 1024)
    libc.malloc_trim(0)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, 32 * MIB)
        libc.mallopt(_TRIM_THRESHOLD, 64 * MIB)


def _status(key: str) -> float:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f'{key}:'))


def _warm_up(claim, case, runs, peer, error) -> dict[str, float]:
    """Run each variant once; return the errors, or none if the peer can't run."""
    print(f'# {claim}, {case}: {", ".join(runs)} against {peer}', flush=True)
    errors, expected = {}, runs[peer]() if peer in runs else None
    for name, run in runs.items():
        result = expected if name == peer else run()
        if expected is not None:
            errors[name] = error(result, expected)
    return errors


def _time(runs, repeats: int, device: str) -> dict[str, float]:
    synchronize = torch.cuda.synchronize if torch.device(device).type == 'cuda' else lambda: None
    seconds = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            gc.collect()
            synchronize()
            start = time.perf_counter()
            result = run()
            synchronize()
            seconds[name].append(time.perf_counter() - start)
            del result  # not timed
    return {name: statistics.median(values) for name, values in seconds.items()}


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def environment(device: str) -> dict[str, str]:
    """Return machine, versions and date."""
    return dict(machine=_machine(device), python=platform.python_version(), torch=torch.__version__,
                mmseg=mmseg.__version__, open_clip=open_clip.__version__, date=datetime.date.today().isoformat())


def _machine(device: str) -> str:
    if torch.device(device).type == 'cuda':
        return torch.cuda.get_device_name(device)
    info = Path('/proc/cpuinfo')
    names = [line.split(':')[1].strip() for line in info.read_text().splitlines() if line.startswith('model name')
             ] if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def _line(row: dict) -> str:
    if row['seconds'] is None:
        return f'  {row["variant"]:<40} not run'
    cells = [_cell(row['seconds'] * 1e3, '{:10.1f} ms'), _cell(row['speedup'], '{:7.2f}x'),
             _cell(row['peak_mib'], '{:8.0f} MiB'), _cell(row['memory_ratio'], '{:7.3f} of the memory'),
             _cell(row['error'], 'error {:.1e}')]
    return f'  {row["variant"]:<40} {" ".join(cells)}'


def _cell(value: float | None, form: str) -> str:
    return '' if value is None else form.format(value)


def _digits(value):
    return f'{value:.4g}' if isinstance(value, float) else value
