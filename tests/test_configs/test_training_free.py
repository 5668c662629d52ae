"""Configs of training-free benchmarks: the published settings, and every set on a tree of its file format."""
import numpy as np
import pytest
import torch
from fixtures.builders import CONFIGS, file_labels
from fixtures.tools import load_tool
from fixtures.trees import (
    ADE20K_FULL_ROOT,
    COCO_STUFF_ROOT,
    CONTEXT_ROOT,
    HEIGHT,
    WIDTH,
    write_ade20k,
    write_ade20k_full,
    write_cityscapes,
    write_coco_pixel_maps,
    write_coco_stuff,
    write_context,
    write_context_mat,
    write_voc,
)
from mmengine.config import Config
from mmseg.registry import DATASETS, METRICS, MODELS

from mmseg_mvp.datasets import check_data
from mmseg_mvp.datasets.conversion import convert
from mmseg_mvp.datasets.conversion.ade20k_full import ade20k_full_jobs, ade20k_full_pictures
from mmseg_mvp.datasets.conversion.ade20k_ids import OBJECT_IDS
from mmseg_mvp.datasets.conversion.coco_object import coco_object_jobs, coco_object_pictures
from mmseg_mvp.datasets.conversion.context459 import context459_jobs, context459_pictures
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import class_names, load_vocabulary

pytestmark = pytest.mark.usefixtures('mmseg_scope')

FOLDER = CONFIGS / 'training_free'
EIGHT = ('voc21', 'context60', 'coco_object', 'voc20', 'context59', 'coco_stuff', 'cityscapes', 'ade20k')
LARGE = ('ade20k_847', 'context459')
METHODS = ('maskclip', 'sclip', 'clearclip', 'naclip', 'naclip_pamr', 'proxy')
WITH_BACKGROUND = ('voc21', 'context60', 'coco_object')
# Short side, scale, window / step or whole images, probability threshold, area threshold: the papers' own files.
SCLIP = {'voc21': (336, 65, 224, .1, .1), 'context60': (336, 50, 224, .1, None),
         'coco_object': (336, 50, 224, .1, None), 'coco_stuff': (448, 40, 224, None, None),
         'cityscapes': (560, 40, 224, None, None)}
CLEARCLIP = {'voc21': (448, 50, 448, .5, None), 'context60': (448, 50, 448, .15, None),
             'coco_object': (448, 50, 448, .4, None), 'cityscapes': (448, 50, 224, None, None)}
NACLIP = {'voc21': (336, 40, None, .1, None), 'voc20': (336, 40, None, None, None),
          'context60': (336, 40, 224, .1, None), 'coco_object': (336, 40, 224, .1, None),
          'cityscapes': (560, 40, 224, None, None)}
PROXY = {'voc21': (336, 40, 336, .2, None), 'context60': (336, 40, 336, .15, None),
         'coco_object': (336, 40, 336, .25, None), 'ade20k': (448, 40, 336, None, None),
         'cityscapes': (448, 40, 224, None, None)}
PUBLISHED = dict(sclip=(SCLIP, (336, 40, 224, None, None)), clearclip=(CLEARCLIP, (448, 50, 448, None, None)),
                 naclip=(NACLIP, (336, 40, 224, None, None)), naclip_pamr=(NACLIP, (336, 40, 224, None, None)),
                 proxy=(PROXY, (336, 40, 336, None, None)))
STEPS = {448: 224, 224: 112, 336: 112}
VALUES = dict(voc21=0, voc20=1, context60=0, context59=1, coco_stuff=0, cityscapes=0, ade20k=1)  # class 0 in a file


def load(name):
    return Config.fromfile(FOLDER / f'{name}.py')


def test_names_are_regular():
    expected = {f'{one}_{method}' for one in EIGHT for method in METHODS} | {f'{one}_naclip' for one in LARGE}
    assert {path.stem for path in FOLDER.glob('*.py')} == expected


@pytest.mark.parametrize('name', EIGHT)
@pytest.mark.parametrize('method', PUBLISHED)
def test_settings_are_the_published_ones(name, method):
    cfg, (own, others) = load(f'{name}_{method}'), PUBLISHED[method]
    test_cfg, resize = cfg.model.test_cfg, cfg.test_dataloader.dataset.pipeline[1]
    window = test_cfg.crop_size[0] if test_cfg.mode == 'slide' else None
    assert resize.keep_ratio and resize.scale[0] == 2048
    assert (resize.scale[1], cfg.model.decode_head.scale, window, test_cfg.get('prob_thd'),
            test_cfg.get('area_thd')) == own.get(name, others)
    assert window is None or (*test_cfg.crop_size, *test_cfg.stride) == (window, window, STEPS[window], STEPS[window])
    assert (test_cfg.get('bg_idx') == 0) == (name in WITH_BACKGROUND)
    assert test_cfg.word_softmax and test_cfg.stitch == 'pixels'
    assert test_cfg.get('refine') == ('pamr' if method == 'naclip_pamr' else None)
    dense = cfg.model.backbone.dense
    assert (dense if isinstance(dense, str) else dense.type) == method.partition('_')[0]


@pytest.fixture(params=sorted(FOLDER.glob('*.py')), ids=lambda path: path.stem)
def cfg(request):
    return Config.fromfile(request.param)


def test_only_tests_in_the_order_of_the_data_set(cfg):
    assert cfg.get('train_dataloader') is cfg.get('train_cfg') is cfg.get('val_dataloader') is None
    assert cfg.test_dataloader.dataset.pipeline == cfg.choose_dataloader.dataset.pipeline
    assert cfg.test_dataloader.dataset != cfg.choose_dataloader.dataset
    names = DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO['classes']
    head = cfg.model.decode_head
    assert class_names(head.train_classes) == list(names) and head.prompts.templates == 'imagenet'
    loads = next(step for step in cfg.test_dataloader.dataset.pipeline if step.type == 'LoadCheckedAnnotations')
    ignored = 65535 if len(names) > 255 else 255
    assert loads.num_classes == len(names) and loads.get('ignore_index', 255) == ignored
    assert head.get('ignore_index', 255) == cfg.test_evaluator.get('ignore_index', 255) == ignored


@pytest.mark.parametrize('name', ['context59', 'context60', 'coco_stuff', 'cityscapes', 'ade20k'])
def test_words_are_the_names_without_spaces(name):
    words = load_vocabulary(load(f'{name}_sclip').model.decode_head.train_classes)
    names = DATASETS.get(load(f'{name}_sclip').test_dataloader.dataset.type).METAINFO['classes']
    assert list(words.items()) == [(one, (one.replace(' ', ''), )) for one in names]


def test_words_of_objects():
    voc = load_vocabulary('voc21')
    assert len(voc['background']) == 26 and len(voc['person']) == 7 and len(voc['tvmonitor']) == 5
    assert voc['boat'] == ('ship', ) and voc['diningtable'] == ('table', )
    assert voc['background'] == load_vocabulary('coco_object')['background']
    voc20 = load_vocabulary(load('voc20_sclip').model.decode_head.train_classes)
    assert voc20 == {name: words for name, words in voc.items() if name != 'background'}


# Words of ProxyCLIP's background of COCO-Object, in its own file.
SEVENTEEN = 'sky wall tree wood grass road sea river mountain sands desk bed building cloud floor hill rail'.split()


@pytest.mark.parametrize('name, background', [
    ('voc20_clearclip', None), ('voc21_clearclip', ['background']), ('coco_object_clearclip', ['background']),
    ('voc20_proxy', None), ('voc21_proxy', list(load_vocabulary('voc21')['background'])),
    ('coco_object_proxy', SEVENTEEN)])
def test_clearclip_and_proxyclip_have_one_word_for_an_object(name, background):
    cfg = load(name)
    found = load_vocabulary(cfg.model.decode_head.train_classes)
    names = DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO['classes']
    other = dict(boat='ship', diningtable='table') if name.startswith('voc') else {}
    expected = {one: (other.get(one, one), ) for one in names}
    assert found == dict(expected, **({} if background is None else dict(background=tuple(background))))


def write_converted(name, folder):
    """A tree with the masks that a converter made of it."""
    if name == 'coco_object':
        root = write_coco_pixel_maps(folder)
        convert(coco_object_jobs(root, ['val2017']), coco_object_pictures, 1)
    elif name == 'context459':
        convert(context459_jobs(write_context_mat(folder), ['val']), context459_pictures, 1)
    else:
        names = [', '.join(words) for words in load_vocabulary(name).values()]
        root = write_ade20k_full(folder, OBJECT_IDS, names)
        convert(ade20k_full_jobs(root, ['validation']), ade20k_full_pictures, 1)


def write(name, folder):
    writers = dict(voc21=write_voc, voc20=write_voc, context60=write_context, context59=write_context,
                   coco_stuff=write_coco_stuff, cityscapes=write_cityscapes, ade20k=write_ade20k)
    writers[name](folder) if name in writers else write_converted(name, folder)


@pytest.fixture(params=[*EIGHT, *LARGE])
def on_tree(request, tmp_path):
    """Name of a set, and its config on a tree."""
    write(request.param, tmp_path)
    cfg = load(f'{request.param}_naclip')
    for loader in (cfg.test_dataloader, cfg.choose_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = loader.dataset.data_root.replace('data/', f'{tmp_path}/', 1)
    return request.param, cfg


def test_labels_are_those_of_the_files(on_tree):
    name, cfg = on_tree
    check_data(cfg, ['test_dataloader'])
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    ignored = 65535 if name in LARGE else 255
    assert len(dataset) == 4
    for item in dataset:
        sample = item['data_samples']
        labels = sample.gt_sem_seg.data[0].numpy().astype(int)
        raw = file_labels(sample.seg_map_path)
        expected = raw - VALUES.get(name, 0)
        expected[(raw == ignored) | (expected < 0)] = ignored
        assert np.array_equal(labels, expected) and labels.shape == (HEIGHT, WIDTH)
        assert (labels != ignored).any()
        assert min(item['inputs'].shape[1:]) == cfg.test_dataloader.dataset.pipeline[1].scale[1]
    if name in LARGE:
        assert labels[labels != ignored].max() == (458 if name == 'context459' else 6)


@pytest.mark.slow
def test_every_set_runs_with_a_tiny_clip(on_tree, tiny_vit):
    """From the files of a published tree to figures, at a small size and with one sentence."""
    name, cfg = on_tree
    cfg.model.clip, cfg.model.decode_head.prompts.templates = tiny_vit, 'name'
    cfg.model.test_cfg.update(crop_size=(64, 64), stride=(32, 32))
    cfg.test_dataloader.dataset.pipeline[1].scale = (128, 96)
    model, dataset = MODELS.build(cfg.model).eval(), DATASETS.build(cfg.test_dataloader.dataset)
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    for item in dataset:
        with torch.no_grad():
            sample, = model.test_step(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]))
        metric.process({}, [sample.to_dict()])
        assert 0 <= sample.pred_sem_seg.data.min() and sample.pred_sem_seg.data.max() < len(dataset.metainfo['classes'])
    assert 0 <= metric.evaluate(len(dataset))['mIoU'] <= 100


@pytest.mark.parametrize('name, root', [
    ('coco_object', COCO_STUFF_ROOT), ('context459', CONTEXT_ROOT), ('ade20k_847', ADE20K_FULL_ROOT)])
def test_a_tree_without_converted_masks_names_the_converter(name, root, tmp_path):
    cfg = load(f'{name}_naclip')
    (tmp_path / root).mkdir(parents=True)
    for folder in ('JPEGImages', 'images/val2017'):
        (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
    cfg.test_dataloader.dataset.data_root = str(tmp_path / root)
    tool = dict(coco_object='coco_object', context459='pascal_context459', ade20k_847='ade20k_full')[name]
    with pytest.raises(UserError, match=f'tools/dataset_converters/{tool}.py'):
        check_data(cfg, ['test_dataloader'])
    assert load_tool(f'dataset_converters/{tool}.py').parse_args
