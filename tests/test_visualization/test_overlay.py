"""The overlay, read back pixel by pixel."""

import numpy as np
import pytest

from mmseg_mvp.errors import UserError
from mmseg_mvp.visualization import distinct_colours, draw_overlay
from mmseg_mvp.visualization.overlay import ink_on
from mmseg_mvp.visualization.places import place_boxes

NAMES = ('house', 'tree', 'bird', 'fish')
COLOURS = np.array([[200, 10, 10], [10, 200, 10], [10, 10, 200], [200, 200, 10]])
SIDE, FACTOR = 64, 5  # 64 pixels become 320


@pytest.fixture
def scene():
    """An image; house on the left, tree in the middle, on the right 255 above and a value beyond the names below."""
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[:, 24:48], labels[:32, 48:], labels[32:, 48:] = 1, 255, 9
    return image, labels


def enlarged(array: np.ndarray) -> np.ndarray:
    return array.repeat(FACTOR, 0).repeat(FACTOR, 1)


def colours_in(strip: np.ndarray) -> set[tuple]:
    """Colours that are no grey, as ink and paper are."""
    return {tuple(pixel) for pixel in strip.reshape(-1, 3).tolist() if len(set(pixel)) > 1}


def test_regions_are_mixed_with_their_colour(scene):
    image, labels = scene
    picture = draw_overlay(image, labels, NAMES, COLOURS, alpha=0.4)[:SIDE * FACTOR, :SIDE * FACTOR]
    for label, rows, columns in ((0, slice(1, 24), slice(1, 22)), (1, slice(40, 62), slice(26, 46))):
        expected = np.rint(0.6 * image[rows, columns] + 0.4 * COLOURS[label])
        found = picture[rows.start * FACTOR:rows.stop * FACTOR, columns.start * FACTOR:columns.stop * FACTOR]
        assert abs(found - enlarged(expected)).max() <= 1  # OpenCV rounds in float32


def test_unknown_pixels_are_left_as_they_are(scene):
    image, labels = scene
    picture = draw_overlay(image, labels, NAMES, COLOURS)[:SIDE * FACTOR, :SIDE * FACTOR]
    assert np.array_equal(picture[:, 48 * FACTOR:], enlarged(image[:, 48:]))


def test_regions_have_an_outline_of_the_pure_colour(scene):
    picture = draw_overlay(*scene, NAMES, COLOURS)
    assert (picture[:SIDE * FACTOR, 24 * FACTOR - 1] == COLOURS[0]).all()
    assert (picture[:SIDE * FACTOR, 24 * FACTOR] == COLOURS[1]).all()


def test_legend_lists_exactly_the_labels_present(scene):
    image, labels = scene
    assert colours_in(draw_overlay(image, labels, NAMES, COLOURS)[SIDE * FACTOR:]) == {(200, 10, 10), (10, 200, 10)}
    labels[:8, :8] = 3
    fields = colours_in(draw_overlay(image, labels, NAMES, COLOURS)[SIDE * FACTOR:])
    assert fields == {(200, 10, 10), (10, 200, 10), (200, 200, 10)}


def test_without_any_label_the_image_stays_alone(scene):
    image, labels = scene
    assert np.array_equal(draw_overlay(image, np.full_like(labels, 255), NAMES), enlarged(image))


def test_names_are_written_in_boxes_of_their_colour_where_there_is_room(scene):
    image, labels = scene
    labels[60:62, 2:4] = 3  # no room for a name, but in the legend
    picture = draw_overlay(image, labels, NAMES, COLOURS)[:SIDE * FACTOR, :SIDE * FACTOR]
    pure = {label: (picture == COLOURS[label]).all(-1).reshape(-1, SIDE * FACTOR) for label in (0, 1, 3)}
    assert pure[0][5:-20, 5:110].sum() > 300 and pure[1][5:-5, 125:235].sum() > 300
    assert pure[3].sum() < (2 * FACTOR)**2


@pytest.mark.parametrize('seed', range(5))
def test_boxes_lie_in_the_largest_region_of_their_class_and_clear_of_each_other(seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 6, (6, 8)).repeat(30, 0).repeat(40, 1)
    boxes = {label: (int(random.integers(8, 40)), int(random.integers(20, 120))) for label in range(6)}
    places, taken = place_boxes(labels, boxes), np.zeros(labels.shape, int)
    assert places
    for label, (top, left) in places.items():
        height, width = boxes[label]
        assert 0 <= top <= labels.shape[0] - height and 0 <= left <= labels.shape[1] - width
        inside = largest_by_flooding(labels == label)[top:top + height, left:left + width]
        assert inside.mean() >= 0.75
        taken[top:top + height, left:left + width] += 1
    assert taken.max() == 1


def largest_by_flooding(mask: np.ndarray) -> np.ndarray:
    """The largest 4-connected region of a mask, cell by cell of 30 x 40 pixels."""
    cells, best = mask[::30, ::40], set()
    for start in zip(*np.nonzero(cells)):
        region, front = {start}, [start]
        while front:
            row, column = front.pop()
            around = {(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)} - region
            new = [(r, c) for r, c in around if 0 <= r < len(cells) and 0 <= c < cells.shape[1] and cells[r, c]]
            region.update(new)
            front += new
        best = max(best, region, key=len)
    found = np.zeros(cells.shape, bool)
    found[tuple(zip(*best))] = True
    return found.repeat(30, 0).repeat(40, 1)


def test_the_larger_of_two_regions_has_the_name_and_large_maps_are_searched_coarsely():
    labels = np.zeros((1500, 2100), int)
    labels[100:300, 100:500], labels[700:1300, 900:1900] = 1, 1
    (top, left), = place_boxes(labels, {1: (40, 200)}).values()
    assert abs(top + 20 - 1000) < 20 and 900 <= left and left + 200 <= 1900


def test_ink_is_readable_on_every_colour():
    def luminance(colour):
        share = np.asarray(colour) / 255
        return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055)**2.4) @ (0.2126, 0.7152, 0.0722)

    for colour in distinct_colours(300):
        low, high = sorted((luminance(colour), luminance(ink_on(colour))))
        assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2, level AA


@pytest.mark.parametrize('size', [(1, 1), (1, 3000), (2500, 1), (3, 4)])
def test_odd_sizes(size):
    picture = draw_overlay(np.zeros((*size, 3), np.uint8), np.zeros(size, int), ['a thing of a rather long name'])
    assert picture.dtype == np.uint8 and max(picture.shape) <= 4096


def test_huge_images_are_reduced():
    image, labels = np.full((100, 8192, 3), 7, np.uint8), np.zeros((100, 8192), np.uint16)
    picture = draw_overlay(image, labels, NAMES, COLOURS, alpha=0.)
    assert picture.shape[1] == 4096 and (picture[10:20, 5:100] == 7).all()


def test_long_names_are_cut_and_the_legend_holds_them(scene):
    image, labels = scene
    strip = draw_overlay(image, labels, ['a rather long name of a class, ' * 9, 'tree'], COLOURS[:2])[SIDE * FACTOR:]
    assert strip.shape[1] > SIDE * FACTOR and (strip[:, -5:] == 255).all()
    assert draw_overlay(image, labels, ['x' * 10000, 'tree'], COLOURS[:2]).shape[1] < 1000


def test_three_thousand_classes(scene):
    image, _ = scene
    labels = np.full((SIDE, SIDE), 255)
    labels[:, 32:] = 2999
    names = [f'class {index}' for index in range(3000)]
    strip = draw_overlay(image, labels, names)[SIDE * FACTOR:]
    assert colours_in(strip) == {tuple(distinct_colours(3000)[2999].tolist())}, '255 is unknown'
    strip = draw_overlay(image, labels, names, ignore_index=65535)[SIDE * FACTOR:]
    assert len(colours_in(strip)) == 2, '255 is a class where another label is unknown'


def test_what_does_not_fit_is_told(scene):
    image, labels = scene
    with pytest.raises(UserError, match='expected .H, W, 3. and .H, W. of the same size'):
        draw_overlay(image, labels[1:], NAMES)
    with pytest.raises(UserError, match='3 colours for 4 names'):
        draw_overlay(image, labels, NAMES, COLOURS[:3])


IMAGE, LABELS = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.int64)


@pytest.mark.parametrize('labels', [LABELS - 5, LABELS + 2**32, LABELS.astype(np.uint64) + 2**63])
def test_labels_of_no_class_have_no_colour(labels):
    """Numbers of more than 32 bits must not become classes."""
    picture = draw_overlay(IMAGE, labels, ['a'])
    assert not picture.any()
