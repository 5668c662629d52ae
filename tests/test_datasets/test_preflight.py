"""Look for the files of every data set of a config."""
import threading

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_mvp.datasets import check_data, preflight
from mmseg_mvp.errors import UserError

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.fixture
def root(tmp_path):
    for index in range(6):
        for folder, suffix in (('photos', '.jpg'), ('masks', '.png')):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / folder / f'{index}{suffix}')
    return tmp_path


def files(root, **settings):
    return dict(dict(type='BaseSegDataset', data_root=str(root), metainfo=dict(classes=['sky']),
                     data_prefix=dict(img_path='photos', seg_map_path='masks')), **settings)


def config(dataset, loader='train_dataloader'):
    return Config({loader: dict(dataset=dataset)})


def message(cfg):
    with pytest.raises(UserError) as error:
        check_data(cfg)
    assert '\n' not in str(error.value)
    return str(error.value)


WRAPPERS = {
    'none': lambda one: one,
    'concat': lambda one: dict(type='ConcatDataset', datasets=[dict(type='ToySceneDataset', num_images=1), one]),
    'repeat': lambda one: dict(type='RepeatDataset', times=2, dataset=one),
    'balanced': lambda one: dict(type='ClassBalancedDataset', oversample_thr=.1, dataset=one),
    'mixed': lambda one: dict(type='MultiImageMixDataset', pipeline=[], dataset=WRAPPERS['concat'](one))}


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader', 'test_dataloader'])
@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_missing_files_are_counted_and_named(root, wrapper, loader):
    cfg = config(WRAPPERS[wrapper](files(root)), loader)
    assert check_data(cfg) == []
    for index in range(1, 5):
        (root / f'masks/{index}.png').unlink()
    said = message(cfg)
    assert f'4 of the 6 masks of {loader} (BaseSegDataset) are missing' in said and 'data_prefix.seg_map_path' in said
    assert [index for index in range(6) if f'masks/{index}.png' in said] == [1, 2, 3]
    (root / 'list.txt').write_text('7\n0\n')
    listed = config(WRAPPERS[wrapper](files(root, ann_file='list.txt')), loader)
    said = message(listed)
    assert '1 of the 2 images' in said and 'photos/7.jpg' in said and 'list.txt' in said
    assert check_data(listed, files=False) == []


def test_links_count_as_files_and_broken_links_do_not(root):
    (root / 'photos/9.jpg').symlink_to(root / 'photos/0.jpg')
    (root / 'masks/9.png').symlink_to(root / 'masks/0.png')
    assert check_data(config(files(root))) == []
    (root / 'masks/0.png').unlink()
    assert '2 of the 7 masks' in message(config(files(root)))


def test_data_set_of_the_user_with_its_own_list(root):
    class Own(BaseDataset):
        METAINFO = dict(classes=['sky'])

        def __init__(self, pipeline=()):
            super().__init__(pipeline=list(pipeline))

        def load_data_list(self):
            return [dict(img_path=str(root / f'photos/{name}.jpg')) for name in '05']

    assert check_data(config(dict(type=Own))) == []
    assert check_data(config(dict(type=Own, pipeline=[dict(type='LoadAnnotations')]))) == [], 'its masks are its own'
    (root / 'photos/5.jpg').unlink()
    assert '1 of the 2 images of train_dataloader (Own)' in message(config(dict(type=Own)))

    def broken(self):
        raise RuntimeError('no database')

    Own.load_data_list = broken
    assert 'RuntimeError: no database' in message(config(dict(type=Own)))


@pytest.mark.parametrize('settings, words', [
    (dict(img_dir='photos'), "unexpected keyword argument 'img_dir'"), (dict(indices=0), 'has no image'),
    (dict(data_prefix=dict(img_path=3)), 'image folder of train_dataloader (BaseSegDataset) is 3'),
    (dict(ann_file=['a.txt', 'b.txt']), 'expected one path'),
    (dict(data_prefix=dict(seg_map_path='masks')), 'has no img_path'),
    (dict(ann_file='list.json'), '1 of the 1 images'),
    (dict(img_suffix=('.jpg', '.png')), 'set one ending as text'),
    (dict(seg_map_suffix=None), 'set one ending as text'),
    (dict(data_prefix='photos'), 'expected a dict with img_path'),
    (dict(pipeline=dict(type='LoadAnnotations')), 'expected a list of transforms'),
    (dict(pipeline='LoadAnnotations'), 'expected a list of transforms'),
    (dict(metainfo=dict(classes='toy')), "is the text 'toy', and each letter would be a class")])
def test_settings_that_the_data_set_refuses(root, settings, words):
    (root / 'list.json').write_text('none')
    said = message(config(files(root, **settings)))
    assert words in said and 'train_dataloader (BaseSegDataset)' in said


def test_a_list_of_data_sets_is_told_the_wrapper(root):
    assert "join several by dict(type='ConcatDataset'" in message(config([files(root), files(root)]))


@pytest.mark.parametrize('steps', [['LoadAnnotations'], [lambda results: results]])
def test_steps_that_are_no_dicts_are_left_to_mmengine(root, steps):
    assert check_data(config(files(root, pipeline=steps))) == []


@pytest.mark.parametrize('shape', [(2, 3, 3), (3, 2), (5, 3)])
def test_masks_of_another_shape_than_the_image(root, shape):
    Image.fromarray(np.zeros(shape, np.uint8)).save(root / 'masks/0.png')
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    said = message(config(files(root, pipeline=load)))
    assert f'masks/0.png\' of train_dataloader has the shape {shape}, and the image (2, 3)' in said


def test_only_the_images_in_use_are_looked_for(root):
    (root / 'photos/5.jpg').rename(root / 'photos/5.txt')
    (root / 'list.txt').write_text('0\n1\n5\n')
    assert check_data(config(files(root, ann_file='list.txt', indices=2))) == []
    assert len(check_data(config(files(root, indices=2)))) == 0
    assert '1 of the 3 images' in message(config(files(root, ann_file='list.txt')))


def test_test_set_without_masks_is_run_without_them(root):
    for mask in (root / 'masks').iterdir():
        mask.unlink()
    cfg = config(files(root), 'test_dataloader')
    note, = check_data(cfg)
    assert 'has no mask in' in note and 'nothing to score' in note
    assert all('seg_map_path' not in sample for sample in DATASETS.build(cfg.test_dataloader.dataset))
    assert '6 of the 6 masks' in message(config(files(root)))


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader', 'test_dataloader'])
def test_pipeline_that_loads_masks_of_data_without(root, loader):
    images = dict(data_prefix=dict(img_path='photos'))
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
    cfg = config(files(root, pipeline=load, **images), loader)
    if loader == 'test_dataloader':
        assert len(check_data(cfg)) == 1
        sample = DATASETS.build(cfg.test_dataloader.dataset)[0]
        assert sample['inputs'].shape == (3, 2, 3) and 'gt_sem_seg' not in sample['data_samples']
    else:
        said = f'{loader} (BaseSegDataset) has no mask, but its pipeline loads masks: set data_prefix.seg_map_path'
        assert said in message(cfg)
        assert check_data(config(files(root, pipeline=[load[0], load[2]], **images), loader)) == []


def test_masks_of_another_suffix_are_a_mistake(root):
    said = message(config(files(root, seg_map_suffix='_labels.png'), 'test_dataloader'))
    assert '6 of the 6 masks' in said and "masks/0.png': compare seg_map_suffix='_labels.png'" in said


def test_missing_mask_folder_can_be_set_to_none(root):
    cfg = config(files(root, data_prefix=dict(img_path='photos', seg_map_path='none')), 'test_dataloader')
    assert 'test_dataloader.dataset.data_prefix.seg_map_path=None' in message(cfg)
    cfg.test_dataloader.dataset.data_prefix.seg_map_path = None
    cfg.test_dataloader.dataset.ann_file = None
    assert check_data(cfg) == ['test_dataloader (BaseSegDataset) has no mask: the test runs without masks and has '
                               'nothing to score.']
    assert len(DATASETS.build(cfg.test_dataloader.dataset)) == 6


@pytest.mark.parametrize('name', ['4.JPG', '4.png', '4.jpeg', 'deep/4.tif'])
def test_images_that_the_suffix_leaves_out(root, name):
    (root / 'photos/deep').mkdir()
    (root / 'photos/notes.txt').touch()
    (root / 'photos/4.jpg').rename(root / 'photos' / name)
    note, = check_data(config(files(root)))
    assert 'uses 5 of the 6 images' in note and f"photos/{name}'" in note and "img_suffix='.jpg'" in note
    said = message(config(files(root, img_suffix='.webp')))
    assert "img_suffix='.webp'" in said and '6 images that end in' in said


def test_masks_beside_their_images_are_not_left_out(root):
    for mask in (root / 'masks').iterdir():
        mask.rename(root / 'photos' / mask.name)
    beside = files(root, data_prefix=dict(img_path='photos', seg_map_path='photos'))
    assert check_data(config(beside)) == []


@pytest.mark.parametrize('settings', [
    dict(backend_args=dict(backend='petrel')), dict(data_root='s3://bucket'),
    dict(data_prefix=dict(img_path='s3://bucket/photos'))])
def test_remote_data_are_not_checked(root, settings):
    assert check_data(config(files(root, **settings))) == []


@pytest.mark.parametrize('slow', [True, False])
def test_a_long_look_is_announced(root, slow, monkeypatch, capsys):
    class Clock(threading.Timer):
        def start(self):
            assert self.interval == 10 and self.daemon
            if slow:
                self.function(*self.args, **self.kwargs)

    monkeypatch.setattr(preflight, 'Timer', Clock)
    check_data(config(files(root)))
    said = 'Still looking for the files of train_dataloader; --skip-data-check omits this.\n'
    assert capsys.readouterr().err == (said if slow else '')
