"""Drawings of the toy world are told from photos, noise and gradients."""
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.datasets.toy.recognition import is_drawing
from mmseg_mvp.datasets.toy.scenes import SPLIT_SEEDS, draw_scene

PHOTOS = [Path(matplotlib.get_data_path()) / 'sample_data' / 'grace_hopper.jpg']
if found := find_spec('gradio'):
    PHOTOS += sorted((Path(found.origin).parent / 'media_assets' / 'images').glob('*.jp*g'))


def share(split, count, size=64):
    return np.mean([is_drawing(draw_scene(index, split, size).image) for index in range(count)])


@pytest.mark.parametrize('split', SPLIT_SEEDS)
def test_every_drawing_is_one(split):
    assert share(split, 40) == 1


@pytest.mark.slow
@pytest.mark.parametrize('split', SPLIT_SEEDS)
@pytest.mark.parametrize('size, count', [(64, 300), (96, 30), (256, 8), (700, 2)])
def test_every_drawing_of_any_size_is_one(split, size, count):
    assert share(split, count, size) == 1


@pytest.mark.parametrize('side', [512, 128, 64])
@pytest.mark.parametrize('path', PHOTOS, ids=lambda path: path.name)
def test_photos_are_none(path, side):
    photo = Image.open(path).convert('RGB')
    photo.thumbnail((side, side))
    assert not is_drawing(np.asarray(photo)) and not is_drawing(np.asarray(photo.convert('L').convert('RGB')))


def test_what_is_no_drawing():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :128]
    pictures = {
        'noise': rng.integers(0, 256, (96, 128, 3)), 'grey noise': 128 + rng.integers(-6, 7, (96, 128, 1)).repeat(3, 2),
        'gradient': np.stack([x, y, x + y], -1), 'one colour': np.full((96, 128, 3), 99), 'dot': np.zeros((1, 1, 3)),
        'without noise': np.asarray(Image.fromarray(draw_scene(1, size=128).image).reduce(2).resize((128, 128)))}
    assert [name for name, picture in pictures.items() if is_drawing(picture.astype(np.uint8))] == []
