"""Folders of feature banks for the rows of a suite."""
from pathlib import Path

import pytest

from mmseg_mvp.app.suites.banks import bank_of
from mmseg_mvp.app.suites.missing import config_path

ROOT = Path('banks')


def folder(config: str, **options) -> Path | None:
    return bank_of(ROOT, config_path(f'configs/{config}.py'), options)


def test_one_tower_has_one_folder():
    first = folder('mvp_seg/voc_zs')
    assert first.parent == ROOT and first.name.startswith('RN50-quickgelu-')
    assert first == folder('mvp_seg/context_zs') == folder('mvp_seg/voc_zs', **{'model.decode_head.num_prompts': 2})
    others = {folder('mvp_seg/voc_zs_vit-b16'), folder('mvp_seg/voc_zs', **{'model.clip.weights': 'a.pt'}),
              folder('mvp_seg/voc_zs', **{'model.backbone.dense': 'kk'})}
    assert len(others) == 3 and first not in others


@pytest.mark.parametrize('config', ['mvp_seg_plus/voc_zs', 'lseg/ade20k_r101'])
def test_a_network_that_learns_has_none(config):
    assert folder(config) is None
