"""Run all benchmarks, then write the tables: python benchmarks/run_all.py [--device cuda]; see --help.

All arguments pass to each script. A script that fails is named at the end, and the others run. On a CPU the whole set
takes about 40 minutes. Rows of ours that are slower than their peer, or take more memory, are listed at the end.
"""
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import harness
import report

FOLDER = Path(__file__).resolve().parent


def scripts() -> list[Path]:
    """Return the scripts that take the arguments of the harness."""
    own = {'harness.py', Path(__file__).name}
    return [path for path in sorted(FOLDER.glob('*.py'))
            if path.name not in own and 'harness.arguments(' in path.read_text('utf-8')]


def run(paths: Sequence[Path], arguments: Sequence[str]) -> list[str]:
    """Run scripts one after the other, with their progress; return the names of those that fail."""
    failed, start = [], time.perf_counter()
    for done, path in enumerate(paths):
        left = (time.perf_counter() - start) / done * (len(paths) - done) / 60 if done else None
        rest = '' if left is None else f', about {left:.0f} min left'
        print(f'[{done + 1}/{len(paths)}{rest}] {path.name}', flush=True)
        if subprocess.run([sys.executable, str(path), *arguments]).returncode:
            failed.append(path.name)
    return failed


def behind(rows: Sequence[dict[str, str]], device: str, dtype: str) -> list[str]:
    """Describe the rows of ours on a device that are slower than their peer or take more memory."""
    found = []
    for row in rows:
        if (row['device'], row['dtype']) != (device, dtype) or not row['variant'].startswith('ours'):
            continue
        slow, large = (float(row['speedup'] or 1) < 1, float(row['memory_ratio'] or 1) > 1)
        if slow or large:
            found.append(f'{row["claim"]}, {row["case"]}, {row["variant"]}: {row["speedup"] or "?"}x the speed and '
                         f'{row["memory_ratio"] or "?"} of the memory of {row["peer"]}')
    return found


def main() -> int:
    args = harness.arguments(__doc__)
    failed = run(scripts(), sys.argv[1:])
    if args.out == harness.RESULTS and not args.quick:
        report.main()
    for line in behind(report.read(args.out), args.device, args.dtype):
        print(f'behind its peer: {line}')
    if failed:
        print(f'error: {", ".join(failed)} failed: see the output above', file=sys.stderr)
    return 2 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
