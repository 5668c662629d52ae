"""Comparison of test suites, for a small host whose tests detect one import only."""
import subprocess
import sys

import pytest
from fixtures.tools import BENCHMARKS

SCRIPT = BENCHMARKS / 'reliability' / 'host_suites.py'
TESTS = '''
import sys
import pytest

def test_of_the_host():
    pass

@pytest.mark.skip
def test_for_a_gpu():
    pass

def test_that_notices():
    assert 'this' not in sys.modules
'''


@pytest.mark.slow
@pytest.mark.parametrize('module, code, told', [
    ('this', 1, ['both ways: 1 passed, 1 skipped', '1 differ, 0 unsteady', 'DIFFERS tests/test_host.py::test_that']),
    ('colorsys', 0, ['both ways: 2 passed, 1 skipped', '0 differ, 0 unsteady'])])
def test_what_notices_an_import_is_named(tmp_path, module, code, told):
    (tmp_path / 'host' / 'tests').mkdir(parents=True)
    (tmp_path / 'host' / 'tests' / 'test_host.py').write_text(TESTS)
    ran = subprocess.run([sys.executable, SCRIPT, tmp_path / 'host', '--module', module, '--repeats', '1'],
                         capture_output=True, text=True)
    assert ran.returncode == code and all(line in ran.stdout for line in ['host: 3 tests plain, 3 with', *told]), ran


@pytest.mark.slow
def test_a_folder_without_tests_is_told(tmp_path):
    ran = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True)
    assert ran.returncode == 2 and 'expected a folder tests' in ran.stderr
