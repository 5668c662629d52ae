"""labelme files: every shape is drawn as labelme's own shapes_to_label draws it (ImageDraw, with an outline)."""
import base64
from io import BytesIO

import numpy as np
import pytest
from fixtures.annotations import converted, drawn, named, shape, write_labelme, write_photo
from PIL import Image

from mmseg_mvp.errors import UserError

TRIANGLE = [[1.5, 1.2], [9.4, 2.7], [3.3, 8.6]]


def base64_png(array):
    file = BytesIO()
    Image.fromarray(array).save(file, 'PNG')
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture
def photo(tmp_path):
    return write_photo(tmp_path / 'photos' / 'a.png')


@pytest.mark.parametrize('kind, points, truth', [
    ('polygon', TRIANGLE, lambda: drawn('polygon', TRIANGLE, outline=1)),
    ('rectangle', [[8, 7.4], [2.6, 3]], lambda: drawn('rectangle', [[2.6, 3], [8, 7.4]], outline=1)),
    ('circle', [[6, 5], [9, 5]], lambda: drawn('ellipse', [[3, 2], [9, 8]], outline=1)),
    ('point', [[6, 5]], lambda: drawn('ellipse', [[1, 0], [11, 10]], outline=1)),
    ('line', [[0, 0], [11, 9]], lambda: drawn('line', [[0, 0], [11, 9]], width=10)),
    ('linestrip', TRIANGLE, lambda: drawn('line', TRIANGLE, width=10)),
    ('oriented_rectangle', [[2, 1], [8, 3], [7, 7], [1, 5]],
     lambda: drawn('polygon', [[2, 1], [8, 3], [7, 7], [1, 5]], outline=1)),
])
def test_shapes(tmp_path, photo, kind, points, truth):
    made = converted(tmp_path, write_labelme(tmp_path / 'a.json', [shape('tree', points, kind)]))
    expected = truth()
    assert 0 < expected.sum()
    np.testing.assert_array_equal(named(made, 'a') == 'tree', expected)
    assert made.kind == 'labelme' and made.classes == ['tree'] + ['background'] * (not expected.all())


def test_mask_shape(tmp_path, photo):
    mask = np.random.default_rng(0).random((4, 5)) > .5
    one = shape('tree', [[3.0, 2.0], [7.0, 5.0]], 'mask') | dict(mask=base64_png(mask.astype(np.uint8) * 255))
    expected = np.zeros((10, 12), bool)
    expected[2:6, 3:8] = mask
    np.testing.assert_array_equal(named(converted(tmp_path, write_labelme(tmp_path / 'a.json', [one])), 'a') == 'tree',
                                  expected)


def test_the_later_shape_covers_the_earlier_one(tmp_path, photo):
    box = shape('Baum 木', [[2, 2], [7, 7]], 'rectangle')
    cover = shape('house', [[5, 5], [9, 9]], 'rectangle')
    made = converted(tmp_path, write_labelme(tmp_path / 'a.json', [box, cover]))
    expected = np.full((10, 12), 'background', object)
    expected[2:8, 2:8] = 'Baum 木'
    expected[5:10, 5:10] = 'house'
    np.testing.assert_array_equal(named(made, 'a'), expected)
    assert made.classes == ['Baum 木', 'house', 'background']


def test_ignored_and_background_labels(tmp_path, photo):
    """``__ignore__`` marks ignored pixels; ``_background_`` is the background."""
    shapes = [shape('tree', [[0, 0], [11, 4]], 'rectangle'), shape('__ignore__', [[0, 0], [1, 1]], 'rectangle'),
              shape('_background_', [[5, 0], [6, 1]], 'rectangle')]
    made = converted(tmp_path, write_labelme(tmp_path / 'a.json', shapes))
    names = named(made, 'a')
    assert made.classes == ['background', 'tree']
    assert (names[:2, :2] == '').all() and (names[:2, 5:7] == 'background').all() and names[4, 4] == 'tree'
    assert (names[5:] == 'background').all()


def test_unlabelled_pixels_are_ignored_on_request(tmp_path, photo):
    made = converted(tmp_path, write_labelme(tmp_path / 'a.json', [shape('tree', TRIANGLE)]), unlabelled='ignore')
    expected = drawn('polygon', TRIANGLE, outline=1)
    names = named(made, 'a')
    assert made.classes == ['tree'] and made.ignore_index == 255
    np.testing.assert_array_equal(names, np.where(expected, 'tree', ''))


def test_embedded_photo_replaces_a_missing_one(tmp_path, photo):
    pixels = np.random.default_rng(5).integers(0, 256, (10, 12, 3), np.uint8)
    file = write_labelme(tmp_path / 'labels' / 'x.json', [shape('tree', TRIANGLE)], r'..\elsewhere\x.jpg',
                         imageData=base64_png(pixels))
    made = converted(tmp_path, file)
    np.testing.assert_array_equal(np.asarray(Image.open(made.root / 'photos/x.png')), pixels)
    assert made.train == ['x']


def test_photo_is_found_by_the_path_or_by_the_name_of_the_file(tmp_path, photo):
    write_photo(tmp_path / 'photos/sub/a.png', seed=1)
    write_photo(tmp_path / 'photos/b.jpg', seed=2)
    write_labelme(tmp_path / 'labels/1.json', [shape('tree', TRIANGLE)], '../photos/sub/a.png')
    write_labelme(tmp_path / 'labels/2.json', [shape('house', TRIANGLE)], r'..\photos\a.png')
    write_labelme(tmp_path / 'labels/b.json', [shape('boat', TRIANGLE)], 'renamed.png')
    made = converted(tmp_path, tmp_path / 'labels')
    assert made.train == ['a', 'b', 'sub/a'] and made.img_suffix == '.png'
    assert [named(made, stem)[3, 3] for stem in made.train] == ['house', 'boat', 'tree']


@pytest.mark.parametrize('shapes, told', [
    ([shape('tree', [[1, 1], [2, 2]])], 'polygon of 2 points'),
    ([shape('tree', [[1, 1]], 'circle')], 'circle of 1 points, class \'tree\': expected 2'),
    ([shape('tree', TRIANGLE, 'spline')], "kind 'spline'"),
    ([shape(7, TRIANGLE)], 'label 7'),
    ([shape(' ', TRIANGLE)], "label ' '"),
    ([shape('tree', [[1, 1], [2, 'x'], [3, 3]])], 'pairs of finite numbers'),
    ([shape('tree', [[1, 1], [2, float('nan')], [3, 3]])], 'pairs of finite numbers'),
    ([shape('tree', [[1, 1], [2e9, 5], [3, 3]])], 'far outside its photo of 12 x 10'),
    ([shape('tree', [[1, 1], [4, 4]], 'mask')], "None as 'mask'"),
    ([shape('tree', [[1, 1], [4, 4]], 'mask') | dict(mask='%%%')], 'A mask in labelme file'),
    ([shape('tree', [[1, 1], [4, 4]], 'mask') | dict(mask=base64_png(np.ones((2, 2), np.uint8)))],
     'mask of 2 x 2 pixels in a box of 4 x 4'),
    ([{'label': 'tree', 'shape_type': 'polygon'}], "nothing as 'points'"),
    (['tree'], "nothing as 'label'"),
    ({}, "{} as 'shapes'"),
])
def test_bad_shapes_are_told_in_one_sentence(tmp_path, photo, shapes, told):
    file = write_labelme(tmp_path / 'labels' / 'bad.json', shapes)
    with pytest.raises(UserError, match='bad.json') as error:
        converted(tmp_path, file)
    assert told in str(error.value) and '\n' not in str(error.value)
    assert not (tmp_path / 'out').exists() and sorted(path.name for path in tmp_path.iterdir()) == ['labels', 'photos']
