"""Loading of masks, with errors that name broken masks and invalid labels."""
import numpy as np
import pytest
from fixtures.refusals import refused
from fixtures.trees import HEIGHT, WIDTH, write_mask
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_mvp.datasets import LoadCheckedAnnotations
from mmseg_mvp.errors import UserError


def load_mask(path, num_classes=20, label_map=None, reduce_zero_label=True, size=(HEIGHT, WIDTH), **kwargs):
    results = dict(seg_map_path=str(path), ori_shape=size, label_map=label_map, reduce_zero_label=reduce_zero_label,
                   seg_fields=[])
    return LoadCheckedAnnotations(num_classes, **kwargs).transform(results)['gt_seg_map']


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


@pytest.mark.parametrize('array', [np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8),
                                   np.zeros((HEIGHT, WIDTH), dtype=np.float32)])
def test_mask_of_other_pixels(tmp_path, array):
    Image.fromarray(array).save(tmp_path / 'mask.tif')
    with pytest.raises(UserError, match='mask.tif.* 8 bits'):
        load_mask(tmp_path / 'mask.tif')


@pytest.mark.parametrize('damage', ['truncated', 'empty', 'missing'])
def test_broken_mask_is_named(tmp_path, damage):
    path = tmp_path / 'mask.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 20, (HEIGHT, WIDTH), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.unlink() if damage == 'missing' else path.write_bytes(content[:len(content) // 2 if damage[0] == 't' else 0])
    with pytest.raises(UserError, match='Mask .*mask.png.* cannot be read'):
        load_mask(path)


@pytest.mark.parametrize('mode', ['L', 'P', '1'])
@pytest.mark.parametrize('reduce_zero_label', [True, False])
@pytest.mark.parametrize('label_map', [None, {}, {0: 3, 3: 0, 1: 255, 254: 9}])
def test_every_label_is_what_mmseg_makes_of_it(tmp_path, mode, reduce_zero_label, label_map):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask = Image.fromarray(values > 99 if mode == '1' else values)
    if mode == 'P':
        mask.putpalette(list(range(256)) * 3)
    mask.save(tmp_path / 'mask.png')
    results = [transform.transform(dict(seg_map_path=str(tmp_path / 'mask.png'), ori_shape=(16, 16), seg_fields=[],
                                        label_map=label_map, reduce_zero_label=reduce_zero_label))
               for transform in (LoadAnnotations(), LoadCheckedAnnotations(255))]
    expected, found = (result['gt_seg_map'] for result in results)
    assert found.dtype == expected.dtype == np.uint8 and np.array_equal(found, expected)
    assert results[1]['seg_fields'] == ['gt_seg_map']


def test_reduce_zero_label_must_be_the_data_sets(tmp_path):
    write_mask(tmp_path / 'mask.png', [1])
    results = dict(seg_map_path=str(tmp_path / 'mask.png'), ori_shape=(HEIGHT, WIDTH), reduce_zero_label=True,
                   seg_fields=[])
    with pytest.raises(UserError, match='reduce_zero_label=False, but its data set has True: set it in the data'):
        LoadCheckedAnnotations(20, reduce_zero_label=False).transform(results)


@pytest.mark.parametrize('num_classes', ['a', None, 0, -1, 1.5, 256, 65536])
def test_invalid_numbers_of_classes(num_classes):
    refused(lambda: TRANSFORMS.build(dict(type='LoadCheckedAnnotations', num_classes=num_classes)))


@pytest.mark.parametrize('ignored', [65535, 847, 1000, -1, -100, 2**31 - 1, 2**20])
@pytest.mark.parametrize('reduce_zero_label', [False, True])
def test_wide_masks_with_any_ignored_value(ignored, reduce_zero_label, tmp_path):
    shift = int(reduce_zero_label)
    values = np.array([[0, 1, 254, 255, 256], [299, 300, 846, 846 + shift, ignored]])
    dtype = np.uint16 if 0 <= ignored < 2**16 else np.int32
    path = tmp_path / 'mask.tif'
    if reduce_zero_label and ignored == 847:
        ignored, values[1, 4] = 848, 848
    Image.fromarray(values.astype(dtype)).save(path)
    labels = load_mask(path, 847, reduce_zero_label=reduce_zero_label, size=(2, 5), ignore_index=ignored)
    expected = np.where(values == ignored, ignored, values - shift)
    expected[0, 0] = ignored if reduce_zero_label else 0
    assert labels.tolist() == expected.tolist()
    assert labels.dtype == (np.uint16 if 0 <= ignored < 2**16 else np.int32)


def test_narrow_masks_beside_wide_ones(tmp_path):
    """A file of few classes may have 8 bits; 255 is a class then."""
    Image.fromarray(np.array([[0, 7, 255]], np.uint8)).save(tmp_path / 'mask.png')
    labels = load_mask(tmp_path / 'mask.png', 847, reduce_zero_label=False, size=(1, 3), ignore_index=65535)
    assert labels.tolist() == [[0, 7, 255]] and labels.dtype == np.uint16


def test_wide_files_of_few_classes(tmp_path):
    Image.fromarray(np.array([[0, 7, 255]], np.uint16)).save(tmp_path / 'mask.png')
    labels = load_mask(tmp_path / 'mask.png', size=(1, 3))
    assert labels.tolist() == [[255, 6, 255]] and labels.dtype == np.uint8
    Image.fromarray(np.array([[0, 7, 65535]], np.uint16)).save(tmp_path / 'mask.png')
    with pytest.raises(UserError, match='value 65535, but the data set has 20 classes'):
        load_mask(tmp_path / 'mask.png', size=(1, 3))
    assert load_mask(tmp_path / 'mask.png', size=(1, 3), ignore_index=65535).tolist() == [[65535, 6, 65535]]


@pytest.mark.parametrize('value', [847, 1000, 65534, 70000, -1])
def test_wide_labels_outside_the_classes(value, tmp_path):
    Image.fromarray(np.array([[1, value]], np.int32)).save(tmp_path / 'mask.tif')
    with pytest.raises(UserError, match=f'mask.tif.* value {value}, .* 847 classes, values 0 to 846.* to 65535'):
        load_mask(tmp_path / 'mask.tif', 847, reduce_zero_label=False, size=(1, 2), ignore_index=65535)


@pytest.mark.parametrize('num_classes', [256, 300, 847])
def test_a_class_cannot_be_the_ignored_value(num_classes):
    refused(lambda: LoadCheckedAnnotations(num_classes), str(num_classes), '255 is a class', 'ignore_index', '65535')


@pytest.mark.parametrize('ignored', ['a', None, 1.5, 2**31])
def test_invalid_ignored_values(ignored):
    refused(lambda: LoadCheckedAnnotations(5, ignore_index=ignored), 'ignore_index')


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_label_map_of_other_ignored_values(dtype, tmp_path):
    """mmseg marks excluded classes by 255; the pipeline ignores another value."""
    Image.fromarray(np.array([[0, 1, 2, 3]], dtype)).save(tmp_path / 'mask.png')
    labels = load_mask(tmp_path / 'mask.png', 4, {0: 1, 1: 0, 2: 255, 3: 2}, False, (1, 4), ignore_index=999)
    assert labels.tolist() == [[1, 0, 999, 2]]


def test_more_than_255_kept_classes(tmp_path):
    Image.fromarray(np.array([[0, 254, 255, 299]], np.uint16)).save(tmp_path / 'mask.png')
    turned = {old: 299 - old for old in range(300)}  # another order, all kept: 44 becomes 255
    settings = dict(reduce_zero_label=False, size=(1, 4), ignore_index=65535)
    assert load_mask(tmp_path / 'mask.png', 300, turned, **settings).tolist() == [[299, 45, 44, 0]]
    without_one = {old: old if old < 299 else 255 for old in range(300)}  # 255 twice: mmseg's own ambiguity
    refused(lambda: load_mask(tmp_path / 'mask.png', 300, without_one, **settings), 'more than 255', 'metainfo')


@pytest.mark.parametrize('shape', [(1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_masks_of_one_row_or_column(shape, dtype, tmp_path):
    values = np.arange(np.prod(shape)).reshape(shape)
    Image.fromarray(values.astype(dtype)).save(tmp_path / 'mask.png')
    assert load_mask(tmp_path / 'mask.png', reduce_zero_label=False, size=shape).tolist() == values.tolist()
