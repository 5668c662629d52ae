"""Refused images, labels and names of all pictures."""
import math

import numpy as np
import pytest
import torch
from fixtures.refusals import refused

from mmseg_mvp.apis.images import allow_pixels, list_images, read_image
from mmseg_mvp.visualization import distinct_colours, draw_overlay, draw_presence, draw_views

NAN, INF = math.nan, math.inf


IMAGE, LABELS = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.int64)


MAPS = np.ones((3, 4, 5))


OVERLAYS = [
    (IMAGE / 2, LABELS, ['a']), (IMAGE.astype(np.uint16), LABELS, ['a']), (IMAGE[..., 0], LABELS, ['a']),
    (IMAGE[:0], LABELS[:0], ['a']), (None, None, ['a']), (IMAGE, LABELS / 2, ['a']), (IMAGE, LABELS * NAN, ['a']),
    (IMAGE, LABELS, None), (IMAGE, LABELS, [3]), (IMAGE, LABELS, 'ab'), (IMAGE, LABELS, ['a'], [(300, 0, 0)]),
    (IMAGE, LABELS, ['a'], [(-1, 0, 0)]), (IMAGE, LABELS, ['a'], [(NAN, 0, 0)]), (IMAGE, LABELS, ['a'], [3]),
    (IMAGE, LABELS, ['a'], ['red']), (IMAGE, LABELS, ['a'], [(0, 0)]), (IMAGE, LABELS, ['a'], None, 2),
    (IMAGE, LABELS, ['a'], None, -.1), (IMAGE, LABELS, ['a'], None, NAN), (IMAGE, LABELS, ['a'], None, 'x')]


VIEWS = [(IMAGE, MAPS[0], 'a'), (IMAGE, MAPS[:0], 'a'), (IMAGE, MAPS[:, :0], 'a'), (IMAGE, MAPS * NAN, 'a'),
         (IMAGE, MAPS * INF, 'a'), (IMAGE, 'abc', 'a'), (IMAGE, None, 'a'), (None, MAPS, 'a'), (IMAGE[:0], MAPS, 'a'),
         (IMAGE[..., 0], MAPS, 'a'), (IMAGE * 2.5, MAPS, 'a'), (IMAGE, MAPS, 'a', ['one'])]


PRESENCES = [(['a'], [NAN]), (['a'], [INF]), (['a'], [2]), (['a'], [-1]), (['a'], ['x']), (['a'], None), (None, [1]),
             ([], []), (['a'], [.5, .5]), (['a'], [.5], 0), (['a'], [.5], 'x'), (['a'], [.5], 1.5)]


@pytest.mark.parametrize('call, arguments', [
    *[(draw_overlay, row) for row in OVERLAYS], *[(draw_views, row) for row in VIEWS],
    *[(draw_presence, row) for row in PRESENCES],
    *[(distinct_colours, [value]) for value in (-1, 1.5, 'a', None, NAN, True)],
    *[(allow_pixels, [value]) for value in (0, -1, 1.5, 'a', None, NAN, True)],
    *[(list_images, [value]) for value in ('nowhere', None, 3, 'x' * 5000, '\0', __file__)],
    *[(read_image, [value]) for value in (
        None, 3, b'x.png', [], '', '\0', '\ud800.png', 'x' * 5000 + '.png', '.', IMAGE * 1j, IMAGE[:0],
        IMAGE[None], IMAGE[..., :2], np.array('a'), torch.zeros(3, 4, 3))]])
def test_refused(call, arguments):
    refused(lambda: call(*arguments))
