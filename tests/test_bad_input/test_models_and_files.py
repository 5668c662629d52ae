"""Built segmentors, samplers, data sets and their files: wrong names, wrong files, wrong places."""
import math

import pytest
import torch
from fixtures.exports import lseg, mvp_seg, text_model
from fixtures.refusals import refused
from mmengine.dataset import BaseDataset, ConcatDataset
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

from mmseg_mvp.apis import export_baked, export_onnx
from mmseg_mvp.apis.export.common import text_classifier
from mmseg_mvp.datasets import EvenSampler
from mmseg_mvp.datasets.checks import TREES, check_data
from mmseg_mvp.errors import UserError

pytestmark = pytest.mark.usefixtures('mmseg_scope')

NAN = math.nan
LONG = 'x' * 5000
NO_CLASSES = [None, 3, 1.5, NAN, True, b'tree, boat', torch.zeros(2), object(), [], '', ' ', {}, {'tree', 'boat'},
              [None], [3], ['tree', ''], ['tree', None], [['tree']], {'tree': None}, {'tree': 3}, ['tree', 'tree'],
              '\0', LONG + '.txt', ['tree\nboat', 'cup'], ['\ud800', 'tree'], 'nowhere.txt', 'nowhere:all']
BAD_EXPORTS = [None, 3, '', 'out', 'out.jpg', '.pth', '\0.pth', '\0.onnx', LONG + '.pth', LONG + '.onnx', 'taken.pth',
               'taken.onnx', 'taken.pth/out.pth', 'taken.onnx/out.onnx']
TOY = dict(type='ToySceneDataset', num_images=3)
PASCAL = dict(type='PASCAL5iDataset', data_root='/nowhere', list_dir='splits', fold=0)


class Counted(BaseDataset):
    def load_data_list(self):
        return [{}]


@pytest.fixture(scope='module')
def models(tiny_rn, tiny_vit):
    return {name: model.eval() for name, (_, model) in dict(
        mvp_seg=mvp_seg(tiny_vit), text=text_model(tiny_rn), lseg=lseg(tiny_rn, 'toy_zs')).items()}


@pytest.mark.parametrize('name', ['mvp_seg', 'text', 'lseg'])
@pytest.mark.parametrize('classes', NO_CLASSES)
def test_set_classes(models, name, classes):
    """What is refused changes nothing."""
    model = models[name]
    before = list(text_classifier(model).vocabulary), model.num_classes, model.out_channels
    refused(lambda: model.set_classes(classes))
    assert (list(text_classifier(model).vocabulary), model.num_classes, model.out_channels) == before


@pytest.mark.parametrize('path', BAD_EXPORTS)
def test_exports(models, tiny_rn, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for taken in ('taken.pth', 'taken.onnx'):
        (tmp_path / taken).write_text('mine')
    refused(lambda: export_baked(text_model(tiny_rn)[0], models['text'], path))
    refused(lambda: export_onnx(models['text'], path))
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {'taken.pth': 'mine', 'taken.onnx': 'mine'}


@pytest.mark.parametrize('model', [None, 3, 'model.pth', torch.nn.Conv2d(3, 3, 1)])
def test_exports_of_what_is_no_segmentor(model, tmp_path):
    refused(lambda: export_baked({}, model, tmp_path / 'out.pth'))
    refused(lambda: export_onnx(model, tmp_path / 'out.onnx'))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('settings', [
    *[dict(dataset=value) for value in (None, 3, [], Counted(serialize_data=False))],
    *[dict(seed=value) for value in ('a', 1.5, -1, NAN, True, [0])],
    *[dict(shuffle=value) for value in ('no', 3, [])]])
def test_even_samplers_of(settings):
    dataset = ConcatDataset([Counted(serialize_data=False), Counted(serialize_data=False)])
    refused(lambda: EvenSampler(**dict(dict(dataset=dataset), **settings)))


@pytest.mark.parametrize('settings', [
    *[dict(TOY, num_images=value) for value in (0, -1, 1.5, 'a', None, NAN, True)],
    *[dict(TOY, size=value) for value in (0, -1, 1.5, 'a', None, NAN)],
    *[dict(TOY, split=value) for value in ('all', '', None, 3, [])],
    *[dict(PASCAL, fold=value) for value in (4, -1, 1.5, 'x', None, NAN)],
    *[dict(PASCAL, split=value) for value in ('val', None, 3, [])],
    *[dict(PASCAL, episodes=value) for value in ('few', None, 3, [])],
    *[dict(PASCAL, list_dir=value) for value in ('nowhere', '\0', LONG, None, 3)],
    *[dict(PASCAL, data_root=value) for value in ('\0', LONG, __file__)]])
def test_data_sets_built_with(settings):
    refused(lambda: DATASETS.build(settings))


@pytest.mark.parametrize('kind', TREES)
@pytest.mark.parametrize('root', ['/nowhere', LONG, '\0', __file__])
def test_data_that_is_not_there(kind, root):
    """The sentence is followed by the tree that is expected."""
    with pytest.raises(UserError) as error:
        check_data(dict(test_dataloader=dict(dataset=dict(type=kind, data_root=root))), ['test_dataloader'])
    assert 'test_dataloader' in str(error.value) and TREES[kind] in str(error.value)


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
