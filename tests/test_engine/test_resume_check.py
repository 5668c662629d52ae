"""A run resumes from checkpoints of its own method, and says which settings differ."""
import copy
import functools
import json
import re

import pytest
import torch
from fixtures.builders import CONFIGS
from mmengine.config import Config

from mmseg_mvp.engine.resume_check import compare_run, compare_states, nothing_left
from mmseg_mvp.errors import UserError


@functools.cache
def read(method: str) -> Config:
    return Config.fromfile(CONFIGS / method / 'toy_zs.py')


def toy(method: str, **options) -> Config:
    cfg = copy.deepcopy(read(method))
    cfg.merge_from_dict(options)
    return cfg


def checkpoint(cfg: object, **meta) -> dict:
    """Return a checkpoint with a config in its metadata, as mmengine saves it."""
    if isinstance(cfg, Config):
        cfg._format_python_code = False  # the formatter is slow
        cfg = cfg.pretty_text
    return dict(meta=dict(cfg=cfg, **meta), state_dict={})


@pytest.mark.parametrize('found, expected, setting, types', [
    ('mvp_seg', 'maskclip', 'decode_head.prompts.type', ('LearnedPrompts', 'TemplatePrompts')),
    ('mvp_seg', 'lseg', 'type', ('CLIPEncoderDecoder', 'OpenVocabEncoderDecoder')),
    ('lseg', 'mvp_seg_plus', 'type', ('OpenVocabEncoderDecoder', 'KnowledgeTransfer'))])
def test_another_method_is_refused(found, expected, setting, types):
    with pytest.raises(UserError) as caught:
        compare_run('a/iter_1.pth', checkpoint(toy(found)), toy(expected))
    assert str(caught.value) == (
        f'checkpoint a/iter_1.pth is of another method: its model.{setting} is {types[0]}, but {types[1]} was expected '
        f'by {CONFIGS / expected / "toy_zs.py"}; resume with the config of the checkpoint, or name another --work-dir '
        'or --resume CHECKPOINT')


@pytest.mark.parametrize('setting, found, given, holds', [
    ('optim_wrapper.optimizer.lr', 0.02, 0.5, 'checkpoint'),
    ('optim_wrapper.optimizer.weight_decay', 0.0005, 0., 'checkpoint'),
    ('param_scheduler[1].T_max', 430, 900, 'checkpoint'),
    ('randomness.seed', 0, 7, 'checkpoint'),
    ('optim_wrapper.type', 'OptimWrapper', 'AmpOptimWrapper', 'config'),
    ('optim_wrapper.accumulative_counts', None, 2, 'config'),
    ('train_cfg.max_iters', 450, 900, 'config'),
    ('train_dataloader.batch_size', 16, 3, 'config'),
    ('model.decode_head.train_classes', 'toy:seen', 'toy', 'config'),
    ('model.decode_head.scale', 10., 20., 'config')])
def test_each_difference_is_said_with_the_value_that_holds(setting, found, given, holds):
    cfg = toy('mvp_seg', **{re.sub(r'\[(\d)\]', r'.\1', setting): given})
    found = 'not set' if found is None else repr(found)
    assert compare_run('a.pth', checkpoint(toy('mvp_seg')), cfg) == [
        f'{setting} is {found} in the checkpoint and {given!r} in the config: the value of the {holds} holds.']


@pytest.mark.parametrize('key, found, given, holds', [
    ('param_scheduler', [dict(type='A'), dict(type='B')], [dict(type='A')], 'config'),
    ('param_scheduler', [dict(type='A')], [dict(type='A'), dict(type='B')], 'config'),
    ('param_scheduler', [dict(type='A')], None, 'config'), ('param_scheduler', None, [dict(type='A')], 'config'),
    ('param_scheduler', dict(type='A'), dict(type='A', eta_min=0), 'checkpoint'),
    ('optim_wrapper', dict(optimizer=dict(lr=1)), dict(optimizer=dict(lr=1, momentum=.9)), 'checkpoint'),
    ('optim_wrapper', {}, dict(paramwise_cfg=dict(norm_decay_mult=0)), 'checkpoint')])
def test_settings_that_only_one_of_the_two_has(key, found, given, holds):
    """mmengine restores each scheduler that both have, and all settings of the optimizer's groups."""
    note, = compare_run('a.pth', checkpoint(Config({'model': {}, key: found})), Config({'model': {}, key: given}))
    assert note.endswith(f'the value of the {holds} holds.')


def test_lists_of_classes_are_summarised():
    saved = toy('mvp_seg', **{'model.decode_head.train_classes': ['house', 'tree', 'car']})
    given = toy('mvp_seg', **{'model.decode_head.train_classes': ['house', 'car', 'tree', 'bird']})
    note, = compare_run('a.pth', checkpoint(saved), given)
    assert note == ("model.decode_head.train_classes is a list of 3 with 'tree' at [1] in the checkpoint and a list of "
                    "4 with 'car' at [1] in the config: the value of the config holds.")


def test_a_file_of_classes_that_changed_is_said(tmp_path):
    (tmp_path / 'names.txt').write_text('house\ncastle\n')
    cfg = toy('mvp_seg', **{'model.decode_head.train_classes': str(tmp_path / 'names.txt')})
    content = checkpoint(cfg)
    for names, expected in ((['house', 'castle'], []), (['house', 'tree'], ["has 1 names .*such as 'castle'"])):
        record = torch.tensor(list(json.dumps(dict(train_classes=names)).encode()), dtype=torch.uint8)
        content['state_dict'] = {'decode_head.classifier._extra_state': record}
        notes = compare_run('a.pth', content, cfg)
        assert len(notes) == len(expected) and all(map(re.search, expected, notes))


@pytest.mark.parametrize('options, words', [
    ({'optim_wrapper.optimizer.type': 'AdamW'}, 'SGD, but optim_wrapper.optimizer.type of the config is AdamW'),
    ({'param_scheduler.0.type': 'PolyLR'}, r'LinearLR, but param_scheduler\[0\].type of the config is PolyLR')])
def test_an_optimizer_or_a_schedule_of_another_kind_is_refused(options, words):
    with pytest.raises(UserError, match=f'a.pth holds the state of {words}: .*load_from=a.pth without --resume'):
        compare_run('a.pth', checkpoint(toy('mvp_seg')), toy('mvp_seg', **options))


def test_scopes_of_types_and_sync_bn_make_no_difference():
    cfg = toy('lseg')
    saved = toy('lseg', **{'model.type': f'mmseg.{cfg.model.type}', 'model.extra': dict(type='SyncBN')})
    cfg.model.extra = dict(type='BN')
    assert compare_run('a.pth', checkpoint(saved), cfg) == []


@pytest.mark.slow
def test_every_shipped_config_resumes_its_own_run():
    paths = [path for path in CONFIGS.glob('*/*.py') if path.parent.name != '_base_']
    for path in paths:
        assert compare_run('a.pth', checkpoint(Config.fromfile(path)), Config.fromfile(path)) == []
    assert len(paths) > 50


@pytest.mark.parametrize('text', [
    None, 1, '', 'model = ', 'import os\nmodel += os', 'model.type = 1', 'model = ' + '(' * 10**5])
def test_without_a_readable_config_nothing_is_compared(text):
    assert compare_run('a.pth', checkpoint(text), toy('mvp_seg')) == [
        'checkpoint a.pth has no readable config: its settings are not compared with those of the config.']
    assert len(compare_run('a.pth', dict(state_dict={}), toy('mvp_seg'))) == 1


def test_values_that_are_no_literals_are_not_compared():
    text = 'model = dict(decode_head=dict(scale=inf), type=CLIPEncoderDecoder)\ntrain_cfg = dict(max_iters=9)'
    notes = compare_run('a.pth', checkpoint(text), Config(dict(model=dict(type='B', decode_head=dict(scale=1.)),
                                                               train_cfg=dict(max_iters=8))))
    assert notes == ['train_cfg.max_iters is 9 in the checkpoint and 8 in the config: the value of the config holds.']


def test_the_stored_config_is_not_run(tmp_path):
    text = f"model = dict(type='A')\nopen({str(tmp_path / 'ran')!r}, 'w')"
    with pytest.raises(UserError, match='model.type is A'):
        compare_run('a.pth', checkpoint(text), toy('mvp_seg'))
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('meta, train_cfg, words', [
    (dict(iter=450, epoch=0), dict(max_iters=450), 'is at iter 450 of 450.*raise train_cfg.max_iters'),
    (dict(iter=900, epoch=0), dict(max_iters=450), 'iter 900 of 450'),
    (dict(iter=30, epoch=3), dict(max_epochs=3), 'epoch 3 of 3'),
    (dict(iter=449, epoch=0), dict(max_iters=450), None), (dict(iter=20, epoch=2), dict(max_epochs=3), None),
    (dict(), dict(max_iters=450), None)])
def test_a_finished_run_is_said(meta, train_cfg, words):
    sentence = nothing_left('a.pth', checkpoint('', **meta), Config(dict(train_cfg=train_cfg)))
    if words is None:
        assert sentence is None
    else:
        assert re.search(words, sentence) and sentence.startswith('Nothing is left to train: checkpoint a.pth')


WHOLE = dict(state_dict={}, message_hub={}, meta=dict(iter=2, epoch=0), optimizer={}, param_schedulers=[])


def without(*keys: str) -> dict:
    return {key: value for key, value in WHOLE.items() if key not in keys}


def test_states_that_start_anew_are_said():
    assert compare_states('a.pth', WHOLE, toy('mvp_seg')) == []
    notes = compare_states('a.pth', without('optimizer', 'param_schedulers'), toy('mvp_seg'))
    assert notes == [f'checkpoint a.pth has no state of {setting}: it starts anew, at iteration 2.'
                     for setting in ('optim_wrapper', 'param_scheduler')]
    assert compare_states('a.pth', without('param_schedulers'), Config(dict(param_scheduler=None))) == []


@pytest.mark.parametrize('hooks, count', [
    (None, 1), ([dict(type='TestHook')], 1), ([dict(type='mmengine.EMAHook')], 0)])
def test_averages_without_their_hook_are_said(hooks, count):
    notes = compare_states('a.pth', dict(WHOLE, ema_state_dict={}), Config(dict(custom_hooks=hooks)))
    assert len(notes) == count and all('training goes on from the averages' in note for note in notes)


@pytest.mark.parametrize('checkpoint, words', [
    (without('meta'), 'no meta.epoch, meta.iter: '), (without('message_hub'), 'no message_hub: '),
    (dict(weight=0), 'no state_dict, message_hub, meta.epoch'), (dict(WHOLE, meta=None), 'no meta.epoch')])
def test_weights_alone_are_not_resumed(checkpoint, words):
    with pytest.raises(UserError, match=f'a.pth cannot be resumed, because it has {words}.*load_from=a.pth without'):
        compare_states('a.pth', checkpoint, toy('mvp_seg'))
