"""CVAT's "CVAT for images 1.1", by pixels that are counted by hand."""
import numpy as np
import pycocotools.mask
import pytest
from fixtures.annotations import converted, named, write_photo

from mmseg_mvp.errors import UserError

LABELS = ''.join(f'<label><name>{name}</name><color>#ff00{i}0</color><attributes></attributes></label>'
                 for i, name in enumerate(('tree', 'house', 'Gebäude')))


def write_cvat(path, shapes, name='a.png', size=(12, 10), labels=LABELS, start=''):
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n{start}<annotations>\n<version>1.1</version>\n<meta><job><id>3</id>'
        f'<labels>{labels}</labels></job><dumped>2024-05-01 10:00:00</dumped></meta>\n'
        f'<image id="0" name="{name}" width="{size[0]}" height="{size[1]}">{shapes}</image>\n</annotations>\n', 'utf-8')
    return path


@pytest.fixture(autouse=True)
def photo(tmp_path):
    return write_photo(tmp_path / 'photos/a.png')


def mask_xml(mask, left, top, label='tree'):
    """A mask as CVAT writes it: run lengths along the rows of its box, zeros first."""
    counts, last = [0], 0
    for value in mask.ravel().tolist():
        counts += [0] if value != last else []
        counts[-1] += 1
        last = value
    return (f'<mask label="{label}" source="manual" occluded="0" rle="{", ".join(map(str, counts))}" left="{left}" '
            f'top="{top}" width="{mask.shape[1]}" height="{mask.shape[0]}" z_order="0"></mask>')


def test_box_polygon_and_classes(tmp_path):
    shapes = ('<box label="Gebäude" source="manual" occluded="0" xtl="2.00" ytl="1.00" xbr="7.00" ybr="4.00" '
              'z_order="0"></box><polygon label="house" source="manual" occluded="0" '
              'points="0.00,5.00;12.00,5.00;12.00,10.00;0.00,10.00" z_order="0"><attribute name="a">b</attribute>'
              '</polygon><tag label="tree" source="manual"></tag>')
    made = converted(tmp_path, write_cvat(tmp_path / 'annotations.xml', shapes))
    expected = np.full((10, 12), 'background', object)
    expected[1:4, 2:7], expected[5:] = 'Gebäude', 'house'
    assert made.kind == 'CVAT' and made.classes == ['tree', 'house', 'Gebäude', 'background']
    np.testing.assert_array_equal(named(made, 'a'), expected)


def test_polygon_is_that_of_pycocotools(tmp_path):
    points = [(1.5, 0.3), (11.2, 4.4), (3.3, 9.1), (5.0, 4.0)]
    text = ';'.join(f'{x},{y}' for x, y in points)
    made = converted(tmp_path, write_cvat(tmp_path / 'a.xml', f'<polygon label="tree" points="{text}"></polygon>'))
    flat = [value for point in points for value in point]
    truth = pycocotools.mask.decode(pycocotools.mask.frPyObjects([flat], 10, 12))[..., 0] > 0
    np.testing.assert_array_equal(named(made, 'a') == 'tree', truth)


def test_mask(tmp_path):
    mask = np.random.default_rng(0).random((6, 5)) > .5
    made = converted(tmp_path, write_cvat(tmp_path / 'a.xml', mask_xml(mask, 7, 3)))
    expected = np.zeros((10, 12), bool)
    expected[3:9, 7:12] = mask
    np.testing.assert_array_equal(named(made, 'a') == 'tree', expected)


def test_z_order_decides_then_the_order_of_the_file(tmp_path):
    box = '<box label="{}" xtl="0" ytl="0" xbr="{}" ybr="4" z_order="{}"></box>'
    shapes = box.format('tree', 4, 2) + box.format('house', 8, 1) + box.format('Gebäude', 6, 1)
    made = converted(tmp_path, write_cvat(tmp_path / 'a.xml', shapes))
    assert named(made, 'a')[0].tolist() == ['tree'] * 4 + ['Gebäude'] * 2 + ['house'] * 2 + ['background'] * 4


def test_box_is_turned_clockwise_about_its_centre(tmp_path):
    """6 x 2 pixels about (6, 5): upright after 90 degrees; at 45 degrees, the corner at the right goes down."""
    box = '<box label="tree" xtl="3" ytl="4" xbr="9" ybr="6" rotation="{}"></box>'
    made = converted(tmp_path, write_cvat(tmp_path / 'a.xml', box.format('90.0')))
    expected = np.zeros((10, 12), bool)
    expected[2:8, 5:7] = True
    np.testing.assert_array_equal(named(made, 'a') == 'tree', expected)
    (tmp_path / 'out').rename(tmp_path / 'first')
    tilted = named(converted(tmp_path, write_cvat(tmp_path / 'a.xml', box.format('45'))), 'a') == 'tree'
    assert tilted[6, 7] and tilted[3, 4] and not tilted[6, 4] and not tilted[3, 7]


def test_ellipse_has_the_pixels_inside(tmp_path):
    shapes = '<ellipse label="tree" cx="6.0" cy="5.0" rx="5.0" ry="3.0" z_order="0"></ellipse>'
    found = named(converted(tmp_path, write_cvat(tmp_path / 'a.xml', shapes)), 'a') == 'tree'
    y, x = np.mgrid[:10, :12] + .5
    distance = ((x - 6) / 5)**2 + ((y - 5) / 3)**2
    assert found[distance < .9].all() and not found[distance > 1.1].any()


@pytest.mark.parametrize('shapes, more, told', [
    ('<points label="tree" points="1,1"></points>', {}, "kind 'points'"),
    ('<polygon points="1,1;2,2;3,1"></polygon>', {}, 'label None'),
    ('<polygon label="tree" points="1,1;2"></polygon>', {}, 'pairs of finite numbers'),
    ('<polygon label="tree" points="1,1;2,2"></polygon>', {}, 'outline of 2 points'),
    ('<box label="tree" xtl="one" ytl="0" xbr="1" ybr="1"></box>', {}, "'one' as xtl of <box>"),
    ('<box label="tree" xtl="-1e300" ytl="0" xbr="1" ybr="1"></box>', {}, 'far outside'),
    ('<mask label="tree" rle="5, 999999999999" left="0" top="0" width="5" height="2"></mask>', {}, 'run lengths'),
    ('<mask label="tree" rle="25" left="0" top="0" width="99999" height="99999"></mask>', {}, 'outside its photo'),
    ('<mask label="tree" rle="a" left="0" top="0" width="5" height="5"></mask>', {}, "run lengths 'a'"),
    ('<box label="tree" xtl="0" ytl="0" xbr="1" ybr="1"></box>', dict(size=(10, 12)), 'is of 10 x 12 pixels'),
    ('<box label="tree"', {}, 'cannot be read as XML'),
    ('<box label="&x;"></box>', dict(start='<!DOCTYPE a [<!ENTITY x "y">]>'), 'cannot be read as XML'),
    ('', {}, 'has no shape'),
])
def test_bad_files_are_told_in_one_sentence(tmp_path, shapes, more, told):
    with pytest.raises(UserError, match='bad.xml') as error:
        converted(tmp_path, write_cvat(tmp_path / 'bad.xml', shapes, **more))
    assert told in str(error.value) and '\n' not in str(error.value)


def test_tracks_of_videos_are_refused(tmp_path):
    (tmp_path / 'bad.xml').write_text('<annotations><track id="0" label="tree"></track></annotations>')
    with pytest.raises(UserError, match='bad.xml.*tracks of a video'):
        converted(tmp_path, tmp_path / 'bad.xml')
