"""What a notebook shows of results, read back from the bytes."""
import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.apis.notebook import Segmentations
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError

NAMES = 'bird, rocket, picture'


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')


def scene(index, size=64):
    return Image.fromarray(draw_scene(index, 'test', size).image)


def test_a_result_is_its_picture_reduced_if_large(seg):
    out = seg(scene(1), NAMES)
    shown = Image.open(BytesIO(out._repr_png_()))
    assert shown.format == 'PNG' and np.array_equal(np.asarray(shown), out.draw())
    out.draw = lambda: np.zeros((3000, 2000, 3), np.uint8)
    assert Image.open(BytesIO(out._repr_png_())).size == (640, 960)


def test_a_list_shows_its_first_pictures_with_their_names(seg, tmp_path):
    for index in range(2):
        scene(index).save(tmp_path / f'a<b>{index}.png')
    found = seg(tmp_path, NAMES)
    assert isinstance(found, list) and len(found) == 2
    page = found._repr_html_()
    pictures = [np.asarray(Image.open(BytesIO(b64decode(data)))) for data in re.findall('base64,([^"]+)"', page)]
    assert len(pictures) == 2 and all(np.array_equal(*pair) for pair in zip(pictures, (one.draw() for one in found)))
    assert re.findall('<figcaption>(.*?)</figcaption>', page) == ['0: a&lt;b&gt;0.png', '1: a&lt;b&gt;1.png']
    assert 'Shown are' not in page
    many = Segmentations(7 * found)._repr_html_()
    assert 'Shown are 12 of 14 results.' in many and many.count('<img') == 12


def test_a_picture_without_a_path_is_called_by_its_classes(seg):
    found = seg([scene(1)], NAMES)
    assert f'<figcaption>0: {", ".join(found[0].present())}</figcaption>' in found._repr_html_()


def test_a_mistake_is_one_sentence_there(seg):
    """IPython asks the exception for the lines to show."""
    with pytest.raises(UserError) as error:
        seg([], NAMES)
    assert 'list of images is empty' in str(error.value)
    assert error.value._render_traceback_() == [f'error: {error.value}']

