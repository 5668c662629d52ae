"""How the flags of tools/test.py change the config."""
import argparse

import pytest
from fixtures.tools import load_tool
from mmengine.config import Config

from mmseg_mvp.errors import UserError


@pytest.fixture(scope='module')
def tool():
    return load_tool('test.py')


@pytest.fixture
def cfg():
    return Config(dict(model=dict(type='Model'), default_hooks=dict(visualization=dict(type='SegVisualizationHook')),
                       test_dataloader=dict(dataset=dict(pipeline=['plain'])),
                       test_evaluator=[dict(type='Other'), dict(type='ZeroShotIoUMetric', unseen='voc20:unseen')]))


def test_pictures_have_the_metrics_unseen_classes_and_ignored_label(tool, cfg, tmp_path):
    tool.draw_pictures(cfg, argparse.Namespace(show=False, show_dir=str(tmp_path / 'new'), wait_time=2))
    assert cfg.default_hooks.visualization == dict(type='SideBySideVisualizationHook', out_dir=str(tmp_path / 'new'),
                                                   show=False, wait_time=2, unseen='voc20:unseen', ignore_index=255)


def test_show_needs_a_display(tool, cfg, monkeypatch):
    monkeypatch.setattr('sys.platform', 'linux')
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    with pytest.raises(UserError, match='--show needs a display.* --show-dir'):
        tool.draw_pictures(cfg, argparse.Namespace(show=True, show_dir=None, wait_time=2))


def test_predictions_are_written_by_a_hook(tool, cfg, tmp_path):
    tool.write_predictions(cfg, str(tmp_path))
    assert cfg.default_hooks.label_maps == dict(type='LabelMapHook', out_dir=str(tmp_path))
    (tmp_path / 'earlier.png').touch()
    with pytest.raises(UserError, match='--out .* exists and is not an empty folder'):
        tool.write_predictions(cfg, str(tmp_path))
