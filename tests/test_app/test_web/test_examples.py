"""The panel that shows a class instead of naming it, without a browser."""
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.apis import Example, OpenVocabInferencer
from mmseg_mvp.app.web.answers import Answers
from mmseg_mvp.app.web.examples import MOST, ShownExamples, read_box, with_examples
from mmseg_mvp.app.web.limits import Limits
from mmseg_mvp.app.web.visits import Visits
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError

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


@pytest.fixture
def panel():
    return ShownExamples(Limits(20, 10_000), Visits())


def file(uploads, name):
    return dict(path=str(uploads / f'{name}.png'))


def stroke(*points):
    return SimpleNamespace(_data=dict(outline=points))


@pytest.mark.parametrize('text, box', [('', None), ('  ', None), ('3, 2, 9, 10', (3, 2, 9, 10)),
                                       ('3 2;9\t10.5', (3, 2, 9, 10.5))])
def test_boxes_are_read(text, box):
    assert read_box(text) == box


@pytest.mark.parametrize('text', ['1', '1, 2, 3', '1, 2, 3, 4, 5', 'a, b, c, d', '1,2,3,x'])
def test_other_texts_are_no_boxes(text):
    with pytest.raises(UserError, match='not four numbers: .* such as 10, 20, 90, 80'):
        read_box(text)


def test_the_answer_is_that_of_the_inferencer(seg, uploads):
    """With an outline, a point and a box."""
    answers = Answers(seg, Limits(20, 10_000))
    panel, path = answers.examples, uploads / 'class.png'
    panel.upload(file(uploads, 'class'), ANN)
    assert 'not marked yet' in panel.add('all', '', ANN)[1]
    assert panel.draw(stroke((.25, .25), (.75, .25), (.75, .7)), ANN)[0].count('inside of the line') == 1
    listed, *_ = panel.add('my <b>', '', ANN)
    assert '<li>my &lt;b&gt;</li>' in listed
    panel.add('Fish', '10, 20, 51, 41', ANN)  # the box has priority
    assert 'One point' in panel.draw(stroke((.05, .5)), ANN)[0]
    panel.add('Lamp', '', ANN)
    mask = answers.segment(file(uploads, 'scene'), 'flower, lamp', False, False, ANN)[2]['value']
    region = np.zeros((64, 64), bool)
    for row in range(16, 45):  # below the diagonal from (16, 16) to (48, 44)
        region[row, round(16 + (row - 16) * 32 / 28):49] = True
    drawn = np.asarray(Image.open(next(uploads.rglob('mask.png'))))
    assert (drawn != 0)[region].mean() > .95 and (drawn != 0)[~region].mean() < .02
    out = seg(uploads / 'scene.png', {
        'flower': 'flower', 'lamp': ['lamp', Example(path, point=(3, 32))],
        'my <b>': Example(path, mask=drawn), 'Fish': Example(path, box=(10, 20, 51, 41))})
    assert np.array_equal(np.asarray(Image.open(mask)), out.label_map)
    answers.segment(file(uploads, 'scene'), ' ', False, False, ANN)  # examples alone
    assert panel.remove(ANN)[0] == '' and not answers.visits.of(ANN).examples
    answers.visits.end('ann')
    assert not [one for one in uploads.rglob('*') if one.is_file()]


def test_names_and_examples_are_joined():
    example = Example('a.png')
    assert with_examples(['a', 'b'], {}) == ['a', 'b']
    assert with_examples(['a', 'b_c'], {'B c': example}) == {'a': ['a'], 'b_c': ['b c', example]}
    assert with_examples([], {'x': example}) == {'x': [example]}


@pytest.mark.parametrize('name, box, words', [
    ('', '', 'The class has no name yet'), ('a', '0, 0, 9, 65', 'reaches outside'), ('a', '9, 0, 3, 9', 'no area'),
    ('a', '1, 2', 'not four numbers')])
def test_mistakes_are_told_without_the_servers_paths(panel, uploads, name, box, words):
    panel.upload(file(uploads, 'class'), ANN)
    _, said, *_ = panel.add(name, box, ANN)
    assert 'role="alert"' in said and words in said and str(uploads) not in said
    assert not panel.visits.of(ANN).examples


@pytest.mark.parametrize('content, words', [(b'no image', 'Image bad.png cannot be read'), (None, 'limit is 10000')])
def test_a_bad_picture_is_told_at_once_and_replaces_the_one_before(panel, uploads, content, words):
    Image.new('L', (200, 200)).save(uploads / 'bad.png')
    if content:
        (uploads / 'bad.png').write_bytes(content)
    panel.upload(file(uploads, 'class'), ANN)
    picture, said, _ = panel.upload(file(uploads, 'bad'), ANN)
    assert picture['visible'] is False and words in said and str(uploads) not in said
    assert 'no picture of the class yet' in panel.add('a', '', ANN)[1]
    assert 'not among the uploads' in panel.upload(dict(path='/etc/passwd'), ANN)[1]
    assert 'draw it again' in panel.draw(stroke((2, 2)), ANN)[0]


def test_the_number_of_examples_is_limited(panel, uploads):
    panel.upload(file(uploads, 'class'), ANN)
    panel.draw(stroke((.5, .5)), ANN)
    panel.visits.of(ANN).examples.update({f'class {index}': None for index in range(MOST)})
    assert 'the limit' in panel.add('one more', '', ANN)[1]
    assert 'Added' in panel.add('class 3', '', ANN)[1] and len(panel.visits.of(ANN).examples) == MOST


def test_a_picture_that_is_gone_is_named(seg, uploads):
    answers = Answers(seg, Limits(20, 10_000))
    answers.visits.of(ANN).examples['a'] = Example(uploads / 'gone.png', point=(1, 1))
    said = answers.segment(file(uploads, 'scene'), 'lamp', False, False, ANN)[0]
    assert 'Image gone.png does not exist' in said
