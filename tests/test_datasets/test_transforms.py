"""Broken images and masks are named."""
import cv2
import numpy as np
import pytest
from fixtures.trees import HEIGHT, WIDTH, write_image, write_mask
from PIL import Image

from mmseg_mvp.datasets import LoadCheckedAnnotations, LoadCheckedImage
from mmseg_mvp.errors import UserError


def load_image(path):
    return LoadCheckedImage().transform(dict(img_path=str(path)))


def load_mask(path, num_classes=20, label_map=None, reduce_zero_label=True, size=(HEIGHT, WIDTH)):
    results = dict(seg_map_path=str(path), ori_shape=size, label_map=label_map, reduce_zero_label=reduce_zero_label,
                   seg_fields=[])
    return LoadCheckedAnnotations(num_classes).transform(results)['gt_seg_map']


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
    with pytest.raises(UserError, match='Mask .*mask.png.* cannot be read'):
        load_mask(path)
