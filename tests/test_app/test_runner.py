"""Runner of the tools."""
import argparse
import types
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_mvp import app
from mmseg_mvp.app import runner
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
    monkeypatch.setattr(runner.Runner, 'from_cfg', lambda cfg: types.SimpleNamespace(logger=logger))
    monkeypatch.setattr(runner.without_cuda, 'adapt', lambda cfg: ['adapted'])
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type='BaseSegDataset', data_root=str(tmp_path), metainfo=dict(classes=['sky']),
        data_prefix=dict(img_path='photos', seg_map_path='masks')))))
    app.build_runner(cfg, ['train_dataloader'])
    assert 'uses 2 of the 3 images' in warnings[0] and warnings[1:] == ['adapted']
    (tmp_path / 'masks/1.png').unlink()
    with pytest.raises(UserError, match='1 of the 2 masks'):
        app.build_runner(cfg, ['train_dataloader'])
    app.build_runner(cfg, ['train_dataloader'], skip_data_check=True)


def test_evaluators_are_listed_however_the_config_gives_them():
    one = dict(type='IoUMetric')
    assert app.evaluators(Config(dict(test_evaluator=one))) == [one]
    assert app.evaluators(Config(dict(test_evaluator=[one, one]))) == [one, one]
    assert app.evaluators(Config(dict(test_evaluator=None))) == []
