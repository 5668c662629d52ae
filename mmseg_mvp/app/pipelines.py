"""Adaptation of test pipelines to data without masks, and to test time augmentation."""
import copy
from collections.abc import Mapping, Sequence

from mmengine.config import Config

from mmseg_mvp.datasets.checks import leaf_datasets
from mmseg_mvp.datasets.pipelines import loads_masks, steps_of, without_mask_loading
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.config import type_name

_NO_EFFECT = ('backend_args', 'file_client_args', 'imdecode_backend', 'meta_keys')  # on the pixels and their labels


def omit_masks(cfg: Config, loaders: Sequence[str]) -> None:
    """Remove the steps that load masks for data sets without masks (no ``data_prefix.seg_map_path``), in place.

    Raises:
        UserError: If a training data set has no masks.
    """
    for loader in loaders:
        for dataset in leaf_datasets((cfg.get(loader) or {}).get('dataset') or {}):
            if has_masks(dataset):
                continue
            dataset['data_prefix'].pop('seg_map_path', None)
            pipeline = dataset.get('pipeline') or []
            if loader == 'train_dataloader' and loads_masks(pipeline):
                raise UserError(f'{loader} ({type_name(dataset)}) has no masks to train on: set '
                                f'data_prefix.seg_map_path of its data set to their folder')
            dataset['pipeline'] = without_mask_loading(pipeline)


def has_masks(dataset: Mapping) -> bool:
    """Return False if the config of a data set names its folders, but none of masks."""
    prefix = dataset.get('data_prefix')
    return not prefix or prefix.get('seg_map_path') is not None


def use_tta(cfg: Config) -> None:
    """Wrap the model for test time augmentation and replace the pipelines of all test data sets, in place.

    Raises:
        UserError: If the config has no ``tta_model`` or ``tta_pipeline``, or this pipeline is of another data set: it
            loads, draws or packs samples in another way than the test pipeline.
    """
    if missing := [name for name in ('tta_model', 'tta_pipeline') if not cfg.get(name)]:
        raise UserError(f'--tta needs {" and ".join(missing)} in {cfg.filename}; see configs/_base_/datasets')
    for dataset in leaf_datasets(cfg.test_dataloader.dataset):
        pipeline = dataset.get('pipeline') or []
        if not has_masks(dataset):
            pipeline, augmented = without_mask_loading(pipeline), without_mask_loading(copy.deepcopy(cfg.tta_pipeline))
        else:
            augmented = copy.deepcopy(cfg.tta_pipeline)
        found, expected = _sources(augmented), _sources(pipeline)
        if found != expected:
            raise UserError(f'--tta: tta_pipeline is of another data set: it has {_text(found, expected)}, but the '
                            f'pipeline of {type_name(dataset)} has {_text(expected, found)}; take the steps that load '
                            f'and pack samples from the pipeline of test_dataloader')
        dataset['pipeline'] = augmented
    cfg.model = dict(**cfg.tta_model, module=cfg.model)


def _sources(pipeline: Sequence) -> list[dict]:
    """List the steps that decide on pixels, labels and names of a sample, without settings that change none of them."""
    steps = [{key: value for key, value in step.items() if key not in _NO_EFFECT} for step in steps_of(pipeline)
             if type_name(step).startswith(('Load', 'Draw', 'Hide', 'Pack'))]
    return sorted(steps, key=repr)


def _text(steps: list[dict], others: list[dict]) -> str:
    return ', '.join(map(_call, (step for step in steps if step not in others))) or 'no other step'


def _call(step: Mapping) -> str:
    return f'{type_name(step)}({", ".join(f"{key}={value!r}" for key, value in step.items() if key != "type")})'
