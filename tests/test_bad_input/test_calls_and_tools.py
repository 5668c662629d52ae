"""The inferencer's arguments, and flags of the tools that are of a wrong type or name nothing."""
import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.refusals import refused

from mmseg_mvp.apis import OpenVocabInferencer, from_pretrained, load_prompts, save_embeddings, save_prompts

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
MASKCLIP = str(ROOT / 'configs/maskclip/toy_zs.py')
IMAGE = np.zeros((48, 64, 3), np.uint8)
NAN = math.nan
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


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(MASKCLIP, device='cpu')


@pytest.mark.parametrize('arguments', [
    *[dict(threshold=value) for value in ('a', NAN, -1, 2, [.5], True)],
    *[dict(batch_size=value) for value in (0, -1, 1.5, 'a', None, NAN)],
    *[dict(classes=value) for value in (3, b'tree, boat', {'tree', 'boat'}, {'tree': None}, ['tree', None], True, 1.5,
                                        {}, 'tree\nboat, cup', ['\0', 'tree'])],
    *[dict(inputs=value) for value in (None, 3, b'x.png', '', '\0', LONG, [None], [3], IMAGE / 2, IMAGE[:0],
                                       IMAGE[None], torch.zeros(3, 4, 4), [LONG], {'a': 1})],
])
def test_calls(seg, arguments):
    refused(lambda: seg(**dict(dict(inputs=IMAGE, classes='tree, boat'), **arguments)))


def test_no_images_have_no_results(seg):
    assert seg([], 'tree, boat') == []


@pytest.mark.parametrize('arguments', [
    *[dict(max_pixels=value) for value in (-1, 0, 'a', None, 1.5, NAN)],
    *[dict(clip=value) for value in ({}, dict(model=3), dict(model=None), dict(model='toy-rn', foo=1), 'toy-rn', 3)],
    *[dict(device=value) for value in ('', 'cuda:999', 3.5, 'cpu:x')],
    *[dict(model=value) for value in (3, '', LONG, LONG + '.py', b'x.py', [MASKCLIP])],
    *[dict(weights=value) for value in (3, '', LONG)],
])
def test_inferencers_built_with(arguments):
    refused(lambda: OpenVocabInferencer(**dict(dict(model=MASKCLIP, device='cpu'), **arguments)))


@pytest.mark.parametrize('method', ['index', 'score', 'views'])
@pytest.mark.parametrize('name', ['dragon', '', None, 3, ['tree']])
def test_results_asked_for_a_class_that_is_none(seg, method, name):
    out = seg(IMAGE, 'tree, boat')
    refused(lambda: getattr(out, method)(name), 'tree, boat')


@pytest.mark.parametrize('method, path', [
    ('save', 'out.xyz'), ('save', 'out'), ('save', ''), ('save', '.png'), ('save', None), ('save', 3),
    ('save', LONG + '.png'), ('save', '\0.png'), ('save_mask', 'out.jpg'), ('save_mask', None), ('save_mask', '')])
def test_results_saved_as(seg, method, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = seg(IMAGE, 'tree, boat')
    refused(lambda: getattr(out, method)(path))


@pytest.mark.parametrize('source', ['nowhere', 'nowhere.safetensors', '', '\0', LONG, '..', None, 3])
def test_prompts_of_a_source_that_is_none(seg, source):
    refused(lambda: from_pretrained(source, 'tree, boat'))
    refused(lambda: load_prompts(seg.model, source))


@pytest.mark.parametrize('path', ['out.safetensors', 'out.pt', LONG + '.npz', '\0.npz'])
def test_exports_of_what_is_not_there(seg, path, tmp_path, monkeypatch):
    """MaskCLIP has no prompts to save; embeddings are .npz files."""
    monkeypatch.chdir(tmp_path)
    refused(lambda: save_prompts(seg.model, path))
    refused(lambda: save_embeddings(seg.model, path))


@pytest.mark.parametrize('tool, arguments', TOOLS)
def test_tools_end_with_a_sentence_and_code_2(tool, arguments, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [f'{tool}.py', *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools' / f'{tool}.py'), run_name='__main__')
    said = capfd.readouterr().err
    assert end.value.code == 2 and 'error: ' in said and 'Traceback' not in said
    assert {path.name for path in tmp_path.rglob('*') if path.is_file()} <= {'seg_classes.txt'}
