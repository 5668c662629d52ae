"""The configs of PASCAL-5i, COCO-20i and FSS-1000 over trees on small trees in the real formats."""
import pickle
import shutil

import numpy as np
import pytest
import torch
from fixtures.builders import DATA_CONFIGS, LOADERS, ROOT, data_config
from fixtures.trees import EPISODE_WRITERS, FSS_CATEGORIES, HEIGHT, WIDTH, write_list
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS, METRICS
from PIL import Image

from mmseg_mvp import app
from mmseg_mvp.datasets import check_data
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import class_names

pytestmark = pytest.mark.usefixtures('mmseg_scope')

WITH_FOLDS = ['pascal5i', 'coco20i']
TESTED = {'pascal5i': lambda fold: class_names('voc20')[5 * fold:5 * fold + 5],
          'coco20i': lambda fold: class_names('coco80')[fold::4],
          'fss1000': lambda fold: sorted(FSS_CATEGORIES['test'])}


@pytest.fixture(params=EPISODE_WRITERS)
def name(request):
    return request.param


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    """Folder with all three data sets; tests must not change it."""
    folder = tmp_path_factory.mktemp('data')
    for write in EPISODE_WRITERS.values():
        write(folder)
    return folder


def load(name, folder):
    """Load a config for the data in a folder, without worker processes."""
    cfg = data_config(name, folder, workers=False)
    for loader in LOADERS:
        cfg[loader].dataset.serialize_data = False  # faster: mmengine collects garbage when it serializes
    return cfg


def file_labels(sample, name):
    """Return the expected label of each pixel, from the values of the mask file: 1 class, 0 others, 255 ignored."""
    values = np.array(Image.open(sample.seg_map_path).convert('L' if name == 'fss1000' else 'P')).astype(int)
    if name == 'fss1000':
        return (values >= 128).astype(int)
    names = class_names('voc20' if name == 'pascal5i' else 'coco80')
    return np.where(values == 255, 255, values == 1 + names.index(list(sample.vocabulary)[1]))


@pytest.mark.parametrize('fold', range(4))
@pytest.mark.parametrize('name', WITH_FOLDS)
def test_the_environment_sets_the_fold(name, fold, trees, monkeypatch):
    monkeypatch.setenv('FOLD', str(fold))
    cfg = load(name, trees)
    check_data(cfg)
    assert cfg.fold == str(fold)
    tested = DATASETS.build(cfg.test_dataloader.dataset).metainfo['episode_classes']
    trained = DATASETS.build(cfg.train_dataloader.dataset).metainfo['episode_classes']
    names = class_names('voc20' if name == 'pascal5i' else 'coco80')
    assert tested == TESTED[name](fold) and trained == [one for one in names if one not in tested]


def test_without_a_fold_it_is_the_first(trees, monkeypatch):
    monkeypatch.delenv('FOLD', raising=False)
    assert DATASETS.build(load('pascal5i', trees).test_dataloader.dataset).fold == 0


def test_a_test_image_is_squashed_and_compared_so(name, trees):
    cfg = load(name, trees)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    assert len(dataset) == (30 if name == 'fss1000' else 1000)
    for index in range(0, 24, 6):
        item = dataset[index]
        sample = item['data_samples']
        image = Image.open(sample.img_path).resize((480, 480), Image.BILINEAR)  # as torchvision's Resize
        assert np.array_equal(item['inputs'].numpy()[::-1].transpose(1, 2, 0), np.array(image))
        assert sample.ori_shape == sample.img_shape == (480, 480) and list(sample.vocabulary)[0] == 'others'
        rows, columns = np.arange(480) * HEIGHT // 480, np.arange(480) * WIDTH // 480
        assert np.array_equal(sample.gt_sem_seg.data[0], file_labels(sample, name)[rows][:, columns])


def test_one_setting_compares_at_the_size_of_the_file(name, trees):
    cfg = load(name, trees)
    cfg.merge_from_dict({'test_dataloader.dataset.pipeline.2.at_input_size': False,
                         'test_dataloader.dataset.episodes': 'all'})
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    assert len(dataset) == {'pascal5i': 6, 'coco20i': 40, 'fss1000': 30}[name]
    item = dataset[1]
    sample = item['data_samples']
    assert item['inputs'].shape == (3, 480, 480) and sample.ori_shape == (HEIGHT, WIDTH)
    assert np.array_equal(sample.gt_sem_seg.data[0], file_labels(sample, name))


def test_a_training_batch(name, trees):
    cfg = load(name, trees)
    cfg.train_dataloader.batch_size = 6
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    names = DATASETS.build(cfg.train_dataloader.dataset).metainfo['episode_classes']
    assert len({tuple(sample.vocabulary) for sample in batch['data_samples']}) > 1
    for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
        labels = sample.gt_sem_seg.data
        assert image.dtype == torch.uint8 and image.shape[1:] == labels.shape[1:] and max(image.shape[1:]) <= 480
        assert list(sample.vocabulary)[0] == 'others' and list(sample.vocabulary)[1] in names
        assert set(labels.unique().tolist()) <= set(np.unique(file_labels(sample, name)).tolist())


def test_training_labels_are_the_files(name, trees):
    cfg = load(name, trees)
    dataset = cfg.train_dataloader.dataset
    dataset.pipeline = [step for step in dataset.pipeline if not step.type.startswith(('Random', 'Counting'))]
    dataset = DATASETS.build(dataset)
    for index in (0, 5, 9):
        sample = dataset[index]['data_samples']
        assert np.array_equal(sample.gt_sem_seg.data[0], file_labels(sample, name))
        assert (sample.gt_sem_seg.data == 1).any()


def test_a_leaf_trains_on_squashed_images(name, trees, tmp_path):
    docs = (ROOT / 'docs/lseg_data.md').read_text()
    line = docs.split('```python\n')[1].split('```')[0]
    (tmp_path / 'leaf.py').write_text(f"_base_ = ['{(DATA_CONFIGS / name).as_posix()}.py']\n{line}")
    dataset = Config.fromfile(tmp_path / 'leaf.py').train_dataloader.dataset
    dataset.data_root = dataset.data_root.replace('data/', f'{trees}/', 1)
    item = DATASETS.build(dataset)[0]
    assert dataset.split == 'train' and item['data_samples'].gt_sem_seg.shape == item['inputs'].shape[1:] == (480, 480)


def test_training_sizes_follow_the_recipe(name):
    resize, crop = Config.fromfile(DATA_CONFIGS / f'{name}.py').train_pipeline[2:4]
    assert (resize.scale, resize.ratio_range, resize.keep_ratio) == ((520, 520), (0.5, 2.0), True)
    assert crop.crop_size == (480, 480) and crop.get('cat_max_ratio', 1.) == 1


def test_evaluators_know_the_data_set(name, trees):
    cfg = load(name, trees)
    for loader, evaluator in (('val_dataloader', cfg.val_evaluator), ('test_dataloader', cfg.test_evaluator)):
        dataset = DATASETS.build(cfg[loader].dataset)
        metric = METRICS.build(evaluator)
        metric.dataset_meta = dataset.metainfo
        samples = [dataset[index]['data_samples'] for index in range(3)]
        for sample in samples:
            sample.pred_sem_seg = sample.gt_sem_seg.clone()
            sample.pred_sem_seg.data = sample.pred_sem_seg.data.where(sample.gt_sem_seg.data != 255, 1)
        metric.process({}, [sample.to_dict() for sample in samples])
        assert metric.evaluate(3) == {'mIoU': 100, 'FBIoU': 100}


@pytest.mark.parametrize('name', WITH_FOLDS)
def test_leaf_and_dump_keep_the_fold(name, tmp_path, monkeypatch):
    monkeypatch.setenv('FOLD', '3')
    leaf = tmp_path / 'leaf.py'
    leaf.write_text(f"_base_ = '{(DATA_CONFIGS / name).as_posix()}.py'\nwork_dir = f'work_dirs/fold{{_base_.fold}}'\n")
    cfg = Config.fromfile(leaf)
    assert cfg.work_dir == 'work_dirs/fold3' and cfg.test_dataloader.dataset.fold == '3'
    cfg.dump(tmp_path / 'dumped.py')
    monkeypatch.setenv('FOLD', '1')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize('fold', ['4', '-1', 'abc', '1.0', '0 '])
def test_folds_that_do_not_exist(fold, trees, monkeypatch):
    monkeypatch.setenv('FOLD', fold)
    with pytest.raises(UserError, match=f"fold is '{fold}': it must be 0, 1, 2 or 3"):
        check_data(load('pascal5i', trees), ['test_dataloader'])


@pytest.mark.parametrize('key', ['fold', 'test_dataloader.dataset.fold'])
def test_a_fold_set_elsewhere_would_not_reach_everything(key, trees, monkeypatch):
    monkeypatch.setenv('FOLD', '1')
    cfg = load('pascal5i', trees)
    app.merge_options(cfg, {key: 2})
    with pytest.raises(UserError, match='The config has fold .*, and test_dataloader has fold .* variable FOLD'):
        check_data(cfg, ['test_dataloader'])
    app.merge_options(cfg, {key: 1})
    check_data(cfg)


def test_a_missing_root_draws_the_tree(name, tmp_path):
    with pytest.raises(UserError) as error:
        check_data(load(name, tmp_path))
    first, *tree = str(error.value).splitlines()
    assert first.startswith('The data root ') and 'train_dataloader' in first and tree[0] == 'Expected:'
    lists = load(name, tmp_path).test_dataloader.dataset.list_dir
    assert any(lists in line for line in tree) and any('.png' in line or '{jpg,png}' in line for line in tree)


@pytest.mark.parametrize('lost, kind', [('splits', 'list folder'), ('JPEGImages', 'image folder'),
                                        ('SegmentationClassAug', 'mask folder')])
def test_a_missing_folder_draws_the_tree(lost, kind, tmp_path):
    root = EPISODE_WRITERS['pascal5i'](tmp_path)
    shutil.rmtree(root / lost)
    with pytest.raises(UserError, match=rf'The {kind} .*{lost}(.*\n)*.*└── splits/pascal'):
        check_data(load('pascal5i', tmp_path))


def test_lists_and_files_are_checked_before_anything_is_built(tmp_path):
    root = EPISODE_WRITERS['pascal5i'](tmp_path)
    write_list(root / 'splits/pascal/trn/fold3.txt', ['2008_000001'])
    check_data(load('pascal5i', tmp_path), ['test_dataloader'])
    with pytest.raises(UserError, match='Line 1 of list'):
        check_data(load('pascal5i', tmp_path))
    root = EPISODE_WRITERS['coco20i'](tmp_path)
    (root / 'splits/coco/val/fold0.pkl').write_bytes(pickle.dumps(print))
    with pytest.raises(UserError, match='builtins.print'):
        check_data(load('coco20i', tmp_path), ['test_dataloader'])
    root = EPISODE_WRITERS['fss1000'](tmp_path)
    (root / 'bus/10.png').unlink()
    with pytest.raises(UserError, match='1 of the 60 images and masks .*bus/10.png'):
        check_data(load('fss1000', tmp_path), ['test_dataloader'])
