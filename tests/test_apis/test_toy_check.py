"""A toy CLIP marks what is none of its drawings, and names its words."""
import re

import numpy as np
import pytest
from fixtures.docs import ROOT
from fixtures.logs import record_logs
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer, toy_check
from mmseg_mvp.app.web.model import PLACEHOLDER, describe_toy, placeholder_of
from mmseg_mvp.clip import TextTower, is_toy, load_clip, resolve_templates, toy_words
from mmseg_mvp.datasets.toy.captions import grammar_words
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies.parsing import separate

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')


def reds(picture):
    return (picture == (176, 0, 32)).all(-1).mean()


def test_pictures_of_a_photo_are_marked_and_the_log_warns_once(seg, monkeypatch):
    log = record_logs(monkeypatch, toy_check.__name__)
    drawing, photo, again = seg([Image.fromarray(draw_scene(1).image), Image.fromarray(NOISE), NOISE],
                                classes='bird, rocket, picture')
    assert drawing.note is None and reds(drawing.draw()) == 0
    assert photo.note == again.note and 'toy' in photo.note.lower()
    assert reds(photo.draw()) > .03 and photo.draw().shape == again.draw().shape
    views = drawing.draw_views(), photo.draw_views()
    assert reds(views[0]) == 0 < reds(views[1])
    assert len(log) == 1 and 'no drawing of the toy world' in log[0] and '--clip' in log[0]


def test_another_clip_marks_nothing(tiny_rn):
    seg = OpenVocabInferencer('configs/maskclip/toy_zs.py', clip=tiny_rn, device='cpu')
    assert seg(NOISE, classes='cat, sofa').note is None
    assert describe_toy(seg) is None and placeholder_of(seg) == PLACEHOLDER


@pytest.mark.parametrize('name', ['toy-rn', 'toy-vit'])
def test_the_words_are_those_of_the_captions_and_all_have_vectors(name):
    clip = load_clip(name, 'toy')
    tower, words = TextTower(clip), toy_words()
    assert is_toy(clip) and words[:len(CLASSES[:14])] == CLASSES[:14]
    assert sorted(words) == sorted({*re.findall('[a-z]+', ' '.join(grammar_words(resolve_templates('maskclip'))))})
    used = {token for word in words for token in tower.tokenizer.encode(word)}
    left = {text for token, text in tower.words().items() if token not in used}
    assert left == {',', '.', '-', '!-'} and len(tower.words()) == len(used) + len(left)
    with pytest.raises(UserError) as caught:
        tower.tokenize('zebra')
    assert f'knows the {len(words)} words of the captions' in str(caught.value)
    assert ', '.join(words) in str(caught.value)


def test_pages_count_the_words():
    pages = [(ROOT / name).read_text() for name in ('README.md', 'docs/segment.md')]
    assert [{*re.findall(r'(\d+) words', page)} for page in pages] == [{str(len(toy_words()))}] * 2


def test_the_page_names_the_words_and_its_example_has_no_other(seg):
    warning, words = describe_toy(seg)
    assert warning.startswith('toy-rn is a toy:') and '156 words' in warning and words == ', '.join(toy_words())
    assert {word for name in separate(placeholder_of(seg)) for word in name.split()} <= {*toy_words()}
