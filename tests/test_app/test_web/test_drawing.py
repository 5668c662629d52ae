"""Outlines that are drawn on a picture of the page."""
import base64
import io

import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.app.web.drawing import MOST_POINTS, outline_mask, read_outline, shown_picture
from mmseg_mvp.errors import UserError


def test_the_shown_picture_is_smaller_and_of_the_same_shape():
    image = np.zeros((1000, 2000, 3), np.uint8)
    image[:, 1000:] = 255, 0, 0
    kind, data = shown_picture(image).split(',')
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == 'data:image/jpeg;base64' and shown.size == (800, 400)
    assert np.abs(np.asarray(shown, int)[200, [100, 700]] - [[0, 0, 0], [255, 0, 0]]).max() < 5


def test_an_outline_is_filled_to_its_border():
    """A rectangle of 4 x 2 pixels in a picture 10 wide and 5 high."""
    mask = outline_mask([(.2, .2), (.59, .2), (.59, .59), (.2, .59)], (5, 10))
    expected = np.zeros((5, 10), np.uint8)
    expected[1:3, 2:6] = 255
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize('data', [None, [], 'abc', [[1]], [[0, 1]], [[-.1, 0]], [[float('nan'), 0]], [[.1, .1, .1]], {},
                                  [[0, 0], [0]], [['a', 'b']], [[.5, .5]] * (MOST_POINTS + 1)])
def test_strange_outlines_are_refused(data):
    with pytest.raises(UserError, match='draw it again'):
        read_outline(data)


def test_an_outline_is_read():
    assert read_outline([[0, .5], [.25, .999]]) == [(0, .5), (.25, .999)]
