"""Each benchmark script runs without error."""
import csv
import subprocess
import sys

import numpy as np
import pytest
from fixtures.tools import BENCHMARKS, load_tool

OTHERS = {'harness.py', 'peers.py', 'report.py', 'run_all.py', 'soak.py'}
SCRIPTS = sorted({path.name for path in BENCHMARKS.glob('*.py')} - OTHERS)


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


@pytest.fixture
def run_all(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return load_tool('run_all.py', BENCHMARKS)


def test_all_scripts_are_run_by_one_command(run_all):
    assert [path.name for path in run_all.scripts()] == SCRIPTS


def test_a_failing_script_does_not_stop_the_others(run_all, tmp_path, capfd):
    for name, content in (('a', 'raise SystemExit(3)'), ('b', 'import sys; print(sys.argv[1:])')):
        (tmp_path / f'{name}.py').write_text(content)
    assert run_all.run([tmp_path / 'a.py', tmp_path / 'b.py'], ['--device', 'cuda']) == ['a.py']
    printed = capfd.readouterr().out
    assert "['--device', 'cuda']" in printed and '[2/2, about 0 min left] b.py' in printed


def test_rows_behind_their_peer_are_listed(run_all):
    row = dict(claim='loss', case='C=2', variant='ours', peer='plain', device='cuda', dtype='float32', speedup='1.2',
               memory_ratio='0.5')
    others = [dict(row, speedup='0.8'), dict(row, memory_ratio='1.1', speedup=''), dict(row, variant='plain'),
              dict(row, device='cpu', speedup='0.1'), dict(row, speedup='', memory_ratio='')]
    slow, large = run_all.behind([row, *others], 'cuda', 'float32')
    assert 'loss, C=2, ours: 0.8x the speed' in slow and '1.1 of the memory of plain' in large


def test_ten_thousand_names_are_distinct(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = load_tool('many_names.py', BENCHMARKS).names(10_000)
    assert len(names) == len(set(names)) == 10_000


def test_growth_is_told_per_thousand_steps_after_the_warm_up(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    soak = load_tool('soak.py', BENCHMARKS)
    steps = np.arange(400)
    growing = 900 + 0.002 * steps
    growing[:100] = 5 * steps[:100]
    assert soak.slope(growing) == pytest.approx(2.)


@pytest.mark.slow
def test_soak_runs_through(tmp_path):
    done = subprocess.run([sys.executable, BENCHMARKS / 'soak.py', '--iterations', '8', '--inferences', '40',
                           '--threads', '1', '--out', tmp_path],
                          cwd=BENCHMARKS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with open(tmp_path / 'soak.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert [(row['what'], row['steps']) for row in rows] == [
        ('training mvp_seg', '8'), ('training lseg', '8'), ('inference', '40')]
    assert all(100 < float(row['warm_mib']) <= float(row['most_mib']) for row in rows)
    assert 1 < int(rows[-1]['lists_held']) <= 40
