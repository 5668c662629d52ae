"""Tests that read the features of a frozen CLIP from a folder."""
import shutil
from types import SimpleNamespace

import pytest
import torch
from fixtures.refusals import refused
from mmseg.registry import MODELS

from mmseg_mvp.engine import FeatureStoreHook


def build(clip: dict, **backbone) -> torch.nn.Module:
    head = dict(type='MultiPromptTextHead', clip=clip, train_classes=['cat', 'dog'], in_channels=32)
    return MODELS.build(dict(type='CLIPEncoderDecoder', clip=clip, decode_head=head,
                             backbone=dict(type='CLIPImageEncoder', **backbone))).eval()


@pytest.fixture
def runner(tiny_rn):
    """A runner with a model, and a test set of 40 images."""
    logged = []
    return SimpleNamespace(model=build(tiny_rn), logged=logged, logger=SimpleNamespace(info=logged.append),
                           test_dataloader=SimpleNamespace(dataset=range(40)),
                           val_dataloader=SimpleNamespace(dataset=range(40)))


def test_a_second_test_runs_no_tower(runner, tmp_path, monkeypatch):
    images = torch.randn(2, 3, 64, 64)
    expected = runner.model.low_res_logits(images)[0]
    hook = FeatureStoreHook(str(tmp_path / 'bank'), 'float32')
    hook.before_test(runner)
    first = runner.model.low_res_logits(images)[0]
    hook.after_test_iter(runner, 0, dict(inputs=images), [])
    hook.after_test(runner)
    size = sum(path.stat().st_size for path in (tmp_path / 'bank').glob('*/*'))
    assert f'about {19 * size / 2**20:.1f} MiB for 40 images' in runner.logged[0]  # 38 of 40 are left
    assert 'gave 0 and took in 2' in runner.logged[1]
    hook.before_val(runner)
    monkeypatch.setattr(runner.model.backbone, '_extract', lambda images: pytest.fail('the tower runs again'))
    later = runner.model.low_res_logits(images)[0]
    hook.after_val_iter(runner, 0, dict(inputs=images), [])
    hook.after_val(runner)
    assert 'gave 2 and took in 0' in runner.logged[2]
    assert torch.equal(first, later) and torch.allclose(first, expected, atol=1e-5)
    assert runner.model.backbone.store is None


def test_training_does_not_use_the_store(runner, tmp_path):
    hook = FeatureStoreHook(str(tmp_path))
    hook.before_val(runner)
    hook.after_val(runner)
    runner.model.extract_feat(torch.randn(1, 3, 64, 64))
    assert not list(tmp_path.glob('*/*'))


def test_a_full_disk_stops_after_the_first_batch(runner, tmp_path, monkeypatch):
    hook, images = FeatureStoreHook(str(tmp_path)), torch.randn(1, 3, 64, 64)
    hook.before_test(runner)
    runner.model.extract_feat(images)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: SimpleNamespace(free=1))
    refused(lambda: hook.after_test_iter(runner, 0, dict(inputs=images), []), str(tmp_path), '40 images', 'free disk')


def test_a_tower_that_learns_is_refused(runner, tiny_rn, tmp_path):
    runner.model = build(tiny_rn, frozen=False)
    refused(lambda: FeatureStoreHook(str(tmp_path)).before_test(runner), 'frozen', 'without --feature-bank')
    runner.model = torch.nn.Linear(2, 2)
    refused(lambda: FeatureStoreHook(str(tmp_path)).before_test(runner), 'Linear')


def test_another_clip_or_variant_is_refused(runner, tiny_rn, tiny_vit, tmp_path):
    hook = FeatureStoreHook(str(tmp_path))
    hook.before_test(runner)
    runner.model = build(tiny_rn, dense='kk')
    refused(lambda: hook.before_test(runner), "dense variant is 'maskclip' there and 'kk' here")
    runner.model = build(tiny_vit)
    refused(lambda: hook.before_test(runner), 'fingerprint')


def test_an_unknown_precision_is_refused():
    refused(lambda: FeatureStoreHook('bank', 'half'), "'half'", 'float16 or float32')
