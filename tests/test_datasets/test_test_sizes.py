"""Sizes of published test sets."""
import re
from pathlib import Path

import pytest

from mmseg_mvp.datasets.test_sizes import TEST_IMAGES, other_size
from mmseg_mvp.utils.config import read_config, type_name

ROOT = Path(__file__).parents[2]
SETS = re.findall(r'^\| `(\w+)` \|.*\| ([\d,]+) \| \d+ \|$', (ROOT / 'docs/training_free.md').read_text(), re.MULTILINE)


@pytest.mark.parametrize('name, images', SETS)
def test_sizes_are_those_of_the_protocol(name, images):
    cfg = read_config(str(ROOT / f'configs/training_free/{name}_naclip.py'))
    kind, images = type_name(cfg.test_dataloader.dataset), int(images.replace(',', ''))
    assert other_size(kind, images) is None and TEST_IMAGES[kind][0] == images
    assert other_size(kind, images // 2) == other_size(kind, images + 7) == images


def test_unknown_sets_and_counts_are_not_judged():
    assert len(SETS) == 10
    assert other_size('ToySceneDataset', 3) == other_size(None, 3) == other_size('ADE20KDataset', None) is None
    assert other_size('PascalContextDataset59', 5104) is None  # as papers count them
