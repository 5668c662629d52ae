"""A run resumes from checkpoints of its own method only."""
import pytest
import torch
from fixtures.builders import CONFIGS
from mmengine.config import Config

from mmseg_mvp.engine.resume_check import check_method
from mmseg_mvp.errors import UserError


def toy(method: str, **options) -> Config:
    cfg = Config.fromfile(CONFIGS / method / 'toy_zs.py')
    cfg.merge_from_dict(options)
    return cfg


def write(path, text: object) -> str:
    """Write a checkpoint with a config in its metadata, as mmengine does."""
    torch.save(dict(meta=dict(cfg=text), state_dict={}), path)
    return str(path)


@pytest.mark.parametrize('found, expected, setting, types', [
    ('mvp_seg', 'maskclip', 'decode_head.prompts.type', ('LearnedPrompts', 'TemplatePrompts')),
    ('mvp_seg', 'lseg', 'type', ('CLIPEncoderDecoder', 'OpenVocabEncoderDecoder')),
    ('lseg', 'mvp_seg_plus', 'type', ('OpenVocabEncoderDecoder', 'KnowledgeTransfer'))])
def test_another_method_is_refused(found, expected, setting, types, tmp_path):
    path = write(tmp_path / 'iter_1.pth', toy(found).pretty_text)
    with pytest.raises(UserError) as caught:
        check_method(path, toy(expected))
    assert str(caught.value) == (
        f'checkpoint {path} is of another method: its model.{setting} is {types[0]}, but {types[1]} was expected by '
        f'{CONFIGS / expected / "toy_zs.py"}; resume with the config of the checkpoint, or name another --work-dir or '
        '--resume CHECKPOINT')


@pytest.mark.parametrize('method', ['mvp_seg', 'lseg', 'mvp_seg_plus'])
def test_other_settings_may_change(method, tmp_path):
    path = write(tmp_path / 'iter_1.pth', toy(method).pretty_text)
    check_method(path, toy(method))
    check_method(path, toy(method, **{
        'train_cfg.max_iters': 9, 'train_dataloader.batch_size': 3, 'optim_wrapper.type': 'AmpOptimWrapper',
        'model.type': f'mmseg.{toy(method).model.type}', 'model.test_cfg.mode': 'slide'}))


@pytest.mark.slow
def test_every_shipped_config_resumes_its_own_run(tmp_path):
    paths = [path for path in CONFIGS.glob('*/*.py') if path.parent.name != '_base_']
    for path in paths:
        cfg = Config.fromfile(path)
        cfg._format_python_code = False  # the formatter is slow
        check_method(write(tmp_path / 'iter_1.pth', cfg.pretty_text), cfg)
    assert len(paths) > 50


@pytest.mark.parametrize('text', [
    None, 1, '', 'model = ', 'import os\nmodel = os', 'model = [1]', 'model.type = 1', "model = dict(type=3)",
    'model = ' + '(' * 10**5, "model = {**dict(type='LSegHead')}"])
def test_without_a_readable_config_nothing_is_compared(text, tmp_path):
    check_method(write(tmp_path / 'iter_1.pth', text), toy('mvp_seg'))


def test_configs_without_a_model_and_remote_files_are_not_compared(tmp_path):
    path = write(tmp_path / 'iter_1.pth', toy('mvp_seg').pretty_text)
    check_method(path, Config(dict(work_dir='x')))
    check_method('https://example.org/iter_1.pth', toy('mvp_seg'))
    torch.save(dict(state_dict={}), path)
    check_method(path, toy('mvp_seg'))


def test_the_stored_config_is_not_run(tmp_path):
    path = write(tmp_path / 'iter_1.pth', f"model = dict(type='A')\nopen({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match='model.type is A'):
        check_method(path, toy('mvp_seg'))
    assert not (tmp_path / 'ran').exists()
