"""Times, memory and errors of the benchmark harness, compared with known values."""
import csv
import json
import subprocess
import sys
import time
from argparse import Namespace

import pytest
import torch
from fixtures.tools import BENCHMARKS, load_tool


@pytest.fixture(scope='module')
def harness():
    return load_tool('harness.py', BENCHMARKS)


PEAKS = """
import harness, json, torch

def one_by_one():
    for _ in range(3):
        torch.ones(50 * 2**18)

calls = (lambda: torch.ones(100 * 2**18), lambda: None, one_by_one, lambda: [torch.ones(2**12) for _ in range(2000)])
print(json.dumps([harness.peak_memory(call) for call in calls]))
"""


@pytest.mark.slow
def test_peak_memory_is_that_of_the_tensors_alive_together():
    """Use a separate process, as benchmarks do, since the heap of other tests would add to the memory."""
    done = subprocess.run([sys.executable, '-c', PEAKS], cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    # The last: small tensors that a call holds, and that earlier calls left free, count as well.
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx([100, 0, 50, 31.25], abs=4)


@pytest.mark.slow
def test_variants_run_in_turn_and_ratios_are_against_the_peer(harness):
    order = []

    def variant(name, seconds, value):
        def run():
            order.append(name)
            time.sleep(seconds)
            return torch.tensor([value, 4.])
        return run

    rows = harness.compare('claim', 'case', {'slow': variant('slow', 0.04, 2.), 'ours': variant('ours', 0.01, 2.2),
                                             'huge': None}, peer='slow', error=harness.relative_error, repeats=3, k=4)
    assert order == ['slow', 'ours'] * 5  # warm-up, three timed, memory
    slow, ours, huge = rows
    assert slow['seconds'] >= 0.04 and slow['speedup'] == 1 and slow['error'] == 0
    assert ours['speedup'] == slow['seconds'] / ours['seconds'] > 1
    assert ours['error'] == pytest.approx(0.2 / 4)
    assert (huge['seconds'], huge['peak_mib'], huge['error']) == (None, None, None)
    assert ours['k'] == 4 and ours['torch'] == torch.__version__ and ours['machine']


def test_a_peer_that_cannot_run_leaves_times_without_ratios(harness):
    rows = harness.compare('claim', 'case', {'plain': None, 'ours': lambda: torch.ones(1)}, peer='plain',
                           error=harness.relative_error, repeats=1)
    assert rows[1]['seconds'] > 0 and rows[1]['peak_mib'] is not None
    assert (rows[1]['speedup'], rows[1]['memory_ratio'], rows[1]['error']) == (None, None, None)


def test_saving_replaces_the_rows_of_the_same_device_and_dtype_only(harness, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['benchmarks/some_claim.py'])
    args = Namespace(out=tmp_path / 'new')
    harness.save([dict(claim='old', device='cpu', dtype='float32', seconds=1.)], args)
    harness.save([dict(claim='half', device='cpu', dtype='float16', seconds=3.)], args)
    harness.save([dict(claim='gpu', device='cuda', dtype='float32', seconds=0.123456)], args)
    path = harness.save([dict(claim='new', device='cpu', dtype='float32', seconds=2., k=4)], args)
    assert path == tmp_path / 'new/some_claim.csv'
    with open(path, newline='') as file:
        found = [(row['claim'], row['seconds'], row['k']) for row in csv.DictReader(file)]
    assert found == [('half', '3', ''), ('gpu', '0.1235', ''), ('new', '2', '4')]


def test_errors_of_nested_tensors_and_of_label_maps(harness):
    expected = (torch.tensor([1., -2.]), [torch.tensor([10.])])
    found = (torch.tensor([1., -1.]), [torch.tensor([11.])])
    assert harness.relative_error(found, expected) == 0.5
    assert harness.relative_error(expected, expected) == 0
    assert harness.disagreement(torch.tensor([1, 2, 3, 4]), torch.tensor([1, 2, 0, 4])) == 0.25
