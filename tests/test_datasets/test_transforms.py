"""Broken images and masks are named."""
import cv2
import numpy as np
import pytest
from fixtures.trees import HEIGHT, WIDTH, write_image, write_mask
from mmseg.datasets.transforms import LoadAnnotations, RandomCrop
from PIL import Image

from mmseg_mvp.datasets import CountingRandomCrop, LoadCheckedAnnotations, LoadCheckedImage
from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import HIDDEN, UNKNOWN


def load_image(path):
    return LoadCheckedImage().transform(dict(img_path=str(path)))


def load_mask(path, num_classes=20, label_map=None, reduce_zero_label=True, size=(HEIGHT, WIDTH), **kwargs):
    results = dict(seg_map_path=str(path), ori_shape=size, label_map=label_map, reduce_zero_label=reduce_zero_label,
                   seg_fields=[])
    return LoadCheckedAnnotations(num_classes, **kwargs).transform(results)['gt_seg_map']


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_image_is_opencvs(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    write_image(path)
    results = load_image(path)
    assert results['ori_shape'] == results['img_shape'] == (HEIGHT, WIDTH)
    assert np.array_equal(results['img'], cv2.imread(str(path)))


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
@pytest.mark.parametrize('damage', ['truncated', 'empty', 'text', 'missing'])
def test_broken_image_is_named(tmp_path, suffix, damage):
    path = tmp_path / f'broken.{suffix}'
    write_image(path)
    content = path.read_bytes()
    if damage == 'missing':
        path.unlink()
    else:
        path.write_bytes({'truncated': content[:len(content) // 2], 'empty': b'', 'text': b'no image'}[damage])
    with pytest.raises(UserError, match=f'Image .*broken.{suffix}') as error:
        load_image(path)
    assert '\n' not in str(error.value)


def test_mask_values(tmp_path):
    path = tmp_path / 'mask.png'
    write_mask(path, [0, 1, 20, 255])
    assert load_mask(path)[0, ::24].tolist() == [255, 0, 19, 255]
    assert load_mask(path, 21, reduce_zero_label=False)[0, ::24].tolist() == [0, 1, 20, 255]
    swapped = {index: (index + 1) % 2 if index < 2 else 255 for index in range(20)}
    assert load_mask(path, label_map=swapped)[0, ::24].tolist() == [255, 1, 255, 255]


SEEN = {index: index if index < 15 else 255 for index in range(20)}


@pytest.mark.parametrize('value, kwargs, allowed', [
    (21, dict(), '1 to 20'),
    (254, dict(), '1 to 20'),
    (20, dict(reduce_zero_label=False), '0 to 19'),
    (21, dict(label_map=SEEN), '1 to 20'),
    (20, dict(label_map=SEEN, reduce_zero_label=False), '0 to 19'),
])
def test_label_outside_the_classes(tmp_path, value, kwargs, allowed):
    path = tmp_path / 'mask.png'
    write_mask(path, [0, 1, 255, value])
    with pytest.raises(UserError, match=f'mask.png.* {value}, .* 20 classes, values {allowed}'):
        load_mask(path, **kwargs)


def test_mask_of_another_size(tmp_path):
    write_mask(tmp_path / 'mask.png', [1])
    with pytest.raises(UserError, match='mask.png.* 96 x 80 .* 80 x 96'):
        load_mask(tmp_path / 'mask.png', size=(WIDTH, HEIGHT))


@pytest.mark.parametrize('array', [np.full((HEIGHT, WIDTH), 300, dtype=np.uint16),
                                   np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)])
def test_mask_of_other_pixels(tmp_path, array):
    Image.fromarray(array).save(tmp_path / 'mask.png')
    with pytest.raises(UserError, match='mask.png.* 8 bits'):
        load_mask(tmp_path / 'mask.png')


@pytest.mark.parametrize('damage', ['truncated', 'empty', 'missing'])
def test_broken_mask_is_named(tmp_path, damage):
    path = tmp_path / 'mask.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 20, (HEIGHT, WIDTH), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.unlink() if damage == 'missing' else path.write_bytes(content[:len(content) // 2 if damage[0] == 't' else 0])
    for decoder in ('pillow', 'cv2'):
        with pytest.raises(UserError, match='Mask .*mask.png.* cannot be read'):
            load_mask(path, imdecode_backend=decoder)


def test_image_is_contiguous_whatever_the_decoder(tmp_path):
    write_image(tmp_path / 'a.jpg')
    assert load_image(tmp_path / 'a.jpg')['img'].flags.c_contiguous
    load = LoadCheckedImage(imdecode_backend='cv2', to_float32=True)
    results = load.transform(dict(img_path=str(tmp_path / 'a.jpg')))
    assert np.array_equal(results['img'], load_image(tmp_path / 'a.jpg')['img'].astype(np.float32))


@pytest.mark.parametrize('mode', ['L', 'P', '1'])
@pytest.mark.parametrize('reduce_zero_label', [True, False])
@pytest.mark.parametrize('label_map', [None, {}, {0: 3, 3: 0, 1: 255, 255: 7, 254: 9}])
def test_every_label_is_what_mmseg_makes_of_it(tmp_path, mode, reduce_zero_label, label_map):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask = Image.fromarray(values > 99 if mode == '1' else values)
    if mode == 'P':
        mask.putpalette(list(range(256)) * 3)
    mask.save(tmp_path / 'mask.png')
    results = [transform.transform(dict(seg_map_path=str(tmp_path / 'mask.png'), ori_shape=(16, 16), seg_fields=[],
                                        label_map=label_map, reduce_zero_label=reduce_zero_label))
               for transform in (LoadAnnotations(), LoadCheckedAnnotations(256))]
    expected, found = (result['gt_seg_map'] for result in results)
    assert found.dtype == expected.dtype == np.uint8 and np.array_equal(found, expected)
    assert results[1]['seg_fields'] == ['gt_seg_map']


def test_reduce_zero_label_must_be_the_data_sets(tmp_path):
    write_mask(tmp_path / 'mask.png', [1])
    results = dict(seg_map_path=str(tmp_path / 'mask.png'), ori_shape=(HEIGHT, WIDTH), reduce_zero_label=True,
                   seg_fields=[])
    with pytest.raises(UserError, match='reduce_zero_label=False and its data set True: leave it to the data set'):
        LoadCheckedAnnotations(20, reduce_zero_label=False).transform(results)


@pytest.mark.parametrize('ratio', [0.4, 0.75, 1.])
@pytest.mark.parametrize('size', [(40, 60), (16, 16), (200, 24)])
def test_crops_are_those_of_mmseg(ratio, size):
    rng = np.random.default_rng(0)
    for seed in range(40):
        # Blocks of few classes, so that many crops are drawn again; some images hold one class or none.
        blocks = rng.choice([0, 1, 255], p=[0.5, 0.2, 0.3] if seed % 4 else [0, 1, 0], size=(4, 5)).astype(np.uint8)
        labels = np.kron(blocks, np.ones((20, 20), np.uint8))
        image = rng.integers(0, 255, (*labels.shape, 3), dtype=np.uint8)
        found = []
        for crop in (RandomCrop(size, ratio), CountingRandomCrop(size, ratio)):
            np.random.seed(seed)
            found.append(crop.transform(dict(img=image, gt_seg_map=labels, seg_fields=['gt_seg_map'])))
            found[-1]['drawn'] = np.random.rand()
        one, other = found
        assert np.array_equal(one['img'], other['img']) and np.array_equal(one['gt_seg_map'], other['gt_seg_map'])
        assert one['drawn'] == other['drawn'] and one['img_shape'] == other['img_shape']


def bbox(crop, labels, seed):
    np.random.seed(seed)
    return crop.crop_bbox(dict(img=np.zeros((*labels.shape, 3), np.uint8), gt_seg_map=labels))


def test_hidden_classes_are_one_category_to_the_crop():
    """The crop is the one that mmseg draws when every hidden pixel has the same ordinary label."""
    rng = np.random.default_rng(0)
    chosen, told_apart = [], []
    for seed in range(60):
        blocks = rng.choice([3, 255, *(HIDDEN + np.array([0, 1, 2, 255, UNKNOWN]))], size=(4, 5),
                            p=[0.1, 0.3, *[0.12] * 5])
        labels = np.kron(blocks, np.ones((20, 20), int)).astype(np.uint16)
        expected = bbox(RandomCrop((40, 40), 0.75), np.where(labels >= HIDDEN, 7, labels).astype(np.uint8), seed)
        assert bbox(CountingRandomCrop((40, 40), 0.75), labels, seed) == expected
        chosen.append(expected)
        told_apart.append(bbox(RandomCrop((40, 40), 0.75), labels, seed))
    assert sum(one != other for one, other in zip(chosen, told_apart)) > 10, 'these maps would not show a leak'
