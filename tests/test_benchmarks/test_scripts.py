"""Every benchmark script runs through."""
import csv
import subprocess
import sys

import pytest
from fixtures.tools import BENCHMARKS, load_tool

SCRIPTS = sorted({path.name for path in BENCHMARKS.glob('*.py')} - {'harness.py', 'peers.py', 'report.py'})


@pytest.mark.slow
@pytest.mark.parametrize('script', SCRIPTS)
def test_quick_run_writes_its_figures(script, tmp_path):
    done = subprocess.run([sys.executable, BENCHMARKS / script, '--quick', '--threads', '1', '--out', tmp_path],
                          cwd=BENCHMARKS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with open(tmp_path / script.replace('.py', '.csv'), newline='') as file:
        rows = list(csv.DictReader(file))
    assert {row['variant'] == row['peer'] for row in rows} == {True, False}
    assert any(float(row['seconds'] or 0) > 0 for row in rows)


def test_ten_thousand_names_are_distinct(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = load_tool('many_names.py', BENCHMARKS).names(10_000)
    assert len(names) == len(set(names)) == 10_000
