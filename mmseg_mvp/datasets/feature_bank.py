"""Data set of stored features of a frozen image tower."""
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

from mmseg_mvp.errors import UserError

from .bank_files import BankFiles

_KEPT = ('img_path', 'seg_map_path', 'reduce_zero_label')


@DATASETS.register_module()
class FeatureBankDataset(Dataset):
    """Features and labels of the crops of a data set, stored by :func:`mmseg_mvp.apis.build_bank`.

    Each access draws one of the A crops of the image from numpy's random numbers, which
    :class:`mmseg_mvp.engine.IterationSeedHook` seeds. Number and order of the images are those of the data set.

    Args:
        folder (str | Path): Folder of the bank, which is complete.
        dataset (Dataset | dict): Data set of the images, or its config. Its images are not read.

    Attributes:
        dataset (Dataset): Data set of the images.
        metainfo (dict): Metainfo of the data set.

    Raises:
        UserError: If the bank is missing, incomplete, or of another number of images.
    """

    def __init__(self, folder: str | Path, dataset: Dataset | dict) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        self.metainfo = self.dataset.metainfo
        self.files = BankFiles.open(folder)
        missing = ['all'] if self.files is None else self.files.missing()
        if missing or self.files.images != len(self.dataset):
            found = self.files.images - len(missing) if self.files else 0
            raise UserError(f'The feature bank {folder} has {found} images, but the data set has {len(self.dataset)}: '
                            f'build it by tools/train.py CONFIG --feature-bank {folder}.')

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset)

    def get_data_info(self, index: int) -> dict:
        """Return the entry of an image in the list of the data set."""
        return self.dataset.get_data_info(index)

    def __getitem__(self, index: int) -> dict:
        """Return ``features`` (D, h, w) and ``data_samples`` with ``gt_sem_seg`` (1, H, W) int64 of a random crop."""
        features, labels = self.files.read(index, np.random.randint(self.files.augmentations))
        info = self.get_data_info(index)
        sample = SegDataSample(metainfo={key: info[key] for key in _KEPT if key in info})
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(labels.astype(np.int64))[None])
        return dict(features=torch.from_numpy(features), data_samples=sample)
