"""Settings of ``feature_bank`` in a config and on the command line, and the change of a runner."""
import types

import pytest
import torch
from fixtures.banks import bank_config
from fixtures.refusals import refused
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_mvp import app
from mmseg_mvp.datasets import FeatureBankDataset


def config(**settings) -> Config:
    return Config(dict(settings))


def test_the_flag_sets_the_folder_and_keeps_other_settings():
    cfg = config(feature_bank=dict(dir='a', augmentations=2))
    app.set_feature_bank(cfg, None)
    assert cfg.feature_bank.dir == 'a'
    app.set_feature_bank(cfg, 'b')
    assert cfg.feature_bank == dict(dir='b', augmentations=2)
    cfg = config()
    app.set_feature_bank(cfg, None)
    assert 'feature_bank' not in cfg
    app.set_feature_bank(cfg, 'b')
    assert cfg.feature_bank == dict(dir='b')


@pytest.mark.parametrize(('settings', 'words'), [
    ('bank', "feature_bank is 'bank': expected a dict"), ([], 'feature_bank is []'), ({}, 'dir is None'),
    (dict(augmentations=2), 'dir is None'), (dict(dir=3), 'dir is 3'), (dict(dir=''), "dir is ''"),
    (dict(dir='a', crops=2), "has 'crops'")])
def test_wrong_settings_are_refused(settings, words):
    refused(lambda: app.set_feature_bank(config(feature_bank=settings), None), words)


def test_a_runner_trains_from_the_bank_and_keeps_its_config(mmseg_scope, tiny_vit, tmp_path):
    cfg = bank_config(tiny_vit)
    cfg.feature_bank = dict(dir=str(tmp_path / 'bank'), augmentations=1)
    torch.manual_seed(0)
    loader = dict(cfg.train_dataloader)
    runner = types.SimpleNamespace(cfg=cfg, model=MODELS.build(cfg.model), _train_dataloader=loader)
    app.use_feature_bank(runner)
    assert isinstance(loader['dataset'], FeatureBankDataset) and loader['dataset'].files.augmentations == 1
    assert cfg.train_dataloader.dataset.type == 'ToySceneDataset' and cfg.feature_bank.dir == str(tmp_path / 'bank')
    untouched = types.SimpleNamespace(cfg=bank_config(tiny_vit))
    app.use_feature_bank(untouched)
