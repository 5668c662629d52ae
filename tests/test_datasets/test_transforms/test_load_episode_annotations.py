"""Loading of episode masks, compared value by value."""
import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.datasets import LoadEpisodeAnnotations
from mmseg_mvp.errors import UserError

ALL = np.arange(256, dtype=np.uint8).reshape(16, 16)


def load(path, foreground, num_classes, size, image_size=None, **kwargs):
    results = dict(seg_map_path=str(path), ori_shape=size, img_shape=image_size or size, foreground=foreground,
                   reduce_zero_label=False, seg_fields=[])
    return LoadEpisodeAnnotations(num_classes, **kwargs).transform(results)


def write(path, mask, palette=False):
    image = Image.fromarray(mask)
    if palette:
        image.putpalette(list(range(256)) * 3)
    image.save(path)
    return path


@pytest.mark.parametrize('palette', [False, True])
@pytest.mark.parametrize('label', [1, 7, 20])
def test_a_class_is_one_and_255_stays(tmp_path, label, palette):
    mask = np.array([[*range(21), 255]] * 3, dtype=np.uint8)
    labels = load(write(tmp_path / 'mask.png', mask, palette), (label, label), 21, mask.shape)
    expected = [[255 if value == 255 else int(value == label) for value in row] for row in mask.tolist()]
    assert labels['gt_seg_map'].tolist() == expected and labels['gt_seg_map'].dtype == np.uint8
    assert labels['seg_fields'] == ['gt_seg_map'] and labels['ori_shape'] == mask.shape


@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', '1'])
def test_grey_masks_count_from_128(tmp_path, mode):
    if mode == '1':
        path, expected = tmp_path / 'mask.png', (ALL >= 77).astype(int)
        Image.fromarray(ALL >= 77).save(path)
    else:
        path, expected = tmp_path / 'mask.png', (ALL >= 128).astype(int)
        Image.fromarray(ALL).convert(mode).save(path)
    assert load(path, (128, 255), 256, ALL.shape, grey=True)['gt_seg_map'].tolist() == expected.tolist()


def test_values_that_the_data_set_lacks(tmp_path):
    path = write(tmp_path / 'mask.png', np.array([[0, 3, 21, 255]] * 2, dtype=np.uint8))
    with pytest.raises(UserError, match='mask.png.* 21, .* 21 classes, values 0 to 20'):
        load(path, (3, 3), 21, (2, 4))
    assert load(path, (3, 3), 22, (2, 4))['gt_seg_map'].tolist() == [[0, 1, 0, 255]] * 2
    with pytest.raises(UserError, match='mask.png.* 4 x 2 .* 4 x 3'):
        load(path, (3, 3), 22, (3, 4), at_input_size=True)
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(path)
    with pytest.raises(UserError, match='8 bits'):
        load(path, (3, 3), 21, (2, 4))


def nearest(size, target):
    """Compute the source of each target pixel, as mode 'nearest' of torch in float32."""
    scale = np.float32(size) / np.float32(target)
    return [min(int(np.float32(place) * scale), size - 1) for place in range(target)]


@pytest.mark.parametrize('size', [(375, 500), (605, 432), (224, 224), (333, 640), (480, 480)])
def test_labels_at_the_size_of_the_input(tmp_path, size):
    mask = np.random.default_rng(0).choice([0, 4, 5, 255], size=size).astype(np.uint8)
    results = load(write(tmp_path / 'mask.png', mask), (5, 5), 21, size, (480, 480), at_input_size=True)
    chosen = mask[nearest(size[0], 480)][:, nearest(size[1], 480)]
    assert np.array_equal(results['gt_seg_map'], np.where(chosen == 255, 255, chosen == 5))
    assert results['ori_shape'] == (480, 480) and results['gt_seg_map'].dtype == np.uint8
    at_file_size = load(tmp_path / 'mask.png', (5, 5), 21, size, (480, 480))
    assert at_file_size['ori_shape'] == size == at_file_size['gt_seg_map'].shape


def test_an_image_without_a_mask_passes():
    results = dict(img_path='a.jpg', ori_shape=(3, 4), img_shape=(480, 480))
    assert LoadEpisodeAnnotations(21, at_input_size=True).transform(dict(results)) == results
