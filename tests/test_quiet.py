"""The tools hide notices of the host about optional packages, and the demo shows a bar instead of its log."""
import ast
import subprocess
import sys
from pathlib import Path

import pytest
from fixtures.tools import TOOLS, load_tool

NOTICES = 'Could not import OneDL', 'MultiScaleDeformableAttention', 'QuickGELU mismatch', 'No pretrained weights'


def imported(path: Path) -> list[str]:
    """Top-level packages that a script imports, in order."""
    nodes = sorted((node for node in ast.walk(ast.parse(path.read_text('utf-8')))
                    if isinstance(node, (ast.Import, ast.ImportFrom))), key=lambda node: node.lineno)
    return [name.split('.')[0] for node in nodes for name in (
        [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])]


@pytest.mark.parametrize('path', sorted(TOOLS.rglob('*.py')), ids=lambda path: path.name)
def test_tools_import_us_before_a_host_that_prints(path):
    """`import mmseg_mvp` hides these notices, if it is the first to import mmseg and mmcv."""
    found = imported(path)
    places = {name: found.index(name) for name in ('mmseg', 'mmcv', 'mmseg_mvp', 'runs') if name in found}
    assert not {'mmseg', 'mmcv'} & set(places) or min(places, key=places.get) in ('mmseg_mvp', 'runs')


def test_the_shared_module_of_the_studies_imports_us():
    assert 'mmseg_mvp' in imported(TOOLS / 'toy/runs.py')


@pytest.mark.slow
def test_a_first_segmentation_prints_no_notice(tmp_path):
    program = ('from mmseg_mvp.apis import OpenVocabInferencer\n'
               'from mmseg_mvp.datasets.toy.scenes import draw_scene\n'
               "seg = OpenVocabInferencer('maskclip/toy_zs', device='cpu')\n"
               "seg(draw_scene(1, 'test').image, classes='bird, rocket, picture')\n")
    done = subprocess.run([sys.executable, '-c', program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and not any(notice in done.stdout + done.stderr for notice in NOTICES)
    assert not done.stderr and done.stdout.count('\n') == 1  # the CLIP that was loaded


@pytest.fixture
def demo():
    return load_tool('toy/demo.py')


@pytest.mark.parametrize('text, expected', [
    ('', 0), ('Iter(train) [ 50/450]  base_lr\nIter(train) [150/450]  base_lr\nIter(val) [32/32]\n', 150),
    ('Iter(train) [   50/20000]', 50), ('Iter(test) [32/32]', 0)])
def test_progress_of_a_training_is_read_from_its_log(demo, tmp_path, text, expected):
    log = tmp_path / 'log.txt'
    log.write_text(f'Iter(train) [400/450] of an earlier one\n{text}')
    assert demo.iterations(log, len('Iter(train) [400/450] of an earlier one\n')) == expected


@pytest.mark.slow
def test_a_tool_of_the_demo_prints_into_its_log_and_its_error_is_shown(demo, tmp_path, capfd):
    with demo.Progress(auto_refresh=False) as bar:
        tools = demo.Tools(tmp_path / 'log.txt', bar)
        tools.run('a row', 'train', '--help')
        assert tools.done == demo.UNITS['train'] and 'usage: train.py' in tools.log.read_text()
        with pytest.raises(SystemExit) as ended:
            tools.run('a row', 'test', 'nowhere.py')
    told = capfd.readouterr()
    assert ended.value.code == 2 and 'usage' not in told.out
    assert told.err == (f'error: {"config nowhere.py does not exist: expected a file, or the name of a shipped config"}'
                        f' such as mvp_seg/voc_zs\nLog: {tools.log}\n')
