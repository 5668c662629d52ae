"""The way back: label maps as labelme and COCO files, drawn again by Pillow as labelme does and by pycocotools."""
import base64
import json
from io import BytesIO

import numpy as np
import pycocotools.mask
import pytest
from fixtures.annotations import drawn, write_photo
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from pycocotools.coco import COCO
from scipy import ndimage

from mmseg_mvp.datasets.annotations import convert
from mmseg_mvp.datasets.annotations.coco_file import check_coco, write_coco
from mmseg_mvp.datasets.annotations.contours import components, outline
from mmseg_mvp.datasets.annotations.writing import coco_annotations, coco_categories, labelme_record
from mmseg_mvp.errors import UserError

NAMES = ['tree', 'Häuser', 'boat']
VOID = 255


def as_labelme(record):
    """Label map (H, W) of a labelme file: Pillow with an outline, masks in their box, the later shape on top."""
    size = record['imageWidth'], record['imageHeight']
    labels = np.full(size[::-1], VOID)
    for one in record['shapes']:
        if one['shape_type'] == 'mask':
            pixels = np.zeros(size[::-1], bool)
            (left, top), (right, bottom) = np.array(one['points']).astype(int)
            pixels[top:bottom + 1, left:right + 1] = np.array(Image.open(BytesIO(base64.b64decode(one['mask'])))) > 0
        else:
            pixels = drawn('polygon', one['points'], size, outline=1)
        labels[pixels] = NAMES.index(one['label'])
    return labels


def as_coco(annotations, shape):
    """Label map of COCO annotations, by pycocotools alone; each mask has the stored area and box."""
    content = dict(images=[dict(id=1, height=shape[0], width=shape[1])], categories=coco_categories(NAMES),
                   annotations=[dict(id=index, image_id=1, **one) for index, one in enumerate(annotations, 1)])
    api = COCO()
    api.dataset = json.loads(json.dumps(content))
    api.createIndex()
    labels = np.full(shape, VOID)
    for one in api.loadAnns(api.getAnnIds()):
        mask = api.annToMask(one)
        assert mask.sum() == one['area']
        assert pycocotools.mask.toBbox(pycocotools.mask.encode(np.asfortranarray(mask))).tolist() == one['bbox']
        labels[mask > 0] = one['category_id'] - 1
    return labels


def check_exact(labels):
    np.testing.assert_array_equal(as_labelme(labelme_record(labels, NAMES, 'a.png')), labels)
    np.testing.assert_array_equal(as_coco(coco_annotations(labels, len(NAMES)), labels.shape), labels)


def picture(text):
    """Label map from digits; '.' has no class."""
    return np.array([[VOID if sign == '.' else int(sign) for sign in line] for line in text.split()])


@pytest.mark.parametrize('labels', [
    picture('0'), picture('00000'), picture('0 0 0'), picture('.'), picture('0. .0'),
    picture('00000 0...0 0.1.0 0...0 00000'),  # a hole with an island
    picture('0000000 0.00.10 0.00.10 0000000 1111111'),  # two holes in a row
    picture('.0.0. 0.0.0 .0.0. 0.0.0 .0.0.'),  # holes that touch the outer border at corners
    picture('00000 0.0.0 00.00 0.0.0 00000'),
    picture('.0... 00000 .0... .0... .00.. ..0..'),  # lines of one pixel that lead there and back
    picture('0000000000 0........0 0.000000.0 0.0....0.0 0.0.00.0.0 0.000000.0 0........0 0000000000'),
    picture('01010 10101 01010'), picture('2222 2002 2002 1111'),
], ids=range(13))
def test_small_maps_are_exact(labels):
    check_exact(labels)


@settings(max_examples=150, deadline=None)
@given(arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=14), elements=st.sampled_from([0, 1, 2, VOID])))
def test_any_map_is_exact(labels):
    check_exact(labels)


@pytest.mark.parametrize('seed', range(6))
def test_smooth_maps_are_exact_and_stay_near_with_a_tolerance(seed):
    rng = np.random.default_rng(seed)
    labels = np.stack([ndimage.gaussian_filter(rng.random((90, 120)), 3) for _ in range(4)]).argmax(0)
    labels[labels == 3] = VOID
    check_exact(labels)
    exact, rough = (labelme_record(labels, NAMES, 'a.png', tolerance) for tolerance in (0, 1.5))
    points = [sum(len(one['points']) for one in record['shapes']) for record in (exact, rough)]
    assert points[1] < points[0] / 2
    for found in (as_labelme(rough), as_coco_rough(labels)):
        # No border of a region or of the photo within 3 pixels.
        inner = ndimage.minimum_filter(labels, 7, mode='constant', cval=-1) == ndimage.maximum_filter(labels, 7)
        np.testing.assert_array_equal(found[inner], labels[inner])
        assert (found == labels).mean() > .9


def as_coco_rough(labels):
    result = np.full(labels.shape, VOID)
    for one in coco_annotations(labels, len(NAMES), 1.5):
        mask = one['segmentation']
        encoded = pycocotools.mask.merge(pycocotools.mask.frPyObjects(mask, *labels.shape)) if isinstance(
            mask, list) else mask
        result[pycocotools.mask.decode(encoded) > 0] = one['category_id'] - 1
    return result


@pytest.mark.parametrize('tolerance', [.5, 1, 3])
def test_border_stays_within_the_tolerance(tolerance):
    """The distance of each border pixel from the nearest segment of the outline, one by one."""
    mask = ndimage.gaussian_filter(np.random.default_rng(3).random((60, 60)), 2) > .5
    for component in components(mask):
        line = outline(component, tolerance).astype(float)
        ends = np.roll(line, -1, axis=0)
        for x, y in np.concatenate([component.outer, *component.holes]).astype(float):
            share = ((np.array([x, y]) - line) * (ends - line)).sum(1) / np.maximum(((ends - line)**2).sum(1), 1)
            nearest = line + np.clip(share, 0, 1)[:, None] * (ends - line)
            assert np.hypot(*(nearest - [x, y]).T).min() <= tolerance + 1e-6


def test_record_is_what_labelme_writes():
    """The keys and types that labelme's reader requires."""
    record = json.loads(json.dumps(labelme_record(picture('00. 0.1'), NAMES, '../photos/ä.png')))
    assert {key: record[key] for key in ('imagePath', 'imageData', 'imageHeight', 'imageWidth', 'flags')} == dict(
        imagePath='../photos/ä.png', imageData=None, imageHeight=2, imageWidth=3, flags={})
    assert record['shapes'] == [
        dict(label='tree', points=[[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]], shape_type='polygon', group_id=None, flags={},
             description='', mask=None),
        dict(label='Häuser', points=[[2.0, 1.0]] * 3, shape_type='polygon', group_id=None, flags={}, description='',
             mask=None)]


class TestCocoFile:

    @pytest.fixture
    def masks(self, tmp_path):
        """Two photos and their label maps; a value of 255 has no class."""
        rng, masks = np.random.default_rng(0), {}
        for index, name in enumerate(('a.png', 'ß.png')):
            photo = write_photo(tmp_path / 'photos' / name, (30, 20), seed=index)
            labels = ndimage.maximum_filter(rng.choice([0, 1, 2, VOID], (20, 30)), 3).astype(np.uint8)
            labels[5:9, 5:9] = 1
            masks[photo] = tmp_path / f'{photo.stem}_mask.png'
            Image.fromarray(labels).save(masks[photo])
        return masks

    def test_whole_file_is_read_by_pycocotools_and_by_the_converter(self, tmp_path, masks):
        write_coco(masks, NAMES, tmp_path / 'coco/all.json', tolerance=0)
        api = COCO(tmp_path / 'coco/all.json')
        assert [one['name'] for one in api.loadCats(api.getCatIds())] == NAMES
        made = convert(tmp_path / 'photos', tmp_path / 'coco/all.json', tmp_path / 'out', 'ignore', val=0)
        for image, (photo, mask) in zip(api.loadImgs(api.getImgIds()), masks.items()):
            labels, truth = np.full((20, 30), VOID), np.asarray(Image.open(mask))
            for one in api.loadAnns(api.getAnnIds(image['id'])):
                labels[api.annToMask(one) > 0] = one['category_id'] - 1
            assert image['file_name'] == photo.name
            np.testing.assert_array_equal(labels, truth)
            np.testing.assert_array_equal(np.asarray(Image.open(made.root / f'masks/{photo.stem}.png')), truth)

    def test_existing_file_stays(self, tmp_path, masks):
        path = tmp_path / 'all.json'
        write_coco(dict(list(masks.items())[:1]), NAMES, path)
        with pytest.raises(UserError, match='exists already'):
            write_coco(masks, NAMES, path)
        with pytest.raises(UserError, match="lacks 1 of 2 photos .'ß.png'"):
            check_coco(path, list(masks))
        check_coco(path, list(masks), overwrite=True)
        write_coco(masks, NAMES, path, overwrite=True)
        check_coco(path, list(masks))
        path.write_text('[]')
        with pytest.raises(UserError, match='not a COCO file'):
            check_coco(path, list(masks))

    @pytest.mark.parametrize('tolerance', [-1, float('nan'), 'x'])
    def test_tolerance(self, tmp_path, masks, tolerance):
        with pytest.raises(UserError, match='tolerance'):
            write_coco(masks, NAMES, tmp_path / 'all.json', tolerance)
