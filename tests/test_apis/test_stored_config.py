"""The config in a checkpoint: read as it was written, and never run."""
import math
import sys

import pytest
import torch
from fixtures.payloads import write_pickle
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.apis.stored_config import stored_config
from mmseg_mvp.errors import UserError

HEAD = dict(type='mmseg.FCNHead', in_channels=4, channels=4, num_classes=2, norm_cfg=dict(type='BN'))
SETTINGS = dict(
    model=dict(type='EncoderDecoder', decode_head=HEAD, test_cfg=dict(mode='slide', crop_size=(8, -8)), scale=1e-05,
               names={'a b': None, '1': True}, text='it\'s "ä"\n', neck=None),
    test_pipeline=[dict(type='Resize', scale=(32, 32)), dict(type='PackSegInputs')])


def test_what_is_used_comes_as_it_was_written():
    others = dict(custom_imports=dict(imports=['none_of_these']), optimizer=dict(type='os.system'))
    data = dict(dataset=dict(type='MyData', pipeline=SETTINGS['test_pipeline']))
    for settings in (SETTINGS, dict(model=SETTINGS['model'], test_dataloader=data)):
        assert stored_config(Config(dict(others, **settings)).pretty_text, 'a.pth').to_dict() == SETTINGS


@pytest.mark.parametrize('code', [
    'open({proof!r}, "w")', 'model = open({proof!r}, "w")', 'model = dict(type=open({proof!r}, "w").name)',
    'model = dict(type="BN", a=[open({proof!r}, "w")])', 'import mmseg\nopen({proof!r}, "w")',
    '@open({proof!r}, "w")\nclass model: pass', 'model = f"{{open({proof!r}, \'w\')}}"',
    'model = {{**dict(type="BN", a=open({proof!r}, "w"))}}', 'model = dict(**open({proof!r}, "w"))',
    'model = [open({proof!r}, "w") for _ in "a"]', 'model = (lambda: open({proof!r}, "w"))()'])
def test_code_is_not_run(tmp_path, code):
    proof = tmp_path / 'ran'
    code = code.format(proof=str(proof))
    try:
        exec(code)
    except Exception:  # what it opens is no dict
        pass
    assert proof.exists()
    proof.unlink()
    with pytest.raises(UserError, match='checkpoint a.pth is not read.*code in it is not run: give the config, too'):
        stored_config(code, 'a.pth')
    assert not proof.exists()


@pytest.mark.parametrize('model, named', [
    (dict(type='os.system', command='true'), 'os.system'), (dict(type='evil_module'), 'evil_module'),
    (dict(type='evil.FCNHead'), 'evil.FCNHead'), (dict(type='FCNHead', _scope_='evil'), 'evil'),
    (dict(type='EncoderDecoder', decode_head=[dict(HEAD, norm_cfg=dict(type='builtins.exec'))]), 'builtins.exec'),
    (dict(type='mmseg.os.system'), 'os.system'), (dict(type='mmseg.mmseg.FCNHead'), 'mmseg.FCNHead'),
    (dict(type=['os.system']), 'a list'), (dict(type=10 ** 4000), 'a int'),
    (dict(type='EncoderDecoder', backbone=dict(type='TIMMBackbone', checkpoint_path='evil.pth')), 'TIMMBackbone'),
    (dict(type='EncoderDecoder', backbone=dict(type='VPD')), 'VPD'), (dict(type='CLIPTextEncoder'), 'CLIPTextEncoder')])
def test_only_listed_components_are_built(tmp_path, monkeypatch, model, named):
    (tmp_path / 'evil_module.py').write_text('raise SystemExit')
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=f'a.pth asks for .*{named}.*give the config, too'):
        stored_config(Config(dict(model=model)).pretty_text, 'a.pth')
    assert 'evil_module' not in sys.modules


def test_a_component_that_the_user_registered_is_not_built(monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'OpensFiles', type('OpensFiles', (), {}))
    with pytest.raises(UserError, match='a.pth asks for OpensFiles'):
        stored_config(Config(dict(model=dict(type='OpensFiles'))).pretty_text, 'a.pth')


def test_what_is_for_training_alone_is_left_out(tmp_path):
    """mmseg unpickles class weights that are given as a file."""
    loss = dict(type='CrossEntropyLoss', class_weight=str(tmp_path / 'evil.pkl'))
    proof = write_pickle(tmp_path / 'evil.pkl')
    model = dict(type='EncoderDecoder', pretrained='evil.pth', train_cfg={}, auxiliary_head=[dict(HEAD)],
                 backbone=dict(type='ResNet', depth=18, init_cfg=dict(type='Pretrained', checkpoint='evil.pth')),
                 decode_head=dict(HEAD, loss_decode=[loss], sampler=dict(type='OHEMPixelSampler')))
    read = stored_config(Config(dict(model=model)).pretty_text, 'a.pth').model
    assert read == dict(type='EncoderDecoder', backbone=dict(type='ResNet', depth=18), decode_head=HEAD)
    MODELS.build(loss)
    assert proof.exists()  # that is why
    proof.unlink()
    MODELS.build(read)
    assert not proof.exists()


@pytest.mark.parametrize('settings', [dict(test_dataloader=None), dict(test_dataloader=dict(dataset=None)),
                                      dict(test_pipeline=None)])
def test_a_model_without_test_data(settings):
    read = stored_config(Config(dict(model=SETTINGS['model'], **settings)).pretty_text, 'a.pth')
    assert read.to_dict() == dict(model=SETTINGS['model'])


def test_steps_that_open_files_are_left_out():
    steps = [dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'), *SETTINGS['test_pipeline']]
    read = stored_config(Config(dict(SETTINGS, test_pipeline=steps)).pretty_text, 'a.pth')
    assert read.test_pipeline == SETTINGS['test_pipeline']


@pytest.mark.parametrize('text', ['', 'x = 1', 'model = 3', 'model = None'])
def test_a_model_must_be_there(text):
    with pytest.raises(UserError, match='a.pth has no model: give the config'):
        stored_config(text, 'a.pth')


@pytest.mark.parametrize('text', ['model = dict(', 'model.a = 1', '(' * 500, 'model = ' + '-' * 5000 + '1', '\0'])
def test_other_texts(text):
    with pytest.raises(UserError, match='a.pth is not read') as error:
        stored_config(text, 'a.pth')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('meta', [None, 3, dict(cfg=None), dict(cfg=math.pi), dict(other='')])
def test_checkpoints_without_a_config(tmp_path, meta):
    torch.save(dict(state_dict={}, meta=meta), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='a.pth has no config'):
        OpenVocabInferencer(tmp_path / 'a.pth', device='cpu')


def test_an_empty_config_does_not_have_mmengine_run_that_of_the_checkpoint(tmp_path):
    proof = tmp_path / 'ran'
    torch.save(dict(state_dict={}, meta=dict(cfg=f'open({str(proof)!r}, "w")')), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='has no model'):
        OpenVocabInferencer({}, str(tmp_path / 'a.pth'), device='cpu')
    assert not proof.exists()
