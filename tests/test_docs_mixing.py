"""Each block of docs/mixing.md trains two iterations on the toy world; text heads then take other names."""
from importlib.util import find_spec
from pathlib import Path

import mmseg
import numpy as np
import pytest
import torch
from fixtures.docs import ROOT, blocks
from mmengine.config import Config

from mmseg_mvp import app
from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import class_names

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('mmseg_scope')]

RECIPES = {block.file: block.code for block in blocks(ROOT / 'docs' / 'mixing.md') if block.file}
NEEDS = {'mask2former_clip.py': ('mmdet', 'mmcv._ext'), 'san_names.py': ('mmcv._ext', )}
LACKING = [name for name, packages in NEEDS.items() if not all(map(find_spec, packages))]
TOY = ROOT / 'configs' / '_base_' / 'datasets' / 'toy_zs.py'


def on_toys(name, folder):
    """Return a recipe on toy data, 64 pixels and two iterations, with the toy's text tower and random image towers."""
    file = folder / name
    file.write_text(RECIPES[name].replace('mmsegmentation/', f'{Path(mmseg.__file__).parent}/.mim/'))
    cfg, toy = Config.fromfile(file), Config.fromfile(TOY)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'test_pipeline'):
        cfg[key] = toy[key]
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.batch_size, loader.dataset.num_images = 2, 2
    cfg.train_dataloader.dataset.metainfo = dict(classes=class_names('toy'))
    cfg.val_evaluator = cfg.test_evaluator = dict(type='ZeroShotIoUMetric', unseen='toy:unseen')
    cfg.train_cfg, cfg.param_scheduler = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2), []
    cfg.default_hooks.checkpoint, cfg.work_dir = dict(type='CheckpointHook', by_epoch=False, interval=2), str(folder)
    cfg.model.data_preprocessor.update(size=(64, 64), size_divisor=None)
    replace(cfg.model)
    cfg.model.pretrained = None
    return cfg


def replace(part):
    """Replace names, weights and numbers of classes in a part of a model's config."""
    for key, value in part.items():
        if key == 'clip':
            image = part.get('type') == 'CLIPImageEncoder'
            part[key] = dict(model=value['model']) if image else dict(model='toy-rn', weights='toy')
        elif key in ('num_classes', 'init_cfg', 'train_classes', 'vocabulary'):
            part[key] = dict(num_classes=20, init_cfg=None).get(key, class_names('toy'))
        elif key == 'class_weight':
            part[key] = [1.] * 20 + value[-1:]
        elif isinstance(value, dict):
            replace(value)
        elif isinstance(value, list):
            for one in value:
                replace(one) if isinstance(one, dict) else None


@pytest.mark.parametrize('name', [pytest.param(
    name, marks=[pytest.mark.skip(f'needs {NEEDS[name]}')] if name in LACKING else []) for name in RECIPES])
def test_each_recipe_trains(tmp_path, monkeypatch, name):
    cfg = on_toys(name, tmp_path)
    runner = app.build_runner(cfg, ['train_dataloader', 'val_dataloader'])
    if name == 'san_names.py':  # without pretrained weights, mmseg's own initialisation fails
        monkeypatch.setattr(runner, '_init_model_weights', lambda: [
            torch.nn.init.normal_(value, std=.02) for value in runner.model.parameters()])
    before = {key: value.clone() for key, value in runner.model.named_parameters() if value.requires_grad}
    runner.train()
    after = dict(runner.model.named_parameters())
    assert before and any((value.cpu() != after[key].cpu()).any() for key, value in before.items())
    assert (tmp_path / 'iter_2.pth').is_file()
    if 'train_classes' in RECIPES[name]:
        seg = OpenVocabInferencer(str(tmp_path / 'iter_2.pth'), device='cpu')
        assert seg(np.zeros((64, 64, 3), np.uint8), classes='bird, rocket').classes == ('bird', 'rocket')


@pytest.mark.parametrize('name', sorted({*LACKING} & {'mask2former_clip.py'}))
def test_a_recipe_says_which_packages_the_stack_lacks(tmp_path, name):
    cfg = Config(dict(on_toys_without_imports(name, tmp_path)))
    with pytest.raises(UserError, match='needs mmdet and an mmcv with compiled operations'):
        app.build_runner(cfg, ['train_dataloader'])


def on_toys_without_imports(name, folder):
    """Return the recipe without the import of the missing package, which mmengine reports itself."""
    RECIPES[name] = RECIPES[name].replace(", 'mmdet.models'", '')
    return on_toys(name, folder)
