"""Arguments that the tools refuse: one sentence and exit code 2."""
import runpy
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]


MASKCLIP = str(ROOT / 'configs/maskclip/toy_zs.py')


LONG = 'x' * 5000


TOOLS = [
    ('segment', [LONG, '--classes', 'cat, dog']), ('segment', ['nowhere.png', '--classes', 'cat, dog']),
    ('segment', [MASKCLIP, '--classes', 'cat, dog', '--config', LONG]),
    ('segment', [MASKCLIP, '--classes', 'cat\ndog, tree', '--config', MASKCLIP]),
    ('segment', [MASKCLIP, '--classes', 'cat, dog', '--config', MASKCLIP, '--max-pixels', '-1']),
    ('segment', [MASKCLIP, '--classes', 'cat, dog', '--config', MASKCLIP, '--threshold', 'nan']),
    ('segment', [MASKCLIP, '--classes', 'cat, dog', '--clip', 'toy-rn']),
    ('app', ['--clip', ':']), ('app', ['--config', LONG]), ('app', ['--port', 'x']),
    ('train', [LONG]), ('test', [LONG]), ('test', [MASKCLIP, LONG]), ('test', [MASKCLIP, '--wait-time', 'x']),
    ('export', [MASKCLIP, '--out', 'out.onnx', '--format', 'x']),
    ('export', [LONG, '--out', 'out.onnx', '--format', 'onnx']),
    ('analysis_tools/explain', [MASKCLIP, '--out-dir', 'out', '--index', 'x']),
    ('analysis_tools/explain', [MASKCLIP, '--out-dir', 'out', '--index', '-1']),
]


@pytest.mark.parametrize('tool, arguments', TOOLS)
def test_tools_end_with_a_sentence_and_code_2(tool, arguments, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools' / f'{tool}.py'), run_name='__main__')
    said = capfd.readouterr().err
    assert end.value.code == 2 and 'error: ' in said and 'Traceback' not in said
    assert {path.name for path in tmp_path.rglob('*') if path.is_file()} <= {'seg_classes.txt'}
