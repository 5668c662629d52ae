"""Runner of the tools."""
import argparse
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import HOOKS
from PIL import Image

from mmseg_mvp import app
from mmseg_mvp.app import runner
from mmseg_mvp.app.runner import HOOK_TYPES, add_hooks, skip_unlabelled
from mmseg_mvp.errors import UserError

ROOT = Path(__file__).parents[2]


TOY = str(ROOT / 'configs/mvp_seg/toy_zs.py')


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    app.add_common_arguments(parser)
    return parser.parse_args(arguments)


def test_load_from_must_be_there(tmp_path):
    cfg = app.load_config(parse(TOY, '--cfg-options', f'load_from={tmp_path}/a b.pth'))
    with pytest.raises(UserError, match='load_from .*/a b.pth does not exist'):
        app.build_runner(cfg, ['train_dataloader'])


def test_data_check_is_logged_or_skipped(tmp_path, monkeypatch):
    """The Runner is replaced, so that the test ends before a model is built."""
    for index in range(2):
        for folder, suffix in (('photos', '.jpg'), ('masks', '.png')):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / folder / f'{index}{suffix}')
    (tmp_path / 'photos/2.JPG').touch()
    warnings = []
    logger = types.SimpleNamespace(warning=warnings.append)
    monkeypatch.setattr(runner.Runner, 'from_cfg', lambda cfg: types.SimpleNamespace(
        logger=logger, model=torch.nn.Identity()))
    monkeypatch.setattr(runner.without_cuda, 'adapt', lambda cfg: ['adapted'])
    cfg = Config(dict(train_cfg=dict(type='IterBasedTrainLoop', max_iters=1), train_dataloader=dict(dataset=dict(
        type='BaseSegDataset', data_root=str(tmp_path), metainfo=dict(classes=['sky']),
        data_prefix=dict(img_path='photos', seg_map_path='masks')))))
    app.build_runner(cfg, ['train_dataloader'])
    assert 'uses 2 of the 3 images' in warnings[0] and warnings[-1] == 'adapted'
    (tmp_path / 'masks/1.png').unlink()
    with pytest.raises(UserError, match='1 of the 2 masks'):
        app.build_runner(cfg, ['train_dataloader'])
    app.build_runner(cfg, ['train_dataloader'], skip_data_check=True)


def test_evaluators_are_listed_however_the_config_gives_them():
    one = dict(type='IoUMetric')
    assert app.evaluators(Config(dict(test_evaluator=one))) == [one]
    assert app.evaluators(Config(dict(test_evaluator=[one, one]))) == [one, one]
    assert app.evaluators(Config(dict(test_evaluator=None))) == []
    assert app.evaluators(Config(dict(test_evaluator=dict(type='Evaluator', metrics=[one])))) == [one]


@pytest.mark.usefixtures('mmseg_scope')
class TestHooks:

    def test_those_of_a_replaced_list_are_added_with_a_note(self):
        cfg = Config(dict(custom_hooks=[dict(type='EMAHook'), dict(type='mmseg.IterationSeedHook')]))
        assert add_hooks(cfg) == [
            'custom_hooks of the config lacks ClassListCheckHook, LabelCheckHook, TextOncePerStepHook, LoopEndHook: '
            'added.']
        assert [hook.type for hook in cfg.custom_hooks] == [
            'EMAHook', 'mmseg.IterationSeedHook', 'ClassListCheckHook', 'LabelCheckHook', 'TextOncePerStepHook',
            'LoopEndHook']

    def test_a_config_without_hooks_gets_all(self):
        cfg = Config({})
        assert len(add_hooks(cfg)) == 1 and [hook.type for hook in cfg.custom_hooks] == list(HOOK_TYPES)

    def test_our_runtime_has_all(self):
        cfg = Config.fromfile(TOY)
        hooks = cfg.custom_hooks
        assert add_hooks(cfg) == [] and cfg.custom_hooks == hooks

    def test_hooks_among_the_default_ones_and_classes_count(self):
        cfg = Config(dict(default_hooks=dict(seed=dict(type='IterationSeedHook'), timer=None),
                          custom_hooks=[dict(type=HOOKS.get(name)) for name in HOOK_TYPES[1:]]))
        assert add_hooks(cfg) == []


@pytest.mark.usefixtures('mmseg_scope')
@pytest.mark.parametrize('evaluator, expected', [
    (dict(type='IoUMetric'), dict(type='LabelledEvaluator', metrics=dict(type='IoUMetric'))),
    ([dict(type='IoUMetric')], dict(type='LabelledEvaluator', metrics=[dict(type='IoUMetric')])),
    (dict(metrics=[]), dict(type='LabelledEvaluator', metrics=[])),
    (dict(type='mmengine.Evaluator', metrics=[]), dict(type='LabelledEvaluator', metrics=[])),
    (dict(type='MyEvaluator', metrics=[]), dict(type='MyEvaluator', metrics=[])), (None, None)])
def test_evaluators_skip_images_without_masks(evaluator, expected):
    cfg = Config(dict(val_evaluator=evaluator))
    skip_unlabelled(cfg)
    assert cfg.val_evaluator == expected and 'test_evaluator' not in cfg
