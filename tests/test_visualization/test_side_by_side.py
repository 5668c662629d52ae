"""The drawn page, read back pixel by pixel."""
import numpy as np
import pytest

from mmseg_mvp.visualization.palette import distinct_colours
from mmseg_mvp.visualization.side_by_side import GAP, ROW, side_by_side

CLASSES = ('house', 'tree', 'bird')
PALETTE = [(200, 10, 10), (10, 200, 10), (10, 10, 200)]
SIDE, ENLARGED = 64, 256


@pytest.fixture
def scene():
    """A 64 x 64 image, its truth (house left, ignored right) and prediction (tree left, bird right)."""
    image = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    truth, prediction = np.zeros((SIDE, SIDE), int), np.ones((SIDE, SIDE), int)
    truth[:, 32:], prediction[:, 32:] = 255, 2
    return image, prediction, truth


def panel(page: np.ndarray, column: int) -> np.ndarray:
    left = GAP + column * (ENLARGED + GAP)
    return page[ROW:ROW + ENLARGED, left:left + ENLARGED]


def has_colour(region: np.ndarray, colour) -> bool:
    return bool((region == colour).all(-1).any())


def test_small_image_is_enlarged_by_nearest_neighbour(scene):
    image, prediction, truth = scene
    page = side_by_side(image, prediction, truth, CLASSES, PALETTE)
    assert np.array_equal(panel(page, 0), np.kron(image, np.ones((4, 4, 1), np.uint8)))


def test_truth_is_coloured_and_ignored_pixels_are_hatched(scene):
    page = panel(side_by_side(*scene, CLASSES, PALETTE), 1)
    assert (page[:, :128] == PALETTE[0]).all()
    ignored = page[:, 128:]
    assert len(np.unique(ignored.reshape(-1, 3), axis=0)) == 2
    assert (ignored == ignored[..., :1]).all(), 'hatching is grey'


def test_prediction_is_pale_where_it_is_not_scored(scene):
    image, prediction, truth = scene
    titles_of_three = side_by_side(image, prediction, np.zeros_like(truth), CLASSES, PALETTE)
    assert (panel(titles_of_three, 2)[:, 128:] == PALETTE[2]).all()
    page = panel(side_by_side(image, prediction, truth, CLASSES, PALETTE), 2)
    assert (page[:, :128] == PALETTE[1]).all()
    assert (page[:, 128:] == [int(0.3 * channel + 0.7 * 255) for channel in PALETTE[2]]).all()


def test_legend_holds_the_scored_classes_only(scene):
    legend = side_by_side(*scene, CLASSES, PALETTE)[ROW + ENLARGED:]
    assert has_colour(legend, PALETTE[0]) and has_colour(legend, PALETTE[1])
    assert not has_colour(legend, PALETTE[2]), 'bird is predicted on ignored pixels alone'


def test_unseen_classes_are_marked(scene):
    plain, marked, absent = (side_by_side(*scene, CLASSES, PALETTE, unseen) for unseen in ([], ['tree'], ['bird']))
    assert not np.array_equal(plain, marked)
    assert np.array_equal(plain, absent), 'bird is not in the legend, so there is nothing to mark'


def test_without_truth_there_are_two_panels(scene):
    image, prediction, _ = scene
    page = side_by_side(image, prediction, None, CLASSES, PALETTE)
    assert page.shape[1] == GAP + 2 * (ENLARGED + GAP)
    assert (panel(page, 1)[:, 128:] == PALETTE[2]).all()


def test_large_image_is_reduced_and_long_legend_wraps():
    labels = np.arange(600 * 900).reshape(600, 900) % 40
    names, image = [f'a class of name {i}' for i in range(40)], np.zeros((600, 900, 3), np.uint8)
    page = side_by_side(image, labels, labels, names, distinct_colours(40))
    assert page.shape[1] == GAP + 3 * (768 + GAP)
    assert page.shape[0] > ROW + 512 + 2 * ROW
    assert all(has_colour(page[ROW + 512:], colour) for colour in distinct_colours(40))


def test_a_strip_is_not_enlarged_beyond_a_page():
    labels = np.zeros((2, 1500), int)
    page = side_by_side(np.zeros((2, 1500, 3), np.uint8), labels, labels, CLASSES, PALETTE)
    assert page.shape[1] == GAP + 3 * (1500 + GAP)
