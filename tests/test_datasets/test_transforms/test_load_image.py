"""Loading of images, with errors that name broken files."""

import cv2
import numpy as np
import pytest
from fixtures.refusals import refused
from fixtures.trees import HEIGHT, WIDTH, write_image
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_mvp.datasets import LoadCheckedImage
from mmseg_mvp.errors import UserError


def load_image(path):
    return LoadCheckedImage().transform(dict(img_path=str(path)))


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


def test_image_is_contiguous(tmp_path):
    write_image(tmp_path / 'a.jpg')
    assert load_image(tmp_path / 'a.jpg')['img'].flags.c_contiguous
    results = LoadCheckedImage(to_float32=True).transform(dict(img_path=str(tmp_path / 'a.jpg')))
    assert np.array_equal(results['img'], load_image(tmp_path / 'a.jpg')['img'].astype(np.float32))


def test_limit_is_that_of_the_inferencer(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)  # Pillow's own guard would call the image broken
    write_image(tmp_path / 'a.png')
    sample = dict(img_path=str(tmp_path / 'a.png'))
    assert LoadCheckedImage(WIDTH * HEIGHT).transform(dict(sample))['img'].shape == (HEIGHT, WIDTH, 3)
    small = LoadCheckedImage(WIDTH * HEIGHT - 1)
    refused(lambda: small.transform(sample), 'a.png', '7680 pixels', 'max_pixels', '7679')
    assert LoadCheckedImage(5, ignore_empty=True).transform(sample) is None
    refused(lambda: LoadCheckedImage(0), 'max_pixels')


pytestmark = pytest.mark.usefixtures('mmseg_scope')


LONG = 'x' * 5000


@pytest.mark.parametrize('path', [None, 3, '', '\0.png', LONG + '.png', '.', 'nowhere.png', 'text.png', 'empty.png',
                                  'half.png'])
def test_images_loaded_from(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'empty.png').touch()
    Image.effect_noise((64, 64), 50).save(tmp_path / 'whole.png')
    (tmp_path / 'half.png').write_bytes((tmp_path / 'whole.png').read_bytes()[:1000])
    load = TRANSFORMS.build(dict(type='LoadCheckedImage'))
    refused(lambda: load(dict(img_path=path)), repr(path))
