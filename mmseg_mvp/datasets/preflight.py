"""Check of all files of a data set before the model is built: lists, images, masks, and the values of some masks."""
import inspect
import os
import os.path as osp
import sys
from collections.abc import Callable, Iterator, Mapping
from threading import Timer
from typing import Any

from mmengine.dataset import BaseDataset
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.config import component_class, describe, root_cause, type_name
from mmseg_mvp.utils.file_index import FileIndex, first_three

from .mask_samples import check_mask_samples
from .pipelines import loads_masks, without_mask_loading
from .split_files import BACKEND, list_name, use_any_split_file

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
PATIENCE = 10  # seconds until a message says what takes so long


def prepare(cfg: dict, loader: str) -> BaseDataset | None:
    """Build a data set without pipeline and without reading it; None if it is not one of mmengine's or not local.

    The config changes in place: an ``ann_file`` or ``data_prefix`` of None is removed, and a split file that mmseg
    alone would read wrong gets another file backend.

    Raises:
        UserError: If the data set refuses its settings, has no image folder, or the split file has only blank lines.
    """
    cls = component_class(cfg.get('type'), DATASETS)
    if not (inspect.isclass(cls) and issubclass(cls, BaseDataset)) or is_remote(cfg):
        return None
    for settings in (cfg, cfg.get('data_prefix') or {}):
        for key in [key for key in ('ann_file', 'img_path', 'seg_map_path') if settings.get(key, '') is None]:
            del settings[key]
    given = {key: cfg[key] for key in cfg if key != 'pipeline'}
    dataset = _read(loader, cfg, lambda: DATASETS.build({**given, **_accepted(cls)}))
    if isinstance(dataset.metainfo.get('classes'), str):
        raise UserError(f'metainfo.classes of {loader} ({type_name(cfg)}) is the text {dataset.metainfo["classes"]!r}, '
                        'and each letter would be a class: set a list of names, or the path of a file with one name '
                        'per line.')
    if not _has_mmseg_list(dataset):
        return dataset
    for key in [key for key in ('img_suffix', 'seg_map_suffix') if not isinstance(getattr(dataset, key), str)]:
        raise UserError(f'{key} of {loader} ({type_name(cfg)}) is {getattr(dataset, key)!r}: set one ending as text, '
                        "such as '.png'.")
    if 'img_path' not in dataset.data_prefix:
        raise UserError(f'data_prefix of {loader} ({type_name(cfg)}) has no img_path: set it to the image folder.')
    if not dataset._fully_initialized:
        use_any_split_file(dataset, cfg)
    return dataset


def check_files(dataset: BaseDataset, cfg: dict, loader: str) -> list[str]:
    """Read the list of a data set, look for all its files, and check the values of some masks.

    A test set without masks is allowed: its ``data_prefix.seg_map_path`` and the steps of the pipeline that load masks
    are removed from the config.

    Returns:
        list[str]: Notes for the log.

    Raises:
        UserError: If the list can't be read or is empty, images or masks are missing, or a mask has a wrong value.
    """
    slow = Timer(PATIENCE, print, [f'Still looking for the files of {loader}; --skip-data-check omits this.'],
                 dict(file=sys.stderr, flush=True))
    slow.daemon = True
    slow.start()
    try:
        _read(loader, cfg, dataset.full_init)
        return [*_check_paths(dataset, cfg, loader)]
    finally:
        slow.cancel()


def check_pairs(cfg: dict, loader: str) -> None:
    """Check that each mask of a data set without a list has its image, so that no part of the images is gone.

    Raises:
        UserError: If a mask has none.
    """
    dataset = prepare(cfg, loader)
    if dataset is None or not _has_mmseg_list(dataset) or osp.isfile(dataset.ann_file):
        return
    images, masks, suffix = *map(dataset.data_prefix.get, ('img_path', 'seg_map_path')), dataset.seg_map_suffix
    found = [osp.relpath(osp.join(place, name), masks)[:-len(suffix)] for place, _, names in os.walk(masks or '')
             for name in names if name.endswith(suffix)]
    if missing := FileIndex().missing([osp.join(images, name + dataset.img_suffix) for name in found]):
        raise UserError(f'{len(missing)} of the {len(found)} masks of {loader} ({type_name(cfg)}) have no image: '
                        f'{first_three(missing)} are missing; add the images, because the figures are those of the '
                        f'whole set.')


def is_remote(cfg: Mapping) -> bool:
    """Check if a data set is not on a local or mounted drive."""
    places = [cfg.get('data_root'), cfg.get('ann_file'), *(cfg.get('data_prefix') or {}).values()]
    backend = (cfg.get('backend_args') or {}).get('backend', 'local')
    return backend not in ('local', BACKEND) or any('://' in place for place in places if isinstance(place, str))


def _has_mmseg_list(dataset: BaseDataset) -> bool:
    """Check that a data set lists its files as mmseg's base class does."""
    return type(dataset).load_data_list is BaseSegDataset.load_data_list


def _check_paths(dataset: BaseDataset, cfg: dict, loader: str) -> Iterator[str]:
    samples = [dataset.get_data_info(i) for i in range(len(dataset))] if dataset.serialize_data else dataset.data_list
    yield from _check_suffix(dataset, loader)
    if not samples:
        raise UserError(f'{loader} ({type_name(cfg)}) has no image: correct its settings and its list.')
    index = FileIndex()
    images = [path for sample in samples for path in _paths(sample, dataset, 'img_path', 'img_path2')]
    if missing := index.missing(images):
        raise UserError(_sentence('images', missing, images, dataset, cfg, loader, index))
    masks = [path for sample in samples for path in _paths(sample, dataset, 'seg_map_path')]
    missing = index.missing(masks)
    if not missing:
        check_mask_samples([sample for sample in samples if sample.get('seg_map_path')], dataset, cfg, loader)
    elif not _is_without_masks(missing, masks, dataset, cfg, loader, index):
        raise UserError(_sentence('masks', missing, masks, dataset, cfg, loader, index))
    if images and len(missing) == len(set(masks)) and _has_mmseg_list(dataset):
        yield from _go_without_masks(cfg, loader, f' in {osp.dirname(missing[0])!r}' if missing else '')


def _go_without_masks(cfg: dict, loader: str, folder: str) -> Iterator[str]:
    """Have a test load no mask; refuse a training or validation that would."""
    pipeline = cfg.get('pipeline') or []
    if loader == 'test_dataloader':
        (cfg.get('data_prefix') or {}).pop('seg_map_path', None)
        cfg['pipeline'] = without_mask_loading(pipeline)
        yield f'{loader} ({type_name(cfg)}) has no mask{folder}: the test runs without masks and has nothing to score.'
    elif loads_masks(pipeline):
        raise UserError(f'{loader} ({type_name(cfg)}) has no mask, but its pipeline loads masks: set '
                        f'data_prefix.seg_map_path of {loader}.')


def _is_without_masks(missing: list[str], masks: list[str], dataset: BaseDataset, cfg: Mapping, loader: str,
                      index: FileIndex) -> bool:
    """Check that a test set has no mask at all, also none of another suffix, and can be run without."""
    return (loader == 'test_dataloader' and 'seg_map_path' in (cfg.get('data_prefix') or {})
            and _has_mmseg_list(dataset) and len(missing) == len(set(masks))
            and _other(missing, getattr(dataset, 'seg_map_suffix', ''), index) is None)


def _paths(sample: Mapping, dataset: BaseDataset, *keys: str) -> Iterator[str]:
    """Generate the files of a sample. A name without a folder, beside no list, names a generated image."""
    for path in map(sample.get, keys):
        if isinstance(path, str) and (dataset.ann_file or osp.dirname(path)):
            yield path


def _check_suffix(dataset: BaseDataset, loader: str) -> Iterator[str]:
    """Name the images in the folder that ``img_suffix`` leaves out, for data sets without a split file."""
    if not _has_mmseg_list(dataset) or osp.isfile(dataset.ann_file):
        return
    folder, suffix = dataset.data_prefix['img_path'], dataset.img_suffix
    images = _images(folder, dataset)
    others = sorted(path for path in images if not path.endswith(suffix))
    endings = ', '.join(sorted({osp.splitext(path)[1] for path in others}))
    if len(others) == len(images):
        found = f'it has {len(others)} images that end in {endings}' if others else 'it has no image'
        raise UserError(f'No file in the image folder {folder!r} of {loader} ends in img_suffix={suffix!r}: {found}; '
                        f'set img_suffix or data_prefix.img_path of {loader}.')
    if others:
        yield (f'{loader} uses {len(images) - len(others)} of the {len(images)} images in {folder!r}, because the '
               f'others do not end in img_suffix={suffix!r} ({first_three(others)}): rename them, or read those that '
               f'end in {endings} by a second data set with another img_suffix, in a ConcatDataset.')


def _images(folder: str, dataset: BaseSegDataset) -> list[str]:
    """List the visible images under a folder, and the files of any ``img_suffix``, but no mask of the data set."""
    masks = dataset.data_prefix.get('seg_map_path')
    paths = [osp.join(place, name) for place, _, names in os.walk(folder, followlinks=True) for name in names
             if not name.startswith('.') and name.lower().endswith((*IMAGE_SUFFIXES, dataset.img_suffix.lower()))]
    return [path for path in paths if path.endswith(dataset.img_suffix) or masks is None
            or not (path.startswith(masks) and path.endswith(dataset.seg_map_suffix))]


def _sentence(kind: str, missing: list[str], all_paths: list[str], dataset: BaseDataset, cfg: Mapping, loader: str,
              index: FileIndex) -> str:
    prefix, suffix = ('img_path', 'img_suffix') if kind == 'images' else ('seg_map_path', 'seg_map_suffix')
    beside = _other(missing, getattr(dataset, suffix, ''), index)
    hint = f' (beside them is {beside!r}: compare {suffix}={getattr(dataset, suffix, None)!r})' if beside else ''
    source = list_name(dataset.ann_file) if osp.isfile(getattr(dataset, 'ann_file', None) or '') else ''
    return (f'{len(missing)} of the {len(set(all_paths))} {kind} of {loader} ({type_name(cfg)}) are missing: '
            f'{first_three(missing)}{hint}; add the files, or correct data_root, data_prefix.{prefix} or {suffix} of '
            f'{loader}{source}.')


def _other(missing: list[str], suffix: str, index: FileIndex) -> str | None:
    """Return a file that has the stem of the first missing file, but another suffix."""
    folder, name = osp.split(missing[0])
    stem = name.removesuffix(suffix)
    names = sorted(other for other in index.names(folder)
                   if other.startswith(stem) and not other[len(stem):][:1].isalnum())
    return osp.join(folder, names[0]) if names else None


def _read(loader: str, cfg: Mapping, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except UserError:
        raise
    except Exception as error:  # data sets raise their own exceptions
        raise UserError(f'The data set of {loader} ({type_name(cfg)}) fails with {describe(root_cause(error))}: '
                        'correct its settings and its list.') from error


def _accepted(cls: type) -> dict:
    """Return the settings that speed up a data set that is only checked, as far as its class takes them."""
    parameters = inspect.signature(cls.__init__).parameters
    free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    settings = dict(pipeline=[], lazy_init=True, serialize_data=False)
    return {key: value for key, value in settings.items() if free or key in parameters}
