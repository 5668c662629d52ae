"""Runner of the tools."""
import argparse
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_mvp import app
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


def test_evaluators_are_listed_however_the_config_gives_them():
    one = dict(type='IoUMetric')
    assert app.evaluators(Config(dict(test_evaluator=one))) == [one]
    assert app.evaluators(Config(dict(test_evaluator=[one, one]))) == [one, one]
    assert app.evaluators(Config(dict(test_evaluator=None))) == []
