"""The mixed training set on small trees in the real file formats: each pixel keeps the class name of its file."""
from pathlib import Path

import mmseg
import numpy as np
import pytest
from fixtures.builders import DATA_CONFIGS, data_config, file_labels
from fixtures.trees import write_mixed
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS

import mmseg_mvp  # noqa: F401
from mmseg_mvp.datasets import check_data
from mmseg_mvp.errors import UserError

pytestmark = pytest.mark.usefixtures('mmseg_scope')

CONFIG = DATA_CONFIGS / 'mixed_lseg.py'
THEIRS = Path(mmseg.__file__).parent / '.mim/configs/_base_/datasets'
HOSTS = ['ade20k', 'cityscapes', 'coco-stuff164k', 'bdd100k', 'mapillary_v1']
UNLABELLED = {'ADE20KDataset': 0, 'MapillaryDataset_v1': 65}  # value in the file; 255 in the other data sets
FIRST = {'ADE20KDataset': 1}  # value of the first class; 0 in the other data sets


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_mixed(folder)
    return folder


@pytest.fixture
def cfg(folder):
    return data_config('mixed_lseg', folder)


def names_in_file(path, kind):
    """Return the class name of each pixel by the METAINFO of the data set, None if unlabelled, (H, W)."""
    classes = np.array([*DATASETS.get(kind).METAINFO['classes'], None], dtype=object)
    values = file_labels(path)
    ignored = values == UNLABELLED.get(kind, 255)
    assert ignored.any() and not ignored.all()
    return classes[np.where(ignored, -1, values - FIRST.get(kind, 0))]


@pytest.mark.parametrize('part', range(5), ids=HOSTS)
def test_every_pixel_has_the_name_of_its_file(cfg, part):
    part = cfg.train_dataloader.dataset.datasets[part]
    part.pipeline = [step for step in part.pipeline if 'Random' not in step.type]
    dataset = DATASETS.build(part)
    assert len(dataset) == 2
    for item in dataset:
        sample = item['data_samples']
        names = np.array([*sample.vocabulary, None], dtype=object)
        labels = sample.gt_sem_seg.data[0].numpy().astype(int)
        found = names[np.where(labels == 255, -1, labels)]
        assert np.array_equal(found, names_in_file(sample.seg_map_path, part.type))


def test_a_batch_has_samples_with_lists_of_their_own(cfg):
    check_data(cfg)
    loader = dict(cfg.train_dataloader, batch_size=5, num_workers=0, persistent_workers=False)
    batches = iter(Runner.build_dataloader(loader, seed=0))
    for _ in range(2):
        batch = next(batches)
        lists = [sample.vocabulary for sample in batch['data_samples']]
        assert sorted(map(len, lists)) == [19, 19, 65, 150, 171]
        assert all(image.shape[0] == 3 and max(image.shape[1:]) <= 480 for image in batch['inputs'])
        for sample, one in zip(batch['data_samples'], lists):
            labels = sample.gt_sem_seg.data
            assert (labels != 255).any() and (labels[labels != 255] < len(one)).all()


def test_files_are_where_mmseg_documents_them():
    ours = Config.fromfile(CONFIG).train_dataloader.dataset.datasets
    for part, host in zip(ours, HOSTS, strict=True):
        theirs = Config.fromfile(THEIRS / f'{host}.py').train_dataloader.dataset
        assert (part.type, part.data_root, part.data_prefix) == (
            theirs.type, theirs.data_root.rstrip('/'), theirs.data_prefix)
    assert ours[-1].metainfo.classes == list(
        Config.fromfile(THEIRS / 'mapillary_v1_65.py').train_dataloader.dataset.metainfo.classes)


@pytest.mark.parametrize('part, words', [
    (1, ['gtFine', 'leftImg8bit', 'labelTrainIds', 'cityscapes.py']), (3, ['images/10k', 'sem_seg/masks']),
    (4, ['training/v1.2/labels'])])
def test_a_missing_data_set_draws_the_tree_that_it_must_have(cfg, folder, part, words):
    cfg.train_dataloader.dataset.datasets[part].data_root = str(folder / 'elsewhere')
    with pytest.raises(UserError) as error:
        check_data(cfg)
    first, *tree = str(error.value).splitlines()
    assert 'elsewhere' in first and 'train_dataloader' in first
    assert all(any(word in line for line in tree) for word in words)


def test_evaluation_is_that_of_ade20k(cfg):
    base = Config.fromfile(CONFIG.parent / 'ade20k_lseg.py')
    for key in ('val_evaluator', 'test_evaluator', 'test_pipeline'):
        assert cfg[key] == base[key]
    assert DATASETS.build(cfg.test_dataloader.dataset).metainfo['classes'] == DATASETS.get(
        'ADE20KDataset').METAINFO['classes']
    assert 'vocabulary' not in DATASETS.build(cfg.val_dataloader.dataset)[0]['data_samples']
