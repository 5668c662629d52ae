"""Comparison of models on held-out photos: figures by hand, pictures, and a page with any names."""
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.app.adaptation_report import compare, table, write_page
from mmseg_mvp.datasets.annotations import Converted

NAMES = ['<b>cat</b>', 'dog & co', 'absent']
TRUTH = {'a': [[0, 0, 1, 255]], 'b c': [[1, 1, 1, 0]]}
FOUND = {'a': [[0, 1, 1, 1]], 'b c': [[1, 1, 0, 0]]}


@pytest.fixture
def data(tmp_path):
    for folder in ('photos', 'masks'):
        (tmp_path / 'data' / folder).mkdir(parents=True)
    for stem, labels in TRUTH.items():
        Image.fromarray(np.uint8(labels)).save(tmp_path / 'data/masks' / f'{stem}.png')
        Image.new('RGB', (4, 1), 'blue').save(tmp_path / 'data/photos' / f'{stem}.jpg')
    return Converted(tmp_path / 'data', 'masks', NAMES, [], list(TRUTH), '.jpg', 255)


def model(labels):
    """Return a model that finds the given labels."""
    return lambda photo, classes: SimpleNamespace(image=np.array(Image.open(photo)),
                                                  label_map=np.array(labels[photo.stem], np.int64))


def test_figures_are_those_counted_by_hand(data, tmp_path):
    exact = {stem: np.where(np.array(labels) == 255, 0, labels) for stem, labels in TRUTH.items()}
    result = compare({'before': model(FOUND), 'after': model(exact)}, data, tmp_path / 'out/pictures')
    # Class 0: labelled in 3 pixels, found in 3, both in 2. Class 1: labelled in 4, found in 4, both in 3.
    assert result.iou['before'].tolist()[:2] == pytest.approx([100 * 2 / 4, 100 * 3 / 5])
    assert result.mean('before') == pytest.approx(55) and result.mean('after') == 100
    assert table(result, NAMES) == [['class', 'before', 'after'], ['mean (mIoU)', '55.0', '100.0'],
                                    ['<b>cat</b>', '50.0', '100.0'], ['dog & co', '60.0', '100.0']]


def test_each_photo_has_a_picture_with_four_panels_and_the_page_shows_it(data, tmp_path):
    out = tmp_path / 'out'
    result = compare({'before': model(FOUND), 'after': model(FOUND)}, data, out / 'pictures')
    assert [path.name for path in result.pictures] == ['a.png', 'b c.png']
    for path in result.pictures:
        with Image.open(path) as picture:
            assert picture.width >= 4 * 4
    page = write_page(result, NAMES, ['Five & six.'], out).read_text('utf-8')
    assert '&lt;b&gt;cat' in page and '<b>' not in page and 'Five &amp; six.' in page
    assert 'src="pictures/b c.png"' in page and page.count('<tr>') == 4
