"""Checks of a config's loops, schedules and hooks, before anything is built."""
import inspect
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmcv.transforms import Normalize
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import CheckpointHook
from mmengine.optim.scheduler import ReduceOnPlateauParamScheduler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATA_SAMPLERS, HOOKS, LOOPS, METRICS, OPTIMIZERS, PARAM_SCHEDULERS
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from mmseg_mvp.datasets.checks import leaf_datasets
from mmseg_mvp.datasets.pipelines import is_a, steps_of
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.config import KNOWN_KEYS, component_class, takes, type_name

_LEVELS = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
# Kind of each part, and True if it can be None.
_KINDS = {
    'env_cfg': (Mapping, False), 'randomness': (Mapping, False), 'custom_hooks': ((list, tuple), True),
    **dict.fromkeys(('default_hooks', 'log_processor', 'optim_wrapper', 'train_dataloader', 'val_dataloader',
                     'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg'), (Mapping, True))}
# Settings that mmengine's DefaultOptimWrapperConstructor reads.
_PARAMWISE = ('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult',
              'dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate')
# Of each training loop: the class, its setting, and the other loop's setting.
_LOOPS = ((EpochBasedTrainLoop, 'max_epochs', 'max_iters'), (IterBasedTrainLoop, 'max_iters', 'max_epochs'))


def check_run(cfg: Config, loaders: Sequence[str]) -> None:
    """Check the settings of a run that mmengine accepts, but that end in a traceback or never end.

    Args:
        cfg (Config): Config of the run.
        loaders (Sequence[str]): Data loaders in use; training is checked if ``train_dataloader`` is among them.

    Raises:
        UserError: If a number is out of range, the units (epochs, iterations) of loop, schedule and checkpoints differ,
            or an infinite sampler feeds a loop that waits for its end.
    """
    _check_kinds(cfg)
    _check_keys(cfg)
    if 'train_dataloader' in loaders:
        _check_optimizers(cfg)
    by_epoch = _check_train_loop(cfg.get('train_cfg') or {}) if 'train_dataloader' in loaders else None
    for name in loaders:
        loader = cfg.get(name) or {}
        _check_loader(name, loader)
        _check_normalised_once(name, loader, cfg.get('model') or {})
        _check_metrics(name.replace('dataloader', 'evaluator'), cfg)
        if name != 'train_dataloader' or by_epoch:
            _check_sampler(name, loader)
    if by_epoch is False:
        _check_units(cfg)


def _check_kinds(cfg: Config) -> None:
    """Check that the parts of a config that mmengine reads without a check are of the right kind."""
    for key, (kind, optional) in _KINDS.items():
        if key in cfg and not isinstance(cfg[key], kind) and not (optional and cfg[key] is None):
            expected = 'a dict' if kind is Mapping else 'a list'
            raise UserError(f'{key} is {reprlib.repr(cfg[key])}, but mmengine expects {expected}: correct it, or omit '
                            'it for the default')
    level = cfg.get('log_level', 'INFO')
    if not isinstance(level, int) and level not in _LEVELS:
        raise UserError(f'log_level is {level!r}: set one of {", ".join(_LEVELS)}')


def _check_keys(cfg: Config) -> None:
    """Refuse a key that is nearly one of mmengine's, which would be ignored. Suffixes mark variables of the config."""
    for key in cfg.keys() - KNOWN_KEYS:
        near = get_close_matches(key, KNOWN_KEYS, n=1, cutoff=.9)
        if near and not re.match(rf'{near[0]}[_\d]', key):
            raise UserError(f'The config has {key!r}, which mmengine ignores: write {near[0]!r}, or another name for a '
                            f'variable')


def _check_optimizers(cfg: Config) -> None:
    """Check the type of each optimizer, and the settings of ``clip_grad``, which torch would see in the first step."""
    wrapper = cfg.get('optim_wrapper') or {}
    parts = [wrapper, *(part for part in wrapper.values() if isinstance(part, Mapping))]
    for part in [part for part in parts if isinstance(part.get('optimizer'), Mapping)]:
        kind, clip = part['optimizer'].get('type'), part.get('clip_grad') or {}
        if component_class(kind, OPTIMIZERS) is None:
            raise UserError(f'optim_wrapper has the optimizer {kind!r}, which is not registered: set the name of a '
                            'class in torch.optim, such as AdamW, in its capitals')
        known = inspect.signature(clip_grad_value_ if clip.get('type') == 'value' else clip_grad_norm_).parameters
        if unknown := sorted(clip.keys() - known.keys() - {'type'}):
            raise UserError(f'optim_wrapper.clip_grad has {unknown[0]!r}: its settings are {", ".join([*known][1:])}')
        if isinstance(part['optimizer'].get('lr', 0), str):
            raise UserError(f'optim_wrapper.optimizer.lr is {part["optimizer"]["lr"]!r}: write a number, as 1e-4')
    for rates in () if wrapper.get('constructor') else wrapper.get('paramwise_cfg') or ():
        if rates not in _PARAMWISE:
            near = get_close_matches(rates, _PARAMWISE, n=1, cutoff=0)[0]
            raise UserError(f'optim_wrapper.paramwise_cfg has {rates!r}, which mmengine ignores: write {near!r}, or '
                            f'remove it; its settings are {", ".join(_PARAMWISE)}')


def _check_train_loop(loop: Mapping) -> bool | None:
    """Check the training loop; return True if it counts epochs, False for iterations and None for another loop."""
    if ('type' in loop) == ('by_epoch' in loop):
        raise UserError(f'train_cfg has {"both" if "type" in loop else "neither"} type and by_epoch ({dict(loop)}): '
                        f'set one, such as type=\'IterBasedTrainLoop\' with max_iters')
    kind = component_class(loop['type'], LOOPS) if 'type' in loop else _LOOPS[not loop.get('by_epoch')][0]
    for known, own, other in _LOOPS:
        if not (isinstance(kind, type) and issubclass(kind, known)):
            continue
        if loop.get(other) is not None or own not in loop:
            raise UserError(f'train_cfg is a {kind.__name__}, which needs {own} and no {other}, but has '
                            f'{dict(loop)}: set {own}, or use the other loop')
        for setting in (own, 'val_interval'):
            if setting in loop:
                check_number(f'train_cfg.{setting}', loop[setting], least=1)
        return known is EpochBasedTrainLoop
    return None


def _check_loader(name: str, loader: Mapping) -> None:
    for setting, least in (('batch_size', 1), ('num_workers', 0)):
        if loader.get(setting) is not None:
            check_number(f'{name}.{setting}', loader[setting], least=least, whole=True)
    if loader.get('persistent_workers') and not loader.get('num_workers'):
        raise UserError(f'{name}.persistent_workers is True, but {name}.num_workers is 0: set '
                        f'persistent_workers=False, or num_workers to 1 or more')


def _check_normalised_once(name: str, loader: Mapping, model: Mapping) -> None:
    """Refuse mmcv's ``Normalize`` before a data preprocessor that normalises too, as those with a CLIP always do."""
    if (model.get('data_preprocessor') or {}).get('mean') is None and 'EncoderDecoder' == type_name(model):
        return
    for dataset in leaf_datasets(loader.get('dataset') or {}):
        steps = steps_of(dataset.get('pipeline') or ()) if isinstance(dataset, Mapping) else ()
        if model and any(is_a(step, Normalize) for step in steps):
            raise UserError(f'The pipeline of {name} has Normalize, but model.data_preprocessor normalises images as '
                            'well: remove this step.')


def _check_metrics(name: str, cfg: Config) -> None:
    """Refuse settings that ``IoUMetric`` takes and ignores."""
    for place, metric in _dicts(cfg.get(name), name):
        kind = component_class(metric['type'], METRICS)
        if isinstance(kind, type) and issubclass(kind, IoUMetric):
            if unknown := [key for key in metric if key != 'type' and not takes(kind, key)]:
                raise UserError(f'{place} ({type_name(metric)}) has the unknown setting {unknown[0]!r}: correct or '
                                'omit it, because the metric ignores it')


def _check_sampler(name: str, loader: Mapping) -> None:
    """Check that the sampler of a loop over all images ends."""
    sampler = loader.get('sampler')
    kind = component_class(sampler.get('type'), DATA_SAMPLERS) if isinstance(sampler, Mapping) else None
    if isinstance(kind, type) and issubclass(kind, InfiniteSampler):
        training = name == 'train_dataloader'
        raise UserError(f'{name}.sampler is {kind.__name__}, which never ends, but {"epochs" if training else "a pass"}'
                        f' must: use sampler=dict(type=\'DefaultSampler\', shuffle={training})'
                        f'{", or train_cfg.type=IterBasedTrainLoop" * training}')


def _check_units(cfg: Config) -> None:
    """Check that nothing in a run by iterations waits for the end of an epoch, which is the end of the run."""
    for place, scheduler in _dicts(cfg.get('param_scheduler'), 'param_scheduler'):
        kind = component_class(scheduler['type'], PARAM_SCHEDULERS)
        if isinstance(kind, type) and issubclass(kind, ReduceOnPlateauParamScheduler):
            continue  # it steps after each validation
        if scheduler.get('by_epoch', True):
            raise UserError(f'{place} ({type_name(scheduler)}) counts epochs, but train_cfg counts iterations, so '
                            f'it would never step: set by_epoch=False, and begin, end and other times in iterations')
    for place, setting in (('log_processor', 'by_epoch'), ('default_hooks.logger', 'log_metric_by_epoch')):
        if _get(cfg, place).get(setting):
            raise UserError(f'{place}.{setting} is True, but train_cfg counts iterations, so the log would have all '
                            f'validations at epoch 0: set it to False')
    hooks = [*_dicts(cfg.get('default_hooks'), 'default_hooks'), *_dicts(cfg.get('custom_hooks'), 'custom_hooks')]
    for place, hook in hooks:
        kind = component_class(hook['type'], HOOKS)
        if isinstance(kind, type) and issubclass(kind, CheckpointHook) and hook.get('by_epoch', True):
            raise UserError(f'{place} ({type_name(hook)}) counts epochs, but train_cfg counts iterations, so the '
                            f'first checkpoint would be the last: set by_epoch=False, and interval in iterations')


def _get(cfg: Config, place: str) -> Mapping:
    for key in place.split('.'):
        cfg = cfg.get(key) or {}
    return cfg


def _dicts(part: Any, place: str) -> Iterator[tuple[str, Mapping]]:
    """Generate the components (dicts with a type) in a part of a config, with their places."""
    if isinstance(part, Mapping) and 'type' in part:
        yield place, part
        return
    parts = [(f'{place}.{key}', value) for key, value in part.items()] if isinstance(part, Mapping) else [
        (f'{place}[{index}]', value) for index, value in enumerate(part or ())]
    for inner, value in parts:
        if isinstance(value, (Mapping, list, tuple)):
            yield from _dicts(value, inner)
