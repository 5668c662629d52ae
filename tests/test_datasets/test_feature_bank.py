"""Data set of stored features: order and number of the images, draw of the crop, samples."""
import numpy as np
import pytest
import torch
from fixtures.banks import AUGMENTED, NAMES
from fixtures.refusals import refused
from mmseg.registry import DATASETS

from mmseg_mvp.datasets import FeatureBankDataset
from mmseg_mvp.datasets.bank_files import BankFiles
from mmseg_mvp.utils.random_state import seed_cpu

CROPS = 3
TOY = dict(type='ToySceneDataset', num_images=2, metainfo=dict(classes=NAMES), pipeline=AUGMENTED)


@pytest.fixture
def files(tmp_path):
    """A bank whose features are ten times the image plus the crop, and whose labels are the crop."""
    files = BankFiles(tmp_path / 'bank', {}, 2, CROPS, (1, 1, 1), (2, 2), label_type='uint16')
    files.folder.mkdir()
    files.write_index()
    for image in range(2):
        crops = np.arange(CROPS)[:, None, None]
        files.write(image, 10 * image + crops[..., None], 300 + crops + np.zeros((1, 2, 2)))
    return files


def test_samples_are_those_of_a_drawn_crop(mmseg_scope, files):
    dataset = FeatureBankDataset(files.folder, TOY)
    assert len(dataset) == 2 and list(dataset.metainfo['classes']) == NAMES
    seed_cpu(5)
    drawn = np.random.randint(CROPS)
    seed_cpu(5)
    sample = dataset[1]
    assert sample['features'].dtype == torch.float16 and sample['features'].tolist() == [[[10. + drawn]]]
    labels = sample['data_samples'].gt_sem_seg.data
    assert labels.dtype == torch.int64 and labels.tolist() == [[[300 + drawn] * 2] * 2]
    assert sample['data_samples'].metainfo['img_path'] == 'toy_train_000001.png'


def test_all_crops_are_drawn_and_equal_seeds_draw_equal_ones(mmseg_scope, files):
    dataset = FeatureBankDataset(files.folder, DATASETS.build(TOY))

    def draws(seed):
        seed_cpu(seed)
        return [dataset[0]['features'].item() for _ in range(30)]

    assert set(draws(0)) == {0., 1., 2.} and draws(0) == draws(0) != draws(1)


def test_an_incomplete_or_foreign_bank_is_refused(mmseg_scope, files, tmp_path):
    refused(lambda: FeatureBankDataset(files.folder, dict(TOY, num_images=3)), 'has 2 images', 'has 3')
    files.path(1).unlink()
    refused(lambda: FeatureBankDataset(files.folder, TOY), 'has 1 images', '--feature-bank')
    refused(lambda: FeatureBankDataset(tmp_path / 'new', TOY), 'has 0 images')
