"""Results of the page's event handlers, without a browser."""
from html.parser import HTMLParser
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.app.web import answers as web_answers
from mmseg_mvp.app.web.answers import Answers, describe_mask, no_result, reporter
from mmseg_mvp.app.web.gallery import SCENES, SIZE
from mmseg_mvp.app.web.limits import Limits
from mmseg_mvp.app.web.style import say
from mmseg_mvp.datasets import LoadCheckedImage
from mmseg_mvp.datasets.toy.scenes import draw_scene

ANN, BOB = SimpleNamespace(session_hash='ann'), SimpleNamespace(session_hash='bob')
NAMES = 'rocket, lamp, flower'


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')


@pytest.fixture
def answers(seg):
    return Answers(seg, Limits(20, seg.max_pixels))


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """Gradio's folder, with a scene in it as if uploaded."""
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path / 'uploads'))
    (tmp_path / 'uploads').mkdir()
    Image.fromarray(draw_scene(5, 'test', 64).image).save(tmp_path / 'uploads/scene.png')
    return tmp_path / 'uploads'


@pytest.fixture
def scene(uploads):
    return dict(path=str(uploads / 'scene.png'))


def files(folder):
    return sorted(path.name for path in folder.rglob('*') if path.is_file())


def pixels(update):
    return np.asarray(Image.open(update['value']))


def test_an_answer_is_that_of_the_inferencer(seg, answers, uploads, scene):
    assert answers.upload(scene, ANN) == no_result()
    message, picture, mask, table, views = answers.segment(scene, NAMES, False, False, ANN)
    out = seg(uploads / 'scene.png', classes=NAMES)
    assert message == say('') and picture['visible'] and np.array_equal(pixels(picture), out.draw())
    assert mask['interactive'] and np.array_equal(pixels(mask), out.label_map)
    assert table == describe_mask(out)
    assert views['visible'] is False
    assert files(uploads) == ['scene.png', 'scene_mask.png', 'scene_seg.png']
    answers.visits.end('ann')
    assert files(uploads) == []


def test_views_come_and_go_without_a_run(seg, answers, scene, monkeypatch):
    def draw(out):
        return np.uint8(255 * out.views('rocket')[0, ..., None].clip(0, 1).repeat(3, 2))

    monkeypatch.setattr(web_answers.Segmentation, 'draw_views', draw)  # as drawn in a hundredth of the time
    runs = []
    seg.model.backbone.register_forward_hook(lambda *_: runs.append(1))
    assert answers.show_views(True, False, ANN)['visible'] is False  # no result yet, which is no mistake
    first = answers.segment(scene, 'rocket, lamp', True, False, ANN)[4]
    assert first['visible'] and np.array_equal(pixels(first), seg(scene['path'], 'rocket, lamp').draw_views())
    monkeypatch.setattr(type(seg), '__call__', None)
    before = len(runs)
    assert answers.show_views(False, False, ANN)['visible'] is False
    views = answers.show_views(True, False, ANN)
    assert np.array_equal(pixels(views), pixels(first)) and len(runs) == before
    assert answers.show_views(True, False, BOB)['visible'] is False


def test_a_result_that_left_memory_is_computed_again(seg, answers, scene, monkeypatch):
    answers.segment(scene, NAMES, False, False, ANN)
    answers.visits.of(ANN).result, drawn = None, []
    monkeypatch.setattr(web_answers.Segmentation, 'draw_views', lambda out: drawn.append(out) or out.image)
    assert answers.show_views(True, False, ANN)['visible']
    assert np.array_equal(drawn[0].label_map, seg(scene['path'], NAMES).label_map)


def test_the_box_refines_this_answer_only(seg, answers, uploads, scene):
    sharp = OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu', refine='pamr')
    assert answers.refine(False, True, ANN) == (gr.skip(), ) * 5  # no result yet
    answers.segment(scene, NAMES, False, False, ANN)
    for refined, expected in ((True, sharp), (False, seg)):
        masks = answers.refine(False, refined, ANN)[2], answers.segment(scene, NAMES, False, refined, ANN)[2]
        label_map = expected(uploads / 'scene.png', classes=NAMES).label_map
        assert all(np.array_equal(pixels(mask), label_map) for mask in masks)
    assert seg.model.refinement is None
    assert Answers(sharp, Limits(20, 10**6)).refinement is sharp.model.refinement


def test_pixels_are_those_of_training(answers, uploads, monkeypatch):
    """A photo of 12 bits in 16, which would be black by its higher 8 bits."""
    path, grey = uploads / 'deep.png', np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(grey).save(path)
    seen, save = [], web_answers.save_results
    monkeypatch.setattr(web_answers, 'save_results', lambda out, *rest: seen.append(out.image) or save(out, *rest))
    answers.segment(dict(path=str(path)), 'bird, rocket', False, False, ANN)
    assert np.array_equal(seen[0], LoadCheckedImage().transform(dict(img_path=str(path)))['img'][..., ::-1])
    assert np.array_equal(seen[0][..., 0], np.rint(grey / 4095 * 255))


@pytest.mark.parametrize('name, content, classes, sentence', [
    ('bad.png', b'no image', 'rocket, lamp', 'Image bad.png cannot be read'),
    ('bad.svg', b'<svg/>', 'rocket, lamp', 'Image bad.svg cannot be read'),
    (None, None, '', 'No class'),
    (None, None, 'rocket', 'A single class'),
    (None, None, 'rocket, Rocket', 'A single class'),
    (None, None, 'rocket, lamp; key', 'commas and semicolons'),
    (None, None, 'rocket, ' + 'red ' * 80, 'The class name &quot;red red red'),
    (None, None, 'rocket, <b>', 'has no vector for &#x27;&lt; b &gt;&#x27;')])
def test_mistakes_are_told_without_the_servers_paths_and_nothing_stale(answers, uploads, scene, name, content, classes,
                                                                       sentence):
    answers.segment(scene, NAMES, False, False, ANN)
    if name:
        (uploads / name).write_bytes(content)
    message, *rest = answers.segment(dict(path=str(uploads / (name or 'scene.png'))), classes, True, False, ANN)
    assert 'role="alert"' in message and sentence in message and str(uploads) not in message
    assert rest == list(no_result()[1:])
    assert answers.show_views(True, False, ANN)['visible'] is False
    assert answers.refine(True, True, ANN) == (gr.skip(), ) * 5


def test_no_result_offers_nothing():
    message, picture, mask, table, views = no_result('text')
    assert (message, table, mask['value'], mask['interactive']) == ('text', '', None, False)
    assert picture['visible'] is views['visible'] is False


def test_no_image_yet(answers):
    assert 'no image yet' in answers.segment(None, 'rocket, lamp', False, False, ANN)[0]


def test_another_image_removes_the_result(answers, uploads, scene):
    (uploads / 'bad.png').write_bytes(b'no image')
    for handler, told in ((lambda: answers.upload(scene, ANN), ''), (lambda: answers.remove(ANN), ''),
                          (lambda: answers.upload(dict(path=str(uploads / 'bad.png')), ANN), 'Image bad.png cannot')):
        answers.segment(scene, NAMES, False, False, ANN)
        message, *rest = handler()
        assert told in message and rest == list(no_result()[1:])
        assert answers.show_views(True, False, ANN)['visible'] is False


@pytest.mark.parametrize('leave', [lambda answers, scene: answers.upload(scene, ANN),
                                   lambda answers, scene: answers.visits.end('ann')], ids=['another image', 'the end'])
def test_a_visitor_who_does_not_wait_leaves_no_result(seg, answers, uploads, scene, monkeypatch, leave):
    run = type(seg).__call__

    def slow(self, *args, **kwargs):
        leave(answers, scene)
        return run(self, *args, **kwargs)

    monkeypatch.setattr(type(seg), '__call__', slow)
    assert answers.segment(scene, NAMES, True, False, ANN) == no_result()
    assert answers.visits.of(ANN).result is None and set(files(uploads)) <= {'scene.png'}


def test_repeated_names_count_once_and_are_told(seg, answers, uploads, scene):
    message, _, mask, *_ = answers.segment(scene, 'rocket, lamp, Rocket, flower, lamp', False, False, ANN)
    assert 'counted once: &quot;Rocket&quot;, &quot;lamp&quot;.' in message and 'role="status"' in message
    assert np.array_equal(pixels(mask), seg(uploads / 'scene.png', classes=NAMES).label_map)


def test_a_drawing_of_the_gallery(answers, uploads):
    path, names = answers.choose(ANN, SimpleNamespace(index=1))
    assert np.array_equal(np.asarray(Image.open(path)), draw_scene(SCENES[1], 'test', SIZE).image)
    assert names == 'house, rabbit, picture' or names == 'rabbit, house, picture'
    assert answers.segment(dict(path=path), names, False, False, ANN)[1]['visible']
    answers.visits.end('ann')
    assert files(uploads) == ['scene.png']


def test_the_progress_of_many_names(answers, scene, monkeypatch):
    said = []
    words = 'red blue green house tree boat key lamp bird cup top big small fish hat car left'.split()
    names = [f'{one} {two}' for one in words for two in words + ['pink']][:300]
    answers.segment(scene, ', '.join(names), False, False, ANN, lambda share, desc: said.append((share, desc)))
    assert said[0] == (0, 'Reading the class names') and said[-1][0] == 1
    assert said == sorted(said, key=lambda one: one[0]) and len(said) > 3
    monkeypatch.setattr(web_answers.time, 'monotonic', lambda: 10)
    report = reporter(lambda share, desc: said.append(desc))
    monkeypatch.setattr(web_answers.time, 'monotonic', lambda: 14)
    report(100, 300)
    assert said[-1] == 'Reading the class names, about 8 s left'


class Cells(HTMLParser):
    """Texts of a table's cells and the names of all tags."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.cells, self.styles = set(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.cells += [''] * (tag == 'td')
        self.styles += [value for name, value in attributes if name == 'style']

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data.strip()


def test_the_table_counts_pixels_and_shows_names_as_text(seg, uploads):
    hostile = '<img src=x onerror="alert(1)">'
    out = seg(uploads / 'scene.png', classes=[f'{hostile} = rocket', 'lamp', 'flower'])
    out.label_map = np.array([[0, 0, 0, 2], [0, 0, 2, 2]])
    table = Cells(describe_mask(out))
    assert table.cells == ['', hostile, '0', '62.5%', '', 'flower', '2', '37.5%']
    assert 'img' not in table.tags
    assert table.styles == [f'background: rgb({red}, {green}, {blue})' for red, green, blue in out.colours[[0, 2]]]
