"""What a result holds, draws and writes, against logits made by hand."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.refusals import refused
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_mvp.apis import (
    OpenVocabInferencer,
    Segmentation,
)
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.utils.low_res_logits import LowResLogits
from mmseg_mvp.visualization import distinct_colours, draw_overlay

NAMES = ['cat', 'dog', 'sky']
PROBABILITIES = np.array([[[.7, .2], [.1, .3]], [[.2, .7], [.3, .3]], [[.1, .1], [.6, .4]]], np.float32)  # (3, 2, 2)
IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20


def result(threshold=None, classes=NAMES, labels=None, explain=lambda: None):
    """A 2 x 2 image whose logits are the logarithms of PROBABILITIES, not resized."""
    sample = SegDataSample(metainfo=dict(image=IMAGE, img_path=None))
    labels = torch.tensor(PROBABILITIES.argmax(0) if labels is None else labels)
    logits = LowResLogits(logits=torch.tensor(PROBABILITIES).log() + 5, rows=torch.eye(2), columns=torch.eye(2))
    sample.set_data(dict(pred_sem_seg=PixelData(data=labels[None]), low_res_logits=logits))
    return Segmentation(sample, classes, explain, threshold)


def test_labels_and_probabilities():
    out = result()
    assert out.label_map.tolist() == [[0, 1], [2, 2]] and out.label_map.dtype == np.int64
    assert out.present() == ['sky', 'cat', 'dog'] and out.classes == tuple(NAMES)
    np.testing.assert_allclose(out.scores(), PROBABILITIES, rtol=1e-5)
    for index, name in enumerate(NAMES):
        np.testing.assert_allclose(out.score(name), PROBABILITIES[index], rtol=1e-5)


@pytest.mark.parametrize('threshold, expected, present', [
    (0., [[0, 1], [2, 2]], ['sky', 'cat', 'dog']), (.5, [[0, 1], [2, 255]], ['cat', 'dog', 'sky']),
    (.65, [[0, 1], [255, 255]], ['cat', 'dog']), (1., [[255, 255], [255, 255]], [])])
def test_pixels_below_the_threshold_are_unknown(threshold, expected, present):
    out = result(threshold)
    assert out.label_map.tolist() == expected and out.unknown == 255
    assert out.present() == present


def test_unknown_is_no_class_where_there_are_many():
    assert result(classes=[str(i) for i in range(255)]).unknown == 255
    assert result(classes=[str(i) for i in range(256)]).unknown == 65535


def test_unknown_names_are_told():
    with pytest.raises(UserError, match='\'fish\' is not among.*cat, dog, sky'):
        result().score('fish')
    with pytest.raises(UserError, match='use MVP-SEG or MaskCLIP'):
        result().views('cat')
    assert result().presence is None


def test_the_model_runs_again_at_most_once_and_only_when_asked():
    calls = []
    out = result(explain=lambda: calls.append(1))
    out.draw(), out.scores()
    assert not calls
    assert out.presence is None and out.presence is None and len(calls) == 1


def test_picture_is_the_overlay_of_the_image_in_the_format_that_the_name_says(tmp_path):
    out = result(.5)
    picture = draw_overlay(IMAGE, out.label_map, NAMES, distinct_colours(3))
    out.save(tmp_path / 'new' / 'a.png')
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'new' / 'a.png')), picture)
    out.save(str(tmp_path / 'a.JPG'))
    with Image.open(tmp_path / 'a.JPG') as written:
        assert written.format == 'JPEG' and written.size == picture.shape[1::-1]


def test_nothing_is_overwritten_unasked(tmp_path):
    for save in (result().save, result().save_mask):
        (tmp_path / 'a.png').write_text('mine')
        with pytest.raises(UserError, match='exists already'):
            save(tmp_path / 'a.png')
        assert (tmp_path / 'a.png').read_text() == 'mine'
        save(tmp_path / 'a.png', overwrite=True)
        assert Image.open(tmp_path / 'a.png').format == 'PNG'


def test_other_endings_are_told(tmp_path):
    with pytest.raises(UserError, match=r'a\.txt does not end in .*\.png'):
        result().save(tmp_path / 'a.txt')
    with pytest.raises(UserError, match=r'a\.jpg does not end in \.png'):
        result().save_mask(tmp_path / 'a.jpg')
    assert not list(tmp_path.iterdir())


def test_mask_is_the_label_map_in_colour(tmp_path):
    out = result(.5)
    out.save_mask(tmp_path / 'a.png')
    with Image.open(tmp_path / 'a.png') as mask:
        assert mask.mode == 'P'
        np.testing.assert_array_equal(np.asarray(mask), out.label_map)
        shown = np.asarray(mask.convert('RGB'))
    np.testing.assert_array_equal(shown[0, 0], out.colours[0])
    np.testing.assert_array_equal(shown[1, 0], out.colours[2])
    assert tuple(shown[1, 1]) == (128, 128, 128)


def test_mask_of_many_classes_has_sixteen_bits(tmp_path):
    out = result(.5, classes=[str(i) for i in range(3000)], labels=[[0, 255], [2999, 7]])
    out.save_mask(tmp_path / 'a.png')
    with Image.open(tmp_path / 'a.png') as mask:
        assert mask.mode.startswith('I')
        assert np.asarray(mask).tolist() == [[0, 255], [2999, 65535]]
    with pytest.raises(UserError, match='at most 65535 classes'):
        result(classes=[str(i) for i in range(2**16)]).save_mask(tmp_path / 'b.png')


ROOT = Path(__file__).parents[2]


MASKCLIP = str(ROOT / 'configs/maskclip/toy_zs.py')


BLACK = np.zeros((48, 64, 3), np.uint8)


LONG = 'x' * 5000


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(MASKCLIP, device='cpu')


@pytest.mark.parametrize('method', ['index', 'score', 'views'])
@pytest.mark.parametrize('name', ['dragon', '', None, 3, ['tree']])
def test_results_asked_for_a_class_that_is_none(seg, method, name):
    out = seg(BLACK, 'tree, boat')
    refused(lambda: getattr(out, method)(name), 'tree, boat')


@pytest.mark.parametrize('method, path', [
    ('save', 'out.xyz'), ('save', 'out'), ('save', ''), ('save', '.png'), ('save', None), ('save', 3),
    ('save', LONG + '.png'), ('save', '\0.png'), ('save_mask', 'out.jpg'), ('save_mask', None), ('save_mask', '')])
def test_results_saved_as(seg, method, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = seg(BLACK, 'tree, boat')
    refused(lambda: getattr(out, method)(path))


class TestAnnotations:

    @pytest.fixture
    def out(self, tmp_path):
        """A result of a photo in a file; the label map is [[cat, dog], [sky, unknown]]."""
        result_ = result(.5)
        result_.path = tmp_path / 'my photos' / 'ä.jpg'
        return result_

    def test_labelme_file_refers_to_the_photo(self, out, tmp_path):
        out.save_labelme(tmp_path / 'shapes/ä.json')
        record = json.loads((tmp_path / 'shapes/ä.json').read_text('utf-8'))
        assert record['imagePath'] == '../my photos/ä.jpg' and record['imageData'] is None
        assert {one['label']: one['points'][0] for one in record['shapes']} == {
            'cat': [0.0, 0.0], 'dog': [1.0, 0.0], 'sky': [0.0, 1.0]}
        assert out.to_labelme('x/ä.jpg')['imagePath'] == 'x/ä.jpg'

    def test_coco(self, out):
        """Three pixels, each with its four corners; the unknown one is left out."""
        found = {one['category_id']: (one['bbox'], one['area'], sorted(zip(*[iter(one['segmentation'][0])] * 2)))
                 for one in out.to_coco()}
        assert found == {label: ([x, y, 1, 1], 1, [(x, y), (x, y + 1), (x + 1, y), (x + 1, y + 1)])
                         for label, (x, y) in {1: (0, 0), 2: (1, 0), 3: (0, 1)}.items()}

    def test_mistakes(self, out, tmp_path):
        (tmp_path / 'mine.json').write_text('mine')
        refused(lambda: out.save_labelme(tmp_path / 'mine.json'), 'mine.json exists already')
        refused(lambda: out.save_labelme(tmp_path / 'a.png'), 'does not end in .json')
        refused(lambda: out.save_labelme(tmp_path / 'a.json', tolerance=-1), 'tolerance')
        refused(lambda: out.to_coco('much'), 'tolerance')
        refused(lambda: result().save_labelme(tmp_path / 'a.json'), 'The image is not a file')
        out.save_labelme(tmp_path / 'mine.json', overwrite=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ['mine.json']
