"""The gallery of drawings."""
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.app.web.gallery import SCENES, SIZE, add_gallery, names_of, save_scene
from mmseg_mvp.datasets.toy.scenes import draw_scene


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')


def test_each_drawing_has_the_names_of_its_objects_and_of_the_rest(seg, tmp_path):
    scene = draw_scene(SCENES[0], 'test', SIZE)
    path = save_scene(scene, tmp_path)
    assert np.array_equal(np.asarray(Image.open(path)), scene.image)
    assert names_of(seg, scene) == 'rocket, lamp, flower, picture'  # the toy does not know the word background
    for index in SCENES:  # and each object is found
        scene = draw_scene(index, 'test', SIZE)
        names = names_of(seg, scene).split(', ')
        assert set(seg(Image.fromarray(scene.image), names).present()) == set(names)


def test_a_real_clip_gets_a_remark(seg):
    html = add_gallery(seg).value
    assert html.count('<button') == html.count('alt="Drawing: ') == len(SCENES) and 'photos' not in html
    clip = SimpleNamespace(name='ViT-B-16')
    other = SimpleNamespace(model=SimpleNamespace(decode_head=SimpleNamespace(classifier=SimpleNamespace(clip=clip))))
    assert 'photos suit this model better' in add_gallery(other).value
