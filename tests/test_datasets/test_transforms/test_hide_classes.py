"""Hidden labels of all supported data sets, compared with a loop over pixels."""
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.refusals import refused
from fixtures.trees import HEIGHT, WIDTH, write_image, write_mask
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_mvp.datasets import HideClasses, HideEverything
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import HIDDEN, IGNORE, UNKNOWN
from mmseg_mvp.vocabularies import UNSEEN, class_names

pytestmark = pytest.mark.usefixtures('mmseg_scope')

CONFIGS = Path(__file__).parents[3] / 'configs' / '_base_' / 'datasets'
SETS = {'voc20': 'PascalVOC20Dataset', 'context59': 'PascalContextDataset59', 'context60': 'PascalContextDataset',
        'ade20k': 'ADE20KDataset', 'coco_stuff': 'COCOStuffDataset'}
STARTS_AT_0 = ('context60', 'coco_stuff')  # the others come with reduce_zero_label
LOADING = [dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations', num_classes=0)]


def write_dataset(label_set, folder, reduce_zero_label, pipeline):
    """Write files and build a data set. Masks have each unseen class next to a seen one, and ignored values."""
    kind = DATASETS.get(SETS[label_set])
    suffix = '_labelTrainIds.png' if label_set == 'coco_stuff' else '.png'
    unseen = [kind.METAINFO['classes'].index(name) + reduce_zero_label for name in UNSEEN[label_set]]
    for index in range(2):
        write_image(folder / f'images/{index}.jpg', index)
        pairs = [value for step, name in enumerate(unseen) for value in (11 + (step + index) % 4, name)]
        write_mask(folder / f'masks/{index}{suffix}', [*pairs, *[0] * reduce_zero_label, IGNORE])
    (folder / 'list.txt').write_text(''.join(f'{index}\n' for index in range(2)))
    return kind(ann_file='list.txt', data_root=str(folder), reduce_zero_label=reduce_zero_label, pipeline=pipeline,
                data_prefix=dict(img_path='images', seg_map_path='masks'))


def loading(label_set):
    image, labels = LOADING
    return [image, dict(labels, num_classes=len(class_names(label_set)))]


def hide(label_set):
    return dict(type='HideClasses', classes=label_set, unseen=f'{label_set}:unseen')


def naive(mask_path, classes, unseen, reduce_zero_label):
    """Compute the expected labels pixel by pixel, as lists (H, W)."""
    def label(value):
        if value == 255 or (value == 0 and reduce_zero_label):
            return 255
        index = value - 1 if reduce_zero_label else value
        return 32768 + index if classes[index] in unseen else index
    return [[label(value) for value in row] for row in np.array(Image.open(mask_path)).tolist()]


@pytest.mark.parametrize('reduce_zero_label', [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize('label_set', SETS)
def test_every_pixel_is_what_a_loop_makes_of_it(label_set, reduce_zero_label, tmp_path):
    dataset = write_dataset(label_set, tmp_path, reduce_zero_label, [*loading(label_set), hide(label_set)])
    for item in dataset:
        expected = naive(item['seg_map_path'], dataset.METAINFO['classes'], UNSEEN[label_set], reduce_zero_label)
        assert item['gt_seg_map'].dtype == np.uint16 and item['seg_fields'] == ['gt_seg_map']
        assert item['gt_seg_map'].tolist() == expected
        assert sum(label >= HIDDEN for label in set(sum(expected, []))) == len(UNSEEN[label_set])


def test_toy_pictures():
    pipeline = [dict(type='DrawToyScene'), hide('toy')]
    dataset = DATASETS.build(dict(type='ToySceneDataset', num_images=30, pipeline=pipeline))
    hidden = 0
    for index, item in enumerate(dataset):
        for truth, found in zip(draw_scene(index).labels.ravel().tolist(), item['gt_seg_map'].ravel().tolist()):
            is_unseen = truth != 255 and dataset.METAINFO['classes'][truth] in UNSEEN['toy']
            assert found == (32768 + truth if is_unseen else truth)
            hidden += is_unseen
    assert hidden


def seeded(item_of, index=0):
    np.random.seed(3)
    random.seed(3)
    return item_of(index)


@pytest.mark.parametrize('label_set', [pytest.param(name, marks=[] if name == next(iter(SETS)) else pytest.mark.slow)
                                       for name in SETS])
def test_the_whole_pipeline_keeps_labels_and_hidden_truth(label_set, tmp_path):
    """For equal random numbers, only labels of unseen classes change; images and crops are equal."""
    steps = [dict(step) for step in Config.fromfile(CONFIGS / f'{label_set}_transductive.py').train_pipeline]
    assert steps[2] == hide(label_set) and steps[4].pop('cat_max_ratio') == 0.75
    shown, hidden = (write_dataset(label_set, tmp_path, label_set not in STARTS_AT_0, pipeline)
                     for pipeline in ([*steps[:2], *steps[3:]], steps))  # without a ratio, no label chooses a crop
    unseen = [hidden.METAINFO['classes'].index(name) for name in UNSEEN[label_set]]
    for index in range(2):
        one, other = seeded(shown.__getitem__, index), seeded(hidden.__getitem__, index)
        label, found = (item['data_samples'].gt_sem_seg.data for item in (one, other))
        assert found.dtype == torch.int64 and torch.equal(one['inputs'], other['inputs'])
        assert torch.equal(found, torch.where(torch.isin(label, torch.tensor(unseen)), label + HIDDEN, label))
        assert (found >= HIDDEN).any() and (found < IGNORE).any()


@pytest.mark.parametrize('label_set', ['voc20', 'coco_stuff'])
def test_a_batch_holds_expected_values_only(label_set, tmp_path):
    """Shipped pipeline with its choice of crops, padded to one size by the preprocessor."""
    cfg = Config.fromfile(CONFIGS / f'{label_set}_transductive.py')
    reduce_zero_label = label_set not in STARTS_AT_0
    dataset = write_dataset(label_set, tmp_path, reduce_zero_label, cfg.train_pipeline)
    samples = [seeded(dataset.__getitem__, index) for index in range(2)]
    size = tuple(side + 32 for side in cfg.crop_size)  # beyond the crop, so that each image is padded
    pad = MODELS.build(dict(type='mmseg.SegDataPreProcessor', mean=[0.] * 3, std=[1.] * 3, size=size, seg_pad_val=255))
    batch = pad(pseudo_collate(samples), training=True)
    for sample in batch['data_samples']:
        labels = sample.gt_sem_seg.data
        in_file = naive(sample.seg_map_path, dataset.METAINFO['classes'], UNSEEN[label_set], reduce_zero_label)
        assert {255} < set(labels.unique().tolist()) <= set(sum(in_file, []))
        assert labels.shape == (1, *size) and (labels[:, -32:] == 255).all() and (labels >= HIDDEN).any()


def results_of(labels, **kwargs):
    return dict(gt_seg_map=labels, seg_fields=['gt_seg_map'], seg_map_path='a/mask.png', **kwargs)


@pytest.mark.parametrize('dtype', [np.uint8, np.int16, np.uint16, np.int32, np.int64])
def test_masks_of_any_width_and_lists_of_names(dtype):
    labels = np.array([[0, 1, 2, 255]], dtype)
    results = HideClasses(['cat', 'dog', 'cow'], ['dog']).transform(results_of(labels, label_map={0: 2, 1: 1, 2: 0}))
    assert results['gt_seg_map'].tolist() == [[0, HIDDEN + 1, 2, 255]] and results['gt_seg_map'].dtype == np.uint16
    assert labels.tolist() == [[0, 1, 2, 255]], 'the input mask must stay unchanged'


@pytest.mark.parametrize('unseen', [[], None, ''])
def test_nothing_to_hide(unseen):
    with pytest.raises(UserError, match="no unseen class: set it to the classes to hide"):
        HideClasses('voc20', unseen)


def test_unknown_and_too_many_classes():
    with pytest.raises(UserError, match=r"\['zebra'\] are not among the 20 classes of HideClasses"):
        HideClasses('voc20', ['sofa', 'zebra'])
    names = [f'class {index}' for index in range(256)]
    assert HideClasses(names[:255], names[254:255]).num_classes == 255
    with pytest.raises(UserError, match='256 classes: expected at most 255'):
        HideClasses(names, names[:1])


@pytest.mark.parametrize('value, dtype, reason', [
    (20, np.uint8, '20, but HideClasses has 20 classes, 0 to 19'), (254, np.uint8, '254, but HideClasses has 20'),
    (300, np.uint16, '300, but HideClasses has'), (-1, np.int16, '-1, but HideClasses has'),
    (HIDDEN + 15, np.uint16, '32783, but labels from 32768 are .* use HideClasses once'),
    (HIDDEN, np.int32, '32768, but labels from'), (2**16 - 1, np.uint16, '65535, but labels from'),
    (2**16 + 3, np.int64, '65539, but labels from')])
def test_invalid_labels_are_named(value, dtype, reason):
    labels = np.array([[0, 19, 255, value]], dtype)
    with pytest.raises(UserError, match=f"Mask 'a/mask.png' has the label {reason}") as error:
        HideClasses('voc20', 'voc20:unseen').transform(results_of(labels))
    assert '\n' not in str(error.value)


def test_no_mask_and_an_inductive_data_set(tmp_path):
    with pytest.raises(UserError, match="no mask for image 'a.jpg'.* HideEverything"):
        HideClasses('voc20', 'voc20:unseen').transform(dict(img_path='a.jpg'))
    seen = class_names('toy:seen')
    dataset = DATASETS.build(dict(type='ToySceneDataset', num_images=1, metainfo=dict(classes=seen),
                                  pipeline=[dict(type='DrawToyScene'), hide('toy')]))
    with pytest.raises(UserError, match='has 20 classes, but its data set keeps 15'):
        dataset[0]


@pytest.mark.parametrize('label_set', SETS)
def test_everything_hidden_with_the_truth_of_the_file(label_set, tmp_path):
    dataset = write_dataset(label_set, tmp_path, True, [*loading(label_set), dict(type='HideEverything')])
    for item in dataset:
        values = np.array(Image.open(item['seg_map_path'])).tolist()
        truth = [[UNKNOWN if value in (0, 255) else value - 1 for value in row] for row in values]
        assert item['gt_seg_map'].tolist() == [[32768 + label for label in row] for row in truth]
        assert item['gt_seg_map'].dtype == np.uint16 and item['seg_fields'] == ['gt_seg_map']


def test_everything_hidden_without_a_mask(tmp_path):
    write_image(tmp_path / 'a.jpg')
    dataset = DATASETS.build(dict(type='BaseSegDataset', data_prefix=dict(img_path=str(tmp_path)), metainfo=dict(
        classes=['cat']), pipeline=[LOADING[0], dict(type='HideEverything')]))
    item = dataset[0]
    assert item['gt_seg_map'].shape == (HEIGHT, WIDTH) and item['gt_seg_map'].dtype == np.uint16
    assert (item['gt_seg_map'] == HIDDEN + UNKNOWN).all() and item['seg_fields'] == ['gt_seg_map']


def test_hidden_twice_is_hidden_once():
    labels = np.array([[0, HIDDEN + 3, HIDDEN + UNKNOWN, 255]], np.uint16)
    once = HideEverything().transform(results_of(labels))['gt_seg_map']
    assert once.tolist() == [[HIDDEN, HIDDEN + 3, HIDDEN + UNKNOWN, HIDDEN + UNKNOWN]]
    assert labels.tolist() == [[0, HIDDEN + 3, HIDDEN + UNKNOWN, 255]], 'the input mask must stay unchanged'
    assert np.array_equal(HideEverything().transform(results_of(once))['gt_seg_map'], once)


@pytest.mark.parametrize('settings', [
    dict(classes=None, unseen='voc20:unseen'), dict(classes='voc20', unseen=3),
    dict(classes='voc20', unseen=['dragon'])])
def test_invalid_settings(settings):
    refused(lambda: HideClasses(**settings))


LABELS = np.zeros((20, 30), np.int64)


@pytest.mark.parametrize('mask', [LABELS / 2, LABELS * np.nan, 'x', LABELS + 77, LABELS - 1, LABELS + 2**32,
                                  LABELS - 2**32, LABELS.astype(np.uint64) + 2**63])
def test_invalid_masks(mask):
    hide = HideClasses(classes='voc20', unseen='voc20:unseen')
    refused(lambda: hide(dict(gt_seg_map=mask, img_path='x.jpg')), 'x.jpg')


MANY = [f'class {index}' for index in range(300)]


@pytest.mark.parametrize('ignored', [65535, 300, 32765])
@pytest.mark.parametrize('dtype', [np.uint16, np.int32, np.int64])
def test_many_classes_with_another_ignored_value(ignored, dtype):
    labels = np.array([[0, 254, 255, 299, ignored]], dtype)
    item = HideClasses(MANY, [MANY[0], MANY[255]], ignore_index=ignored)(results_of(labels))
    assert item['gt_seg_map'].tolist() == [[HIDDEN, 254, HIDDEN + 255, 299, ignored]]
    assert item['gt_seg_map'].dtype == np.uint16
    item = HideEverything(ignored)(results_of(labels))
    assert item['gt_seg_map'].tolist() == [[HIDDEN, HIDDEN + 254, HIDDEN + 255, HIDDEN + 299, HIDDEN + UNKNOWN]]


@pytest.mark.parametrize('ignored', [255, 299, -1, 32766, 40000, 65534, 65536, 'a', None])
def test_ignored_values_that_mean_something_else(ignored):
    refused(lambda: HideClasses(MANY, MANY[:1], ignore_index=ignored), 'HideClasses')
    if ignored not in (255, 299):
        refused(lambda: HideEverything(ignored), 'HideEverything.ignore_index')


def test_a_reordered_data_set_of_many_classes_keeps_all():
    """mmseg's label_map then has 255 as a class."""
    turned = {old: 299 - old for old in range(300)}
    results = dict(results_of(np.array([[255]], np.uint16)), label_map=turned)
    assert HideClasses(MANY, MANY[:1], ignore_index=65535)(results)['gt_seg_map'].tolist() == [[255]]
