"""Settings that the content of a feature bank depends on."""
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from torch import nn
from torch.utils.data import Dataset

from mmseg_mvp.datasets.checks import leaf_datasets
from mmseg_mvp.errors import UserError

from .bank_crops import Crops

# Settings of a data set that have no effect on its images; `data_digest` covers the files.
_PLACES = ('data_root', 'backend_args', 'max_refetch', 'lazy_init', 'serialize_data')


def bank_settings(cfg: Config, crops: Crops, precision: str, model: nn.Module, crop_size: Sequence[int]) -> dict:
    """Return all settings that the content of a bank depends on, by name, as plain data of JSON."""
    dataset = _without(json.loads(json.dumps(cfg.train_dataloader.dataset, default=str)), _PLACES)
    settings = {
        **model.backbone.identity(), 'crop size': ' x '.join(map(str, reversed(crop_size))),
        'number of augmentations': crops.augmentations, 'seed': crops.seed, 'precision': precision,
        'data_preprocessor': cfg.model.get('data_preprocessor'),
        'size_divisor': model.size_divisor, 'number of images': len(crops), 'train_dataloader.dataset': dataset,
        'data (hash of names, sizes and times of the files)': data_digest(crops.dataset)}
    return json.loads(json.dumps(settings, default=str))


def data_digest(dataset: Dataset) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of all entries of a data set and the state of their files.

    Paths count from ``data_root``. The state of a file is its size and the time of its last change.

    Raises:
        UserError: If the data set has no list of its images.
    """
    digest = hashlib.sha256()
    for leaf in leaf_datasets(dataset):
        if not hasattr(leaf, 'get_data_info'):
            raise UserError(f'{type(leaf).__name__} has no list of its images (get_data_info), which a feature bank '
                            f'needs: use a data set of mmengine, or train without --feature-bank (feature_bank).')
        root = getattr(leaf, 'data_root', None) or ''
        for index in range(len(leaf)):
            for key, value in sorted(leaf.get_data_info(index).items()):
                state = _state(value) if key.endswith('_path') else ''
                value = value.removeprefix(root) if isinstance(value, str) else value
                digest.update(f'{key}={value!r}{state}\n'.encode('utf-8', 'surrogateescape'))
    return digest.hexdigest()[:16]


def _state(path: Any) -> str:
    try:
        found = os.stat(path)
    except (OSError, TypeError, ValueError):  # generated or remote
        return ''
    return f' {found.st_size} {found.st_mtime_ns}'


def _without(part: Any, keys: Sequence[str]) -> Any:
    """Return a part of a config without some keys, at any depth."""
    if isinstance(part, Mapping):
        return {key: _without(value, keys) for key, value in part.items() if key not in keys}
    return [_without(value, keys) for value in part] if isinstance(part, list) else part
