"""Check that the data files of a config exist."""
import math
import re
import shutil

import pytest
from fixtures.refusals import refused
from fixtures.trees import write_ade20k, write_context, write_voc
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_mvp.datasets.checks import TREES, check_data
from mmseg_mvp.errors import UserError


def voc(root, ann='ImageSets/Segmentation/train.txt', masks='SegmentationClass', kind='PascalVOC20Dataset'):
    return dict(type=kind, data_root=str(root), ann_file=ann,
                data_prefix=dict(img_path='JPEGImages', seg_map_path=masks))


def config(dataset, loader='train_dataloader'):
    return Config({loader: dict(dataset=dataset)})


def message(cfg, **kwargs):
    with pytest.raises(UserError) as error:
        check_data(cfg, **kwargs)
    return str(error.value)


def test_missing_root_prints_the_expected_tree(tmp_path):
    first, *tree = message(config(voc(tmp_path / 'nowhere'))).splitlines()
    assert re.search("data root '.*nowhere' of train_dataloader .PascalVOC20Dataset. is missing", first)
    assert tree[:2] == ['Expected:', str(tmp_path / 'nowhere')]
    assert all(any(part in line for line in tree) for part in ('JPEGImages', 'SegmentationClassAug', 'aug,val'))


@pytest.mark.parametrize('lost, kind', [
    ('JPEGImages', 'image folder'), ('SegmentationClassAug', 'mask folder'),
    ('ImageSets/Segmentation/aug.txt', 'split file')])
def test_missing_part_inside_wrappers(tmp_path, lost, kind):
    root = write_voc(tmp_path)
    parts = [voc(root), voc(root, 'ImageSets/Segmentation/aug.txt', 'SegmentationClassAug', 'mmseg.PascalVOC20Dataset')]
    wrapped = config(dict(type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=parts)))
    check_data(wrapped)
    shutil.rmtree(root / lost) if (root / lost).is_dir() else (root / lost).unlink()
    text = message(wrapped)
    assert text.startswith(f'The {kind} ') and str(root / lost) in text.splitlines()[0] and '└──' in text


def test_empty_split_file(tmp_path):
    root = write_context(tmp_path)
    (root / 'ImageSets/SegmentationContext/val.txt').write_text('')
    dataset = voc(root, 'ImageSets/SegmentationContext/val.txt', 'SegmentationClassContext', 'PascalContextDataset59')
    assert 'missing or empty' in message(config(dataset, 'val_dataloader'))


def test_only_given_loaders_are_checked(tmp_path):
    root = write_ade20k(tmp_path)
    there = dict(type='ADE20KDataset', data_root=str(root),
                 data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'))
    cfg = Config(dict(train_dataloader=dict(dataset=voc('nowhere')), test_dataloader=dict(dataset=there)))
    check_data(cfg, ['test_dataloader'])
    assert 'train_dataloader' in message(cfg)


def test_data_sets_without_files_and_configs_without_loaders_pass():
    check_data(config(dict(type='ToySceneDataset', num_images=3)))
    check_data(Config(dict(train_dataloader=None)))


def test_unknown_data_set_gets_the_sentence_alone():
    text = message(config(voc('nowhere', kind='MyDataset')))
    assert 'nowhere' in text and 'MyDataset' in text and '\n' not in text


pytestmark = pytest.mark.usefixtures('mmseg_scope')


NAN = math.nan


LONG = 'x' * 5000


TOY = dict(type='ToySceneDataset', num_images=3)


PASCAL = dict(type='PASCAL5iDataset', data_root='/nowhere', list_dir='splits', fold=0)


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
