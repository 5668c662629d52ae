"""Config of an adaptation: schedule, data, and the CLIP's own settings."""
import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from mmseg_mvp.app.adapting import LEARNING_RATE, adaptation_config, default_steps, set_steps
from mmseg_mvp.datasets.annotations import Converted

TOY, TOY_VIT = (dict(model=name, weights='toy') for name in ('toy-rn', 'toy-vit'))
PHOTOS = dict(model='ViT-B-16-quickgelu', weights='openai')


def config(tmp_path, clip=TOY, steps=60, ignored=255, classes=('house', 'tree')):
    data = Converted(tmp_path / 'data', 'masks', list(classes), ['a'], ['b'], '.jpg', ignored)
    return adaptation_config(data, clip, steps, 4, 3, tmp_path)


@pytest.mark.parametrize('photos, steps', [(1, 50), (2, 50), (5, 100), (20, 400), (23, 450), (1000, 450)])
def test_steps_grow_with_the_photos_within_bounds(photos, steps):
    assert default_steps(photos) == steps


@pytest.mark.parametrize('steps', [1, 2, 10, 60, 450])
def test_the_learning_rate_rises_then_falls_to_nearly_0(tmp_path, steps):
    cfg = config(tmp_path)
    set_steps(cfg, steps)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LEARNING_RATE)
    schedulers = [PARAM_SCHEDULERS.build(dict(one, optimizer=optimizer)) for one in cfg.param_scheduler]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(LEARNING_RATE, rel=0.02) and peak <= min(20, steps // 2)
    assert rates[:peak + 1] == sorted(rates[:peak + 1]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert steps < 10 or rates[-1] < 0.1 * LEARNING_RATE
    assert cfg.train_cfg.max_iters == cfg.default_hooks.checkpoint.interval == steps


@pytest.mark.parametrize('clip, size, context', [(TOY, (64, 64), 6), (TOY_VIT, (64, 64), 6), (PHOTOS, (512, 512), 16)])
def test_crops_and_prompts_are_those_of_the_clips_own_config(tmp_path, clip, size, context):
    cfg = config(tmp_path, clip)
    crop, = [step for step in cfg.train_pipeline if step['type'] == 'CountingRandomCrop']
    assert tuple(crop.crop_size) == tuple(cfg.model.data_preprocessor['size']) == size
    head = cfg.model.decode_head
    assert cfg.model.clip == clip and head.prompts.context_length == context and head.fusion == 'logsumexp'
    assert cfg.optim_wrapper.optimizer.lr == LEARNING_RATE and cfg.randomness.seed == 3
    assert cfg.feature_bank.augmentations == 4


def test_every_part_ignores_the_same_value(tmp_path):
    cfg = config(tmp_path, ignored=65535, classes=[f'name {i}' for i in range(300)])
    crop, = [step for step in cfg.train_pipeline if step['type'] == 'CountingRandomCrop']
    labels = [step for step in cfg.train_pipeline + cfg.test_pipeline if step['type'] == 'LoadCheckedAnnotations']
    found = [crop.ignore_index, cfg.model.decode_head.ignore_index, cfg.model.data_preprocessor.seg_pad_val,
             cfg.test_evaluator.ignore_index, *(step.ignore_index for step in labels)]
    assert found == [65535] * 6


def test_training_and_held_out_photos_are_apart(tmp_path):
    cfg = config(tmp_path)
    assert [cfg[f'{part}_dataloader'].dataset.ann_file for part in ('train', 'test')] == ['train.txt', 'val.txt']
    assert cfg.val_dataloader is None and cfg.val_cfg is None
