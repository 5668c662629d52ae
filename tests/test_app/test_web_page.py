"""What the page's buttons do, without a browser."""
from html.parser import HTMLParser
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.app import web_page
from mmseg_mvp.app.web_page import Answers, Page, Visits, class_names, describe_mask, told, uploaded_path
from mmseg_mvp.datasets import LoadCheckedImage
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError

ANN, BOB = SimpleNamespace(session_hash='ann'), SimpleNamespace(session_hash='bob')


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """Gradio's folder, with a scene in it as if uploaded."""
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path / 'uploads'))
    (tmp_path / 'uploads').mkdir()
    Image.fromarray(draw_scene(5, 'test', 64).image).save(tmp_path / 'uploads/scene.png')
    return tmp_path / 'uploads'


def files(folder):
    return sorted(path.name for path in folder.rglob('*') if path.is_file())


def test_only_uploads_are_looked_at(uploads):
    (uploads.parent / 'secret.png').write_bytes(b'secret')
    (uploads / 'link.png').symlink_to(uploads.parent / 'secret.png')
    assert uploaded_path(dict(path=str(uploads / 'scene.png'))) == (uploads / 'scene.png').resolve()
    for path in (uploads.parent / 'secret.png', uploads / '../secret.png', uploads / 'link.png', uploads / 'gone.png',
                 uploads, 'secret.png', 'http://127.0.0.1/x', f'file://{uploads}/scene.png', None, 7):
        with pytest.raises(UserError, match='not among the uploads'):
            uploaded_path(dict(path=path if path is None or path == 7 else str(path)))
    with pytest.raises(UserError, match='not among the uploads'):
        uploaded_path({})


def test_gradio_looks_only_at_uploads(uploads):
    """Wherever in what a client sends something calls itself a file."""
    with Page() as page:
        box = gr.Textbox()
        box.submit(print, box)
    function = next(iter(page.fns.values()))
    file = dict(path=str(uploads / 'scene.png'), meta=dict(_type='gradio.FileData'))
    page.validate_inputs(function, ['text'])
    page.validate_inputs(function, [[dict(deep=file)]])
    with pytest.raises(gr.Error, match='not among the uploads'):
        page.validate_inputs(function, [[dict(deep={**file, 'path': 'http://127.0.0.1:1/x'})]])


def test_names_are_never_a_file_or_a_label_set(tmp_path):
    (tmp_path / 'names.txt').write_text('secret\nother\n')
    assert class_names(f' {tmp_path}/names.txt ') == [f'{tmp_path}/names.txt']
    assert class_names('voc20') == ['voc20']
    assert class_names(' red house,tree ,, sky,') == ['red house', 'tree', 'sky']
    assert class_names(' , ') == []
    assert class_names('猫，犬、 tree，') == ['猫', '犬', 'tree'] and class_names('cat; dog；') == ['cat', 'dog']
    with pytest.raises(UserError, match='100001 characters, but the limit is 100000'):
        class_names('x' * 100_001)


def test_sentences_are_shown_as_text():
    with pytest.raises(gr.Error) as caught, told():
        raise UserError('No <b>class</b> "x"')
    assert caught.value.message == 'No &lt;b&gt;class&lt;/b&gt; &quot;x&quot;'
    with pytest.raises(KeyError), told():
        raise KeyError('a defect')


def test_files_go_with_their_visit(tmp_path):
    visits, paths = Visits(), [tmp_path / name for name in ('ann', 'bob', 'both', 'nobody')]
    for path in paths:
        path.touch()
    visits.note(ANN, paths[0], paths[2])
    visits.note(BOB, paths[1], paths[2])
    visits.end(ANN)
    assert files(tmp_path) == ['bob', 'both', 'nobody']
    visits.end(ANN)
    visits.end(BOB)
    assert files(tmp_path) == ['nobody']


def test_an_answer_is_what_the_inferencer_says(seg, uploads):
    answers, upload = Answers(seg), dict(path=str(uploads / 'scene.png'))
    answers.upload(upload, ANN)
    picture, mask, table, views = answers.segment(upload, 'rocket, lamp, flower', False, False, ANN)
    out = seg(uploads / 'scene.png', classes='rocket, lamp, flower')
    assert np.array_equal(np.asarray(Image.open(picture)), out.draw())
    assert mask['interactive'] and np.array_equal(np.asarray(Image.open(mask['value'])), out.label_map)
    assert table == describe_mask(out)
    assert views['visible'] is False
    assert files(uploads) == ['scene.png', 'scene_mask.png', 'scene_seg.png']
    views = answers.toggle(upload, 'rocket, lamp, flower', True, False, ANN)[3]
    assert views['visible'] and np.array_equal(np.asarray(Image.open(views['value'])), out.draw_views())
    answers.visits.end(ANN)
    assert files(uploads) == []


def test_the_box_refines_this_answer_only(seg, uploads):
    answers, upload = Answers(seg), dict(path=str(uploads / 'scene.png'))
    sharp = OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu', refine='pamr')
    for refined, expected in ((True, sharp), (False, seg)):
        mask = answers.segment(upload, 'rocket, lamp, flower', False, refined, ANN)[1]['value']
        label_map = expected(uploads / 'scene.png', classes='rocket, lamp, flower').label_map
        assert np.array_equal(np.asarray(Image.open(mask)), label_map)
    assert seg.model.refinement is None and Answers(sharp).refinement is sharp.model.refinement


def test_pixels_are_those_of_training(seg, uploads, monkeypatch):
    """A photo of 12 bits in 16, which would be black by its higher 8 bits."""
    path, grey = uploads / 'deep.png', np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(grey).save(path)
    seen, save = [], web_page.save_results
    monkeypatch.setattr(web_page, 'save_results', lambda out, *rest: seen.append(out.image) or save(out, *rest))
    Answers(seg).segment(dict(path=str(path)), 'bird, rocket', False, False, ANN)
    assert np.array_equal(seen[0], LoadCheckedImage().transform(dict(img_path=str(path)))['img'][..., ::-1])
    assert np.array_equal(seen[0][..., 0], np.rint(grey / 4095 * 255))


def test_views_of_nothing_are_no_mistake(seg, uploads):
    upload = dict(path=str(uploads / 'scene.png'))
    for file, names in ((None, 'rocket, lamp'), (upload, ' ')):
        assert Answers(seg).toggle(file, names, True, False, ANN)[3]['visible'] is False


@pytest.mark.parametrize('name, content, classes, sentence', [
    ('bad.png', b'no image', 'rocket, lamp', 'Image bad.png cannot be read'),
    ('bad.svg', b'<svg/>', 'rocket, lamp', 'Image bad.svg cannot be read'),
    (None, None, '', 'No class'),
    (None, None, 'rocket', 'A single class'),
    (None, None, 'rocket, rocket', 'rocket'),
    (None, None, 'rocket, <b>', 'has no vector for &#x27;&lt; b &gt;&#x27;')])
def test_mistakes_are_told_without_the_servers_paths(seg, uploads, name, content, classes, sentence):
    if name:
        (uploads / name).write_bytes(content)
    with pytest.raises(gr.Error) as caught:
        Answers(seg).segment(dict(path=str(uploads / (name or 'scene.png'))), classes, False, False, ANN)
    assert sentence in caught.value.message and str(uploads) not in caught.value.message


def test_no_image_yet(seg):
    with pytest.raises(gr.Error, match='no image yet'):
        Answers(seg).segment(None, 'rocket, lamp', False, False, ANN)


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
