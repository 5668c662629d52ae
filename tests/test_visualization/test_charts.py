"""Bars and views, read back from their pixels."""
import numpy as np
import pytest

from mmseg_mvp.errors import UserError
from mmseg_mvp.visualization import charts, draw_presence, draw_views
from mmseg_mvp.visualization.palette import distinct_colours

BLUE = (0, 114, 178)
LOWEST, HIGHEST = (68, 1, 84), (253, 231, 37)  # the ends of viridis


def where(picture: np.ndarray, colour) -> np.ndarray:
    return (abs(picture.astype(int) - colour) <= 1).all(-1)  # libraries round differently


def bar_lengths(picture: np.ndarray) -> list[int]:
    """Lengths in px of the blue bars, from above."""
    lengths = where(picture, BLUE).sum(1)
    starts = np.flatnonzero(np.diff(np.r_[0, lengths > 0]) == 1)
    ends = np.flatnonzero(np.diff(np.r_[lengths > 0, 0]) == -1)
    return [int(np.median(lengths[start:end + 1])) for start, end in zip(starts, ends)]


@pytest.fixture
def written(monkeypatch):
    """Names in the order in which they are written."""
    names, words = [], charts.words
    monkeypatch.setattr(charts, 'words', lambda text: names.append(text) or words(text))
    return names


def test_bars_are_as_long_as_the_scores_and_the_likeliest_is_first(written):
    lengths = bar_lengths(draw_presence(['a', 'b', 'c', 'd'], [0.25, 1., 0.5, 0.75]))
    assert written == ['b', 'd', 'c', 'a']
    assert np.allclose(np.array(lengths) / lengths[0], [1, 0.75, 0.5, 0.25], atol=0.01)


def test_only_the_first_are_drawn(written):
    scores = np.linspace(0.1, 0.9, 150)
    assert len(bar_lengths(draw_presence([f'class {index}' for index in range(150)], scores))) == 20
    assert written == [f'class {index}' for index in range(149, 129, -1)]
    assert len(bar_lengths(draw_presence(['a', 'b'], [0.3, 0.2], top=1))) == 1


def test_views_share_one_colour_scale():
    image = np.full((40, 60, 3), (255, 0, 0), np.uint8)
    picture = draw_views(image, np.stack([np.full((4, 6), -0.1), np.full((4, 6), 0.3)]), 'sky')
    panel = where(picture, (255, 0, 0)).sum()
    assert panel > 10000
    for colour in (LOWEST, HIGHEST):
        assert where(picture, colour).sum() == pytest.approx(panel, rel=0.05)
    left, right = (np.flatnonzero(where(picture, colour).any(0)).mean() for colour in (LOWEST, HIGHEST))
    assert left < right


def test_a_view_lies_as_the_image_does():
    maps = np.zeros((1, 2, 2))
    maps[0, 0, 1] = 1  # above, on the right
    picture = draw_views(np.zeros((64, 64, 3), np.uint8), maps, 'x')[:, :-100]  # without the colour bar
    low, high = (np.argwhere(where(picture, colour)).mean(0) for colour in (LOWEST, HIGHEST))
    assert high[0] < low[0] and high[1] > low[1]


def test_the_winner_at_each_pixel_has_a_colour():
    winners = np.full((8, 10), -1)
    winners[:, :6], winners[:, 6:8] = 0, 2
    picture = draw_views(np.zeros((80, 100, 3), np.uint8), np.random.rand(3, 4, 4), 'x', winners=winners)
    first, absent, third = distinct_colours(3)
    areas = [where(picture, colour).sum() for colour in (first, absent, third, (235, 235, 235))]
    assert areas[0] > 1000 and areas[1] < 20
    assert areas[2] == pytest.approx(areas[3], rel=0.2) and areas[0] == pytest.approx(3 * areas[3], rel=0.1)
    plain = draw_views(np.zeros((80, 100, 3), np.uint8), np.random.rand(3, 4, 4), 'x')
    assert picture.shape[1] > plain.shape[1], 'a panel more'


def test_many_views_wrap_and_titles_are_written(written):
    image, titles = np.zeros((64, 64, 3), np.uint8), [f'prompt {index}' for index in range(6)]
    two_rows = draw_views(image, np.random.rand(6, 4, 4), 'a $name$ with_signs^', titles)
    assert written == [*titles, 'a $name$ with_signs^']
    assert two_rows.shape[0] > 1.6 * draw_views(image, np.random.rand(3, 4, 4), 'x').shape[0]


def test_what_does_not_fit_is_told():
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UserError, match='expected .k, h, w. with a map for each prompt'):
        draw_views(image, np.zeros((4, 4)), 'x')
    with pytest.raises(UserError, match='2 titles for 1 maps'):
        draw_views(image, np.zeros((1, 4, 4)), 'x', ['a', 'b'])
    with pytest.raises(UserError, match='2 names and scores of shape .3,.'):
        draw_presence(['a', 'b'], [0.1, 0.2, 0.3])
    with pytest.raises(UserError, match='0 names'):
        draw_presence([], [])


def test_the_legend_of_winners_fits_into_the_picture():
    maps, winners = np.random.default_rng(0).random((5, 8, 8)), np.arange(64).reshape(8, 8) % 5
    picture = draw_views(np.full((64, 64, 3), 128, np.uint8), maps, 'boat', winners=winners)
    assert picture[-4:].min() > 250 and picture[:, :2].min() > 250  # nothing is cut at the bottom and the left
