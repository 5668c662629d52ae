"""Label Studio's JSON: brush masks against an encoder of the published bit format, other shapes by hand."""
import numpy as np
import pytest
from fixtures.annotations import converted, named, pack_runs, write_json, write_photo

from mmseg_mvp.datasets.annotations.runs import from_brush
from mmseg_mvp.errors import UserError

SIZE = dict(original_width=20, original_height=10, image_rotation=0)


def brush(label, mask, **more):
    """A brush result: RGBA words, the mask in alpha."""
    words = np.zeros((*mask.shape, 4), int)
    words[mask] = (30, 144, 255, 255)
    return dict(id='r1', type='brushlabels', from_name='tag', to_name='image', **SIZE,
                value=dict(format='rle', rle=pack_runs(words.ravel().tolist()), brushlabels=[label])) | more


def result(kind, label, **value):
    return dict(id='r2', type=kind, from_name='tag', to_name='image', **SIZE, value={**value, kind: [label]})


def tasks(*results, image='/data/upload/3/1a2b3c4d-a.png'):
    return [dict(id=11, data=dict(image=image), predictions=[], annotations=[
        dict(id=5, was_cancelled=False, ground_truth=False, result=list(results))])]


@pytest.fixture(autouse=True)
def photo(tmp_path):
    return write_photo(tmp_path / 'photos/a.png', (20, 10))


@pytest.mark.parametrize('seed', range(12))
def test_brush(tmp_path, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((10, 20)) > [.5, .97, .03, 1, 0][seed % 5]
    words = np.zeros((10, 20, 4), int)
    words[mask] = rng.integers(1, 256, (mask.sum(), 4))  # runs of one word, so literals
    np.testing.assert_array_equal(from_brush(pack_runs(words.ravel().tolist()), (10, 20), ''), mask)


def test_long_runs_and_a_whole_task(tmp_path):
    mask = np.zeros((10, 20), bool)
    mask[2:5, 3:17] = True
    made = converted(tmp_path, write_json(tmp_path / 'export.json', tasks(brush('Straße', mask))))
    np.testing.assert_array_equal(named(made, 'a') == 'Straße', mask)
    assert made.kind == 'Label Studio' and made.classes == ['Straße', 'background']
    big = np.zeros((300, 400), bool)
    big[100:, 7:] = True
    words = np.repeat(big.ravel(), 4).astype(int) * 255
    np.testing.assert_array_equal(from_brush(pack_runs(words.tolist()), (300, 400), ''), big)


def test_polygons_and_boxes_are_in_percent(tmp_path):
    polygon = result('polygonlabels', 'tree', points=[[50, 0], [100, 0], [100, 50], [50, 50]], closed=True)
    box = result('rectanglelabels', 'house', x=5, y=20, width=25, height=30, rotation=0)
    made = converted(tmp_path, write_json(tmp_path / 'export.json', tasks(polygon, box)))
    expected = np.full((10, 20), 'background', object)
    expected[:5, 10:], expected[2:5, 1:6] = 'tree', 'house'
    np.testing.assert_array_equal(named(made, 'a'), expected)


def test_boxes_are_turned_clockwise_about_their_corner(tmp_path):
    """6 x 2 pixels from (10, 2): after 90 degrees they hang down, left of the corner."""
    box = result('rectanglelabels', 'house', x=50, y=20, width=30, height=20, rotation=90)
    made = converted(tmp_path, write_json(tmp_path / 'export.json', tasks(box)))
    expected = np.zeros((10, 20), bool)
    expected[2:8, 8:10] = True
    np.testing.assert_array_equal(named(made, 'a') == 'house', expected)


def test_ellipse(tmp_path):
    one = result('ellipselabels', 'house', x=50, y=50, radiusX=40, radiusY=30, rotation=0)
    found = named(converted(tmp_path, write_json(tmp_path / 'export.json', tasks(one))), 'a') == 'house'
    y, x = np.mgrid[:10, :20] + .5
    distance = ((x - 10) / 8)**2 + ((y - 5) / 3)**2
    assert found[distance < .9].all() and not found[distance > 1.1].any()


def test_labels_beside_their_shape(tmp_path):
    """Tags of brush and label of their own share the id of the region."""
    mask = np.eye(10, 20, dtype=bool)
    one = brush('', mask, type='brush')
    del one['value']['brushlabels']
    label = dict(id='r1', type='labels', from_name='l', to_name='image', value=dict(labels=['tree']))
    choice = dict(id='c', type='choices', from_name='c', to_name='image', value=dict(choices=['sunny']))
    made = converted(tmp_path, write_json(tmp_path / 'export.json', tasks(label, one, choice)))
    np.testing.assert_array_equal(named(made, 'a') == 'tree', mask)


@pytest.mark.parametrize('image', ['/data/local-files/?d=some%20folder/a.png', 's3://bucket/x/a.png',
                                   'https://host.example/a.png?token=1', 'a.png', '/data/upload/1/0123abcd-a.png'])
def test_names_of_photos(tmp_path, image):
    one = result('rectanglelabels', 'house', x=0, y=0, width=50, height=50)
    assert converted(tmp_path, write_json(tmp_path / 'e.json', tasks(one, image=image))).train == ['a']


def test_skipped_and_second_annotations(tmp_path):
    boxes = [result('rectanglelabels', name, x=0, y=0, width=50, height=50) for name in ('a tree', 'house', 'boat')]
    data = tasks(boxes[0])
    data[0]['annotations'] += [dict(id=6, was_cancelled=True, result=[boxes[1]])]
    assert converted(tmp_path, write_json(tmp_path / 'e.json', data)).classes == ['a tree', 'background']
    (tmp_path / 'out').rename(tmp_path / 'first')
    data[0]['annotations'] += [dict(id=7, was_cancelled=False, ground_truth=False, result=[boxes[2]])]
    with pytest.raises(UserError, match='task 11 has 2 annotations: keep one'):
        converted(tmp_path, write_json(tmp_path / 'e.json', data))
    data[0]['annotations'][2]['ground_truth'] = True
    assert converted(tmp_path, write_json(tmp_path / 'e.json', data)).classes == ['boat', 'background']


MASK = np.eye(10, 20, dtype=bool)


def changed(one, **value):
    return one | dict(value=one['value'] | value)


@pytest.mark.parametrize('one, told', [
    (changed(brush('tree', MASK), rle=pack_runs([255] * 400)), 'does not hold 20 x 10 pixels'),
    (changed(brush('tree', MASK), rle=[255] * 40), 'does not hold'),
    (changed(brush('tree', MASK), rle=[]), 'does not hold'),
    (changed(brush('tree', MASK), rle=['a', 3]), 'does not hold'),
    (changed(brush('tree', MASK), rle=pack_runs([0] * 400 + [9] * 400)[:12]), 'ends too early'),
    (changed(brush('tree', MASK), rle=None), "None as 'rle'"),
    (brush('tree', MASK, original_width=10**9, original_height=10**9), 'photo has 20 x 10'),
    (brush('tree', MASK, image_rotation=90), 'rotated view'),
    (changed(brush('tree', MASK), brushlabels=['tree', 'house']), "labels ['tree', 'house']"),
    (changed(brush('tree', MASK), brushlabels=[]), 'one class per shape'),
    (changed(brush('tree', MASK), brushlabels=[4]), 'label 4'),
    (result('keypointlabels', 'tree', x=1, y=2, width=1), "kind 'keypointlabels'"),
    (result('polygonlabels', 'tree', points=[[1, 2], [3, 'x']]), 'finite numbers'),
    (result('rectanglelabels', 'tree', x=1, y=2, width=1), "nothing as 'height'"),
    (result('rectanglelabels', 'tree', x=1, y=2, width=1e9, height=4), 'far outside'),
])
def test_bad_results_are_told_in_one_sentence(tmp_path, one, told):
    with pytest.raises(UserError, match='bad.json') as error:
        converted(tmp_path, write_json(tmp_path / 'bad.json', tasks(one)))
    assert told in str(error.value) and '\n' not in str(error.value)
