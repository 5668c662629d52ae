"""The size of the input, against mmcv's own resize."""
import json

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import TRANSFORMS

from mmseg_mvp.apis.export.input_size import fed_size, hint, input_size

pytestmark = pytest.mark.usefixtures('mmseg_scope')

PHOTOS = [(4000, 3000), (640, 480), (50, 900), (333, 334), (64, 64)]  # width, height


def config(*steps, where='test_pipeline'):
    steps = [dict(type='LoadImageFromFile'), *map(dict, steps), dict(type='PackSegInputs')]
    if where == 'test_pipeline':
        return Config(dict(test_pipeline=steps))
    return Config(dict(test_dataloader=dict(dataset=dict(pipeline=steps))))


@pytest.mark.parametrize('step, rule', [
    (dict(type='Resize', scale=(2048, 512), keep_ratio=True), dict(fit=[2048, 512])),
    (dict(type='mmseg.Resize', scale=(64, 200), keep_ratio=True), dict(fit=[200, 64])),
    (dict(type='Resize', scale=(417, 300)), dict(stretch=[417, 300])),
    (dict(type='Resize', scale=80, keep_ratio=False), dict(stretch=[80, 80]))])
@pytest.mark.parametrize('where', ['test_pipeline', 'test_dataloader'])
def test_the_size_is_that_of_mmcv(step, rule, where):
    found = input_size(config(step, where=where))
    assert found == rule and json.loads(json.dumps(found)) == rule
    resize = TRANSFORMS.build(dict(step, type='Resize'))
    for width, height in PHOTOS:
        shape = resize(dict(img=np.zeros((height, width, 3), np.uint8)))['img'].shape
        assert fed_size(found, width, height) == (shape[1], shape[0])


@pytest.mark.parametrize('steps', [
    [dict(type='Resize', scale_factor=0.5)], [dict(type='ResizeShortestEdge', scale=300, max_size=900)],
    [dict(type='Resize', scale=(64, 64), backend='pillow')],
    [dict(type='Resize', scale=(64, 64), interpolation='nearest')],
    [dict(type='Resize', scale=(64, 64)), dict(type='ResizeToMultiple', size_divisor=32)]])
def test_other_pipelines_are_told_by_their_steps(steps):
    rule = input_size(config(*steps))
    assert rule == dict(steps=steps) and fed_size(rule, 4000, 3000) is None and str(steps) in hint(rule)


def test_photos_as_they_are_and_fixed_sizes():
    assert input_size(config()) == {} == input_size(Config({})) and fed_size({}, 30, 20) == (30, 20)
    assert 'at its own size' in hint({})
    rule = input_size(config(dict(type='Resize', scale=(2048, 512), keep_ratio=True)), (1, 96, 64))
    assert rule == dict(stretch=[64, 96]) and '64 x 96 pixels (width x height)' in hint(rule)


def test_the_hint_gives_the_size_of_a_photo():
    sentence = hint(dict(fit=[2048, 512]))
    assert 'at most 2048 pixels along the longer and 512 along the shorter side' in sentence
    assert 'a photo of 4000 x 3000 pixels becomes 683 x 512' in sentence
