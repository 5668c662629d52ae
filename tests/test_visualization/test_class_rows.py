"""Rows of classes, read back from their pixels."""
import numpy as np
import pytest

from mmseg_mvp.models.utils.reasons import Reason
from mmseg_mvp.visualization import class_rows
from mmseg_mvp.visualization.class_rows import PANEL, PHOTO, ClassRow, draw_class_rows

LOWEST, HIGHEST = (68, 1, 84), (253, 231, 37)  # the ends of viridis
RED, CYAN, LILAC = (255, 0, 0), (0, 255, 255), (200, 100, 255)
IMAGE = np.full((40, 60, 3), RED, np.uint8)


def row(name, score, views=(), winners=None, colour=CYAN, x=30, y=20):
    reason = Reason(name, 0, 0., .25, x, y, 'other', .5, None)
    return ClassRow(reason, colour, np.full((4, 6), score), np.array([np.full((4, 6), one) for one in views]), winners)


def where(picture, colour):
    return (abs(picture.astype(int) - colour) <= 1).all(-1)


def area(picture, colour):
    return where(picture, colour).sum()


def test_the_photo_is_there_once_and_scores_share_one_scale():
    picture = draw_class_rows(IMAGE, [row('low', -3.), row('middle', 1.), row('high', 5.)], [])
    photo, panel = PHOTO * PHOTO * 2 // 3, PANEL * round(PANEL * 2 / 3)
    assert area(picture, RED) == pytest.approx(photo, rel=.03)
    for colour in (LOWEST, HIGHEST):
        assert area(picture, colour) == pytest.approx(panel, rel=.05)
    low, high = (np.argwhere(where(picture, colour)).mean(0)[0] for colour in (LOWEST, HIGHEST))
    assert low < high, 'rows in order'


def test_cosines_of_all_classes_share_another_scale():
    rows = [row('a', 1., (0., .2)), row('b', 2., (.1, .4))]
    picture, panel = draw_class_rows(IMAGE, rows, ['prompt 1', 'prompt 2']), PANEL * round(PANEL * 2 / 3)
    for colour in (LOWEST, HIGHEST):  # one score and one cosine each
        assert area(picture, colour) == pytest.approx(2 * panel, rel=.05)


def test_the_number_stands_at_the_best_place_of_photo_and_score():
    picture = draw_class_rows(IMAGE, [row('a', 1., colour=LILAC, x=50, y=10)], [])
    rows, columns = np.nonzero(where(picture, RED))
    top, left = rows.min(), columns.min()
    marks = np.argwhere(where(picture, LILAC)[:top + PHOTO * 2 // 3])
    centre = (marks.mean(0) - (top, left)) / (PHOTO * 2 / 3, PHOTO)
    assert centre == pytest.approx((10.5 / 40, 50.5 / 60), abs=.02)


def test_winners_have_the_colours_of_their_titles_and_the_global_prompt_has_none():
    winners = np.array([[1, 2, 2, -1]])
    rows = [row('a', 1., (0., .2, .4), winners)]
    plain = [row('a', 1., (0., .2, .4))]
    titles = ['global prompt', 'prompt 1', 'prompt 2']
    picture = draw_class_rows(IMAGE, rows, titles)
    first, second, third = class_rows.distinct_colours(3)
    assert picture.shape[1] > draw_class_rows(IMAGE, plain, titles).shape[1] + PANEL - 1
    assert area(picture, first) == 0
    assert area(picture, third) == pytest.approx(2 * area(picture, second), rel=.1)
    assert area(picture, class_rows.NO_WINNER) == pytest.approx(area(picture, second), rel=.1)


def test_facts_are_written_and_long_names_are_shortened(monkeypatch):
    written, drawable = [], class_rows.drawable
    monkeypatch.setattr(class_rows, 'drawable', lambda text: written.append(text) or drawable(text))
    draw_class_rows(IMAGE, [row('x' * 100, 1.), row('天空', 1.)], [])
    assert f'1  {"x" * 59}…' in written and '2  天空' in written
    assert {'no pixel', 'probability 0.250 at (30, 20)', "there 'other' has 0.500"} < set(written)
