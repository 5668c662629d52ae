"""The command `mmseg-mvp`: its list, its suggestions, and the scripts that it runs."""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmseg_mvp_cli as cli

ROOT = Path(__file__).parents[1]
NAMES = ('segment', 'train', 'test', 'demo', 'app', 'export', 'explain', 'adapt', 'benchmark')


def call(monkeypatch, *words):
    monkeypatch.setattr('sys.argv', ['mmseg-mvp', *words])
    cli.main()


@pytest.mark.parametrize('words', [(), ('-h', ), ('--help', )])
def test_help_lists_each_command_with_one_line(monkeypatch, capsys, words):
    call(monkeypatch, *words)
    rows = dict(re.findall(r'^  (\w+) {2,}(\S.*)$', capsys.readouterr().out, re.MULTILINE))
    assert rows.keys() == set(NAMES)
    assert rows['train'] == 'Train a model' and rows['segment'] == 'Segment images by names'
    assert all(len(row) < 70 for row in rows.values())


@pytest.mark.parametrize('word, near', [('trian', 'train'), ('segmnt', 'segment'), ('bench', 'benchmark')])
def test_a_mistyped_command_ends_with_the_near_one(monkeypatch, capsys, word, near):
    with pytest.raises(SystemExit) as ended:
        call(monkeypatch, word)
    told = capsys.readouterr()
    assert ended.value.code == 2 and not told.out and told.err.count('\n') == 1
    assert told.err.startswith(f'error: there is no command {word}: did you mean {near}? Expected one of segment, ')


def test_an_unlike_command_suggests_nothing(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, '--xyz')
    assert capsys.readouterr().err.startswith('error: there is no command --xyz: expected one of ')


def test_a_script_runs_as_by_python(monkeypatch, tmp_path, capsys):
    (tmp_path / 'neighbour.py').write_text('VALUE = 7\n')
    script = tmp_path / 'script.py'
    script.write_text('import sys\nimport neighbour\nprint(__name__, __file__, sys.argv, neighbour.VALUE)\n')
    monkeypatch.setattr('sys.argv', ['mmseg-mvp train', 'a', '--b'])
    monkeypatch.setattr('sys.path', [*sys.path])
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])
    cli.run(script)
    assert capsys.readouterr().out == f"__main__ {script} ['mmseg-mvp train', 'a', '--b'] 7\n"


@pytest.mark.slow
def test_help_imports_no_package():
    program = ('import sys; sys.argv = ["mmseg-mvp", "--help"]; from mmseg_mvp_cli import main; main(); '
               'assert not {"torch", "mmengine", "mmseg_mvp", "numpy"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', program], check=True, capture_output=True, cwd=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize('module', ['mmseg_mvp', 'mmseg_mvp_cli'])
def test_without_its_host_the_command_ends_with_one_sentence(tmp_path, module):
    """A folder that comes first on the path claims another version of torch."""
    (tmp_path / 'torch-1.0.dist-info').mkdir()
    (tmp_path / 'torch-1.0.dist-info/METADATA').write_text('Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n')
    program = ['-m', module] if module == 'mmseg_mvp' else ['-c', 'from mmseg_mvp_cli import main; main()']
    done = subprocess.run([sys.executable, *program, 'test', 'maskclip/toy_zs'], text=True, capture_output=True,
                          env=dict(os.environ, PYTHONPATH=f'{tmp_path}:{ROOT}'))
    assert done.returncode == 1 and done.stderr.count('\n') == 1
    assert done.stderr.startswith("error: MMSeg-MVP can't start: torch is 1.0, but >=")


@pytest.mark.slow
def test_a_shipped_config_is_tested_by_its_short_name_from_any_folder(tmp_path):
    few = ['--cfg-options', 'test_dataloader.dataset.indices=8']
    done = subprocess.run([sys.executable, '-m', 'mmseg_mvp', 'test', 'maskclip/toy_zs', *few], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 0 and re.search(r'Iter\(test\).*hIoU: ', done.stdout), done.stderr
    assert [path.name for path in tmp_path.rglob('*.py') if path.parent.name == 'toy_zs'] == ['toy_zs.py']
    assert (tmp_path / 'work_dirs/maskclip/toy_zs').is_dir()
    shown = subprocess.run([sys.executable, '-m', 'mmseg_mvp', 'test', '--help'], capture_output=True, text=True)
    assert shown.stdout.startswith('usage: mmseg-mvp test ')
