"""COCO files, against pycocotools' own reader."""
import numpy as np
import pycocotools.mask
import pytest
from fixtures.annotations import converted, named, write_json, write_photo
from pycocotools.coco import COCO

from mmseg_mvp.datasets.annotations.runs import counts_of
from mmseg_mvp.errors import UserError

SIZE = (12, 10)
CATEGORIES = [dict(id=90, name='tree'), dict(id=7, name='house'), dict(id=18, name='boat')]


def content(annotations, images=('a.png', ), categories=CATEGORIES):
    images = [dict(id=index + 5, file_name=name, width=SIZE[0], height=SIZE[1]) for index, name in enumerate(images)]
    annotations = [dict(id=index, image_id=5, iscrowd=0, **one) for index, one in enumerate(annotations)]
    return dict(images=images, annotations=annotations, categories=list(categories))


def annotation(category, segmentation, **more):
    return dict(category_id=category, segmentation=segmentation, **more)


def compressed(mask):
    encoded = pycocotools.mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=list(mask.shape), counts=encoded['counts'].decode())


def uncompressed(mask):
    """Run lengths down the columns, counted one by one."""
    counts, last = [0], False
    for value in mask.T.ravel().tolist():
        counts += [0] if value != last else []
        counts[-1] += 1
        last = value
    return dict(size=list(mask.shape), counts=counts)


RANDOM = np.random.default_rng(0).random((10, 12)) > .6
POLYGONS = [[1.2, 1, 8.5, 1.7, 6, 7.1], [8, 5, 11.6, 5, 11.6, 9.5, 8, 9.5]]


@pytest.fixture(autouse=True)
def photo(tmp_path):
    return write_photo(tmp_path / 'photos/a.png', SIZE)


@pytest.mark.parametrize('segmentation', [POLYGONS, compressed(RANDOM), uncompressed(RANDOM)],
                         ids=['polygons', 'compressed', 'uncompressed'])
@pytest.mark.parametrize('iscrowd', [0, 1])
def test_masks_are_those_of_pycocotools(tmp_path, segmentation, iscrowd):
    data = content([annotation(18, segmentation)])
    data['annotations'][0]['iscrowd'] = iscrowd
    file = write_json(tmp_path / 'labels/coco.json', data)
    api = COCO(file)
    expected = api.annToMask(api.loadAnns(0)[0]).astype(bool)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(named(converted(tmp_path, file), 'a') == 'boat', expected)


def test_classes_keep_the_order_of_their_ids_and_later_masks_cover(tmp_path):
    data = content([annotation(90, [[0, 0, 12, 0, 12, 10, 0, 10]]), annotation(7, [[2, 3, 6, 3, 6, 8, 2, 8]])])
    made = converted(tmp_path, write_json(tmp_path / 'coco.txt', data))
    expected = np.full((10, 12), 'tree', object)
    expected[3:8, 2:6] = 'house'
    assert made.classes == ['house', 'boat', 'tree'] and made.kind == 'COCO'
    np.testing.assert_array_equal(named(made, 'a'), expected)


def test_file_names_in_subfolders(tmp_path):
    write_photo(tmp_path / 'photos/x/a.png', SIZE, seed=1)
    write_photo(tmp_path / 'photos/y/a.png', SIZE, seed=2)
    data = content([annotation(7, [[0, 0, 6, 0, 6, 5]])], images=['y/a.png', 'a.png', 'x/a.png'])
    data['annotations'] += [dict(data['annotations'][0], id=9, image_id=image, category_id=label)
                            for image, label in ((6, 18), (7, 90))]
    made = converted(tmp_path, write_json(tmp_path / 'coco.json', data))
    assert [set(named(made, stem).ravel()) for stem in ('y/a', 'a', 'x/a')] == [
        {'house', 'background'}, {'boat', 'background'}, {'tree', 'background'}]


def test_several_files_are_one_data_set(tmp_path):
    write_photo(tmp_path / 'photos/b.png', SIZE, seed=1)
    write_json(tmp_path / 'labels/train.json', content([annotation(7, POLYGONS)]))
    write_json(tmp_path / 'labels/val.json', content([annotation(1, POLYGONS)], ['b.png'], [dict(id=1, name='cup')]))
    made = converted(tmp_path, tmp_path / 'labels')
    assert made.classes == ['house', 'boat', 'tree', 'cup', 'background'] and made.train == ['a', 'b']
    assert (named(made, 'b') == 'cup').sum() == (named(made, 'a') == 'house').sum() > 0


@pytest.mark.parametrize('seed', range(20))
def test_compressed_counts_are_those_of_pycocotools(seed):
    mask = np.random.default_rng(seed).random((40, 70)) > [.5, .01, .99, .9][seed % 4]
    assert counts_of(compressed(mask)['counts'], '') == uncompressed(mask)['counts']


@pytest.mark.parametrize('change, told', [
    (lambda data: data['annotations'].append(annotation(5, POLYGONS, image_id=5)), 'category 5'),
    (lambda data: data['annotations'].append(annotation(7, POLYGONS, image_id=99)), 'image 99'),
    (lambda data: data['annotations'].append(annotation(7, [], image_id=5)), 'boxes do not label pixels'),
    (lambda data: data['annotations'].append(annotation(7, [[1, 2, 3, 4]], image_id=5)), 'at least 3 points'),
    (lambda data: data['annotations'].append(annotation(7, [[1, 2, 3, 4, 5, None]], image_id=5)), 'finite numbers'),
    (lambda data: data['annotations'].append(annotation(7, [[0, 0, 1e12, 0, 5, 5]], image_id=5)), 'far outside'),
    (lambda data: data['annotations'].append(annotation(7, dict(size=[10, 12], counts=[2**62, 5]), image_id=5)),
     'run lengths that do not fill'),
    (lambda data: data['annotations'].append(annotation(7, dict(size=[10, 12], counts=[-5, 125]), image_id=5)),
     'run lengths that do not fill'),
    (lambda data: data['annotations'].append(annotation(7, dict(size=[10**6, 10**6], counts=[10**12]), image_id=5)),
     'mask of the size [1000000, 1000000]'),
    (lambda data: data['annotations'].append(annotation(7, dict(size=[10, 12], counts='o' * 50), image_id=5)),
     'compressed mask'),
    (lambda data: data['annotations'].append(annotation(7, dict(size=[10, 12], counts='0' * 100), image_id=5)),
     'run lengths that do not fill'),
    (lambda data: data['annotations'].append(annotation(7, dict(size=[10, 12], counts='öß'), image_id=5)),
     'compressed mask with the byte'),
    (lambda data: data['categories'].append(dict(id=7, name='again')), 'id 7 twice'),
    (lambda data: data['categories'].append(dict(id=1, name=3)), 'label 3'),
    (lambda data: data['images'][0].update(width=13), 'is of 13 x 10 pixels, and its photo has 12 x 10'),
    (lambda data: data['images'][0].update(width='wide'), "'wide' x 10 pixels"),
    (lambda data: data.update(images=5), "5 as 'images'"),
    (lambda data: data['images'][0].pop('file_name'), "nothing as 'file_name'"),
    (lambda data: data.update(annotations=[]), 'has no shape'),
])
def test_bad_files_are_told_in_one_sentence(tmp_path, change, told):
    data = content([annotation(7, POLYGONS)])
    change(data)
    with pytest.raises(UserError, match='bad.json') as error:
        converted(tmp_path, write_json(tmp_path / 'bad.json', data))
    assert told in str(error.value) and '\n' not in str(error.value) and not (tmp_path / 'out').exists()
