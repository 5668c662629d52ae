"""The panel that shows a class instead of naming it, without a browser."""
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.apis import Example, OpenVocabInferencer
from mmseg_mvp.app.web_examples import MOST, ShownExamples, region_of
from mmseg_mvp.app.web_page import Answers
from mmseg_mvp.app.web_uploads import Visits
from mmseg_mvp.datasets.toy.scenes import draw_scene

ANN = SimpleNamespace(session_hash='ann')


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """Gradio's folder with a scene and a picture of a class, as if uploaded."""
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path / 'uploads'))
    (tmp_path / 'uploads').mkdir()
    for name, index in (('scene', 5), ('class', 7)):
        Image.fromarray(draw_scene(index, 'test', 64).image).save(tmp_path / f'uploads/{name}.png')
    return tmp_path / 'uploads'


def file(uploads, name):
    return dict(path=str(uploads / f'{name}.png'))


@pytest.mark.parametrize('corners, region', [
    ([], {}), ([(3, 9)], dict(point=(3, 9))), ([(3, 9), (3, 9)], dict(box=(3, 9, 4, 10))),
    ([(8, 2), (3, 9)], dict(box=(3, 2, 9, 10)))])
def test_region(corners, region):
    assert region_of(corners) == region


def test_clicks_keep_the_last_two_corners():
    panel, corners = ShownExamples(10_000, Visits()), []
    for point in ([1, 2], [3, 4], [5, 6]):
        corners, hint = panel.click(corners, SimpleNamespace(index=point))
    assert corners == [(3, 4), (5, 6)] and hint.startswith('The box is 3, 4, 6, 7.')
    assert panel.click([], SimpleNamespace(index=[1, 2]))[1].startswith('The point is 1, 2.')


def test_answer_is_that_of_the_inferencer(seg, uploads):
    answers = Answers(seg)
    panel = answers.examples
    assert panel.upload(file(uploads, 'class'), ANN)[0] == []
    examples, listed, corners, _ = panel.add(file(uploads, 'class'), 'my <b>', [(10, 40), (50, 20)], {})
    assert '<li>my &lt;b&gt;</li>' in listed and corners == []
    examples, *_ = panel.add(file(uploads, 'class'), 'Lamp', [(3, 3)], examples)
    mask = answers.segment(file(uploads, 'scene'), 'flower, lamp', False, False, ANN, examples)[1]['value']
    path = uploads / 'class.png'
    out = seg(uploads / 'scene.png', {'flower': 'flower', 'lamp': ['lamp', Example(path, point=(3, 3))],
                                      'my <b>': Example(path, box=(10, 20, 51, 41))})
    assert np.array_equal(np.asarray(Image.open(mask)), out.label_map)
    answers.toggle(file(uploads, 'scene'), ' ', False, False, ANN, examples)  # examples alone
    answers.visits.end(ANN)
    assert not [one for one in uploads.rglob('*') if one.is_file()]


@pytest.mark.parametrize('picture, name, corners, words', [
    (None, 'a', [], 'no picture of the class yet'), ('class', '', [], 'empty name'),
    ('class', 'a', [(64, 0)], 'outside'),
    ('class', 'a', [(0, 0), (9, 64)], 'reaches outside'), ('bad', 'a', [], 'Image bad.png cannot be read'),
    ('large', 'a', [], 'large.png')])
def test_mistakes_are_told_without_the_servers_paths(uploads, picture, name, corners, words):
    (uploads / 'bad.png').write_bytes(b'no image')
    Image.new('L', (200, 200)).save(uploads / 'large.png')
    with pytest.raises(gr.Error) as caught:
        ShownExamples(10_000, Visits()).add(picture and file(uploads, picture), name, corners, {})
    assert words in caught.value.message and str(uploads) not in caught.value.message


def test_files_and_limits(seg, uploads):
    panel = ShownExamples(10_000, Visits())
    with pytest.raises(gr.Error, match='not among the uploads'):
        panel.add(dict(path='/etc/passwd'), 'a', [], {})
    many = {f'class {index}': None for index in range(MOST)}
    with pytest.raises(gr.Error, match='the limit'):
        panel.add(file(uploads, 'class'), 'one more', [(1, 1)], many)
    assert len(panel.add(file(uploads, 'class'), 'class 3', [(1, 1)], many)[0]) == MOST
    examples = {'a': Example(uploads / 'gone.png', point=(1, 1))}
    with pytest.raises(gr.Error, match='Image gone.png does not exist'):
        Answers(seg).segment(file(uploads, 'scene'), 'lamp', False, False, ANN, examples)
