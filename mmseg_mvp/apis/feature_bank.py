"""Building of a feature bank: the frozen image tower runs once over fixed augmentations of the training images."""
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, broadcast_object_list, get_dist_info
from mmengine.logging import print_log
from mmengine.utils import ProgressBar
from mmseg.registry import DATASETS, MODELS
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from mmseg_mvp.datasets.bank_files import BankFiles, locked
from mmseg_mvp.datasets.feature_bank import FeatureBankDataset
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.segmentors.feature_inputs import check_frozen_features
from mmseg_mvp.models.utils.ignored_label import ignored_label
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.files import written_size
from mmseg_mvp.utils.random_state import kept_random_state
from mmseg_mvp.utils.settings_index import PRECISIONS

from .bank_crops import Crops, features_of, inputs_of, mixed_sizes
from .bank_settings import bank_settings

_LABEL_TYPES = ('uint8', 'uint16', 'int32')


def build_bank(cfg: Config, folder: str | Path, augmentations: int = 8, precision: str = 'float16', seed: int = 0,
               model: nn.Module | None = None) -> FeatureBankDataset:
    """Store the features and labels of the training images of a config, or open a folder that has them.

    The training pipeline draws A crops per image, with random numbers that depend on seed, image and crop only. An
    unfinished bank is continued. Several processes of torchrun share the work. Random states are restored.

    Args:
        cfg (Config): Config with ``model`` and ``train_dataloader``.
        folder (str | Path): Folder of the bank.
        augmentations (int): Number A of crops per image.
        precision (str): Type of the stored features, ``'float16'`` or ``'float32'``.
        seed (int): Seed of the crops.
        model (nn.Module, optional): Segmentor of the config, on its device. None builds it on the best device.

    Returns:
        FeatureBankDataset: Data set of the stored crops.

    Raises:
        UserError: If the model does not fit (:func:`check_frozen_features`), crops differ in size, the folder holds
            another bank or other files, the disk has too little space, or another process builds the bank.
    """
    check_number('feature_bank.augmentations', augmentations, least=1, whole=True)
    check_number('feature_bank.seed', seed, least=0, whole=True)
    if precision not in PRECISIONS:
        raise UserError(f'feature_bank.precision is {precision!r}: expected {" or ".join(PRECISIONS)}.')
    model = MODELS.build(cfg.model).to(get_device()) if model is None else model
    check_frozen_features(model)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    crops = Crops(dataset, augmentations, seed)
    rank, world = get_dist_info()
    with ExitStack() as lock, kept_random_state():
        missing = _from_first_process(lambda: _begin(cfg, Path(folder), crops, precision, model, lock))
        if missing:
            _fill(BankFiles.open(folder), missing[rank::world], crops, model, cfg.train_dataloader)
        barrier()
    return FeatureBankDataset(folder, dataset)


def _begin(cfg: Config, folder: Path, crops: Crops, precision: str, model: nn.Module, lock: ExitStack) -> list[int]:
    """Check an existing bank or begin a new one. Store the first missing image, and return the others."""
    _, labels = inputs_of(crops[0], model)
    settings = bank_settings(cfg, crops, precision, model, labels.shape[1:])
    files = BankFiles.open(folder)
    if files is not None:
        files.check_settings(settings)
    missing = list(range(len(crops))) if files is None else files.missing()
    if not missing:
        print_log(f'Features of {len(crops)} images come from the feature bank {folder}.', 'current')
        return []
    lock.enter_context(locked(folder))
    start = time.perf_counter()
    images, labels = inputs_of(crops[missing[0]], model)
    features = features_of(images, model, cfg.train_dataloader)
    seconds = (time.perf_counter() - start) * len(missing) / get_dist_info()[1]
    files = files or BankFiles(folder, settings, len(crops), crops.augmentations, features.shape[1:], labels.shape[1:],
                               precision, _label_type(model))
    _announce(files, len(missing), seconds)
    files.write_index()
    _store(files, missing[0], features, labels, crops)
    return missing[1:]


def _announce(files: BankFiles, count: int, seconds: float) -> None:
    """Say the size and the time of ``count`` images.

    Raises:
        UserError: If the disk has too little space.
    """
    need, free = count * files.bytes_per_image, shutil.disk_usage(files.folder).free
    what = f'{count} of {files.images} images x {files.augmentations} augmentations'
    if need > free:
        raise UserError(f'The feature bank {files.folder} needs {written_size(need)} for {what}, but its disk has '
                        f'{written_size(free)} free: free disk space, lower feature_bank.augmentations, or name a '
                        f'folder on another disk.')
    print_log(f'Building the feature bank {files.folder}: {what}, {written_size(need)} on disk ({written_size(free)} '
              f'free), about {_duration(seconds)}. A killed run goes on with the same command.', 'current')


def _fill(files: BankFiles, images: list[int], crops: Crops, model: nn.Module, loader: Mapping) -> None:
    """Compute and store images. The first process shows its progress."""
    samples = DataLoader(Subset(crops, images), batch_size=None, num_workers=loader.get('num_workers') or 0,
                         collate_fn=_unchanged)
    with _progress(len(images)) as step:
        for image, packed in zip(images, samples):
            inputs, labels = inputs_of(packed, model)
            _store(files, image, features_of(inputs, model, loader), labels, crops)
            step()


@contextmanager
def _progress(count: int) -> Iterator[Callable[[], None]]:
    """Show a bar with the remaining time in the first process, and end its line; yield the function for a step."""
    if not count or get_dist_info()[0]:
        yield lambda: None
        return
    try:
        yield ProgressBar(count).update
    finally:
        print()


def _unchanged(samples: list[dict]) -> list[dict]:
    return samples


def _store(files: BankFiles, image: int, features: Tensor, labels: Tensor, crops: Crops) -> None:
    """Write features (A, D, h, w) and labels (A, H, W) of an image.

    Raises:
        UserError: If they differ in size from those of other images, or do not fit the types of the bank.
    """
    path = crops.dataset.get_data_info(image).get('img_path')
    expected, found = files.index['labels'], list(labels.shape[1:])
    if found != expected:
        raise mixed_sizes(path, found, expected)
    stored = features.to(getattr(torch, files.index['precision'])).cpu()
    if not stored.isfinite().all():
        raise UserError(f"The features of {path!r} are not finite in {files.index['precision']}: set "
                        f"feature_bank.precision='float32', or check the CLIP's weights.")
    values = labels.cpu().numpy()
    kept = values.astype(files.index['label_type'])
    if not np.array_equal(kept, values):
        wrong = values[kept != values][0]
        raise UserError(f'The mask of {path!r} has the label {wrong}, which is not a class of the model: '
                        f'train_classes and the data must list the same classes.')
    files.write(image, stored.numpy(), kept)


def _label_type(model: nn.Module) -> str:
    """Return the smallest type of the labels of a model."""
    largest = len(model.decode_head.classifier.train_vocabulary) - 1
    values = ignored_label(model), largest
    return next(name for name in _LABEL_TYPES
                if np.iinfo(name).min <= min(values) and max(values) <= np.iinfo(name).max)


def _from_first_process(call: Callable[[], list[int]]) -> list[int]:
    """Return what the first process gets from a call; raise its UserError in all processes."""
    outcome = [None]
    if not get_dist_info()[0]:
        try:
            outcome = [call()]
        except UserError as error:
            if get_dist_info()[1] == 1:
                raise
            outcome = [error]
    broadcast_object_list(outcome)
    if isinstance(outcome[0], UserError):
        raise outcome[0]
    return outcome[0]


def _duration(seconds: float) -> str:
    """Write a duration."""
    if seconds < 60:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
