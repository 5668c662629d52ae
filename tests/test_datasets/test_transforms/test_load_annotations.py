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
