"""Refused models and paths of all exports."""
from pathlib import Path

import pytest
import torch
from fixtures.exports import lseg, mvp_seg, text_model
from fixtures.refusals import refused

from mmseg_mvp.apis import OpenVocabInferencer, export_native, export_onnx, save_embeddings, save_prompts

pytestmark = pytest.mark.usefixtures('mmseg_scope')


LONG = 'x' * 5000


BAD_EXPORTS = [None, 3, '', 'out', 'out.jpg', '.pth', '\0.pth', '\0.onnx', LONG + '.pth', LONG + '.onnx', 'taken.pth',
               'taken.onnx', 'taken.pth/out.pth', 'taken.onnx/out.onnx']


@pytest.fixture(scope='module')
def models(tiny_rn, tiny_vit):
    return {name: model.eval() for name, (_, model) in dict(
        mvp_seg=mvp_seg(tiny_vit), text=text_model(tiny_rn), lseg=lseg(tiny_rn, 'toy_zs')).items()}


@pytest.mark.parametrize('path', BAD_EXPORTS)
def test_exports(models, tiny_rn, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for taken in ('taken.pth', 'taken.onnx'):
        (tmp_path / taken).write_text('mine')
    refused(lambda: export_native(text_model(tiny_rn)[0], models['text'], path))
    refused(lambda: export_onnx(models['text'], path))
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {'taken.pth': 'mine', 'taken.onnx': 'mine'}


@pytest.mark.parametrize('model', [None, 3, 'model.pth', torch.nn.Conv2d(3, 3, 1)])
def test_exports_of_what_is_no_segmentor(model, tmp_path):
    refused(lambda: export_native({}, model, tmp_path / 'out.pth'))
    refused(lambda: export_onnx(model, tmp_path / 'out.onnx'))
    assert not list(tmp_path.iterdir())


ROOT = Path(__file__).parents[3]


MASKCLIP = str(ROOT / 'configs/maskclip/toy_zs.py')


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(MASKCLIP, device='cpu')


@pytest.mark.parametrize('path', ['out.safetensors', 'out.pt', LONG + '.npz', '\0.npz'])
def test_exports_of_what_is_not_there(seg, path, tmp_path, monkeypatch):
    """MaskCLIP has no prompts to save; embeddings are .npz files."""
    monkeypatch.chdir(tmp_path)
    refused(lambda: save_prompts(seg.model, path))
    refused(lambda: save_embeddings(seg.model, path))
