"""Comparison of a checkpoint with the config of the run that is resumed from it."""
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import zip_longest
from typing import Any

from mmengine.config import Config

from mmseg_mvp.checkpoints.config_text import UNREAD, read_settings
from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import short
from mmseg_mvp.utils.without_cuda import SYNC_BN
from mmseg_mvp.vocabularies import class_names

# Settings that make a method. A resumed run may change most others, such as the batch size or the schedule.
_METHOD = ('model.type', 'model.backbone.type', 'model.decode_head.type', 'model.decode_head.prompts.type')
_COMPARED = ('model', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'train_cfg', 'train_dataloader',
             'randomness', 'feature_bank')
# mmengine restores these from the checkpoint: states of optimizers and schedulers, and the seed.
_RESTORED = re.compile(r'optim_wrapper\.(\w+\.)?(optimizer|paramwise_cfg)\b.*|param_scheduler\b.*|randomness\.seed')
# A state fits no component of another kind.
_STATEFUL = re.compile(r'optim_wrapper\.(\w+\.)?optimizer\.type|param_scheduler\b.*\.type')
_UNSET = type('Unset', (), {'__repr__': lambda self: 'not set'})()
_ABSENT = (_UNSET, None)
_Summary = type('Summary', (str,), {'__repr__': str.__str__})  # text that is no value of a config

Difference = tuple[str, Any, Any]  # setting, its value in the checkpoint, its value in the config


def compare_run(path: str, checkpoint: dict, cfg: Config) -> list[str]:
    """Compare the config in a checkpoint with the config of the run.

    Args:
        path (str): Checkpoint to resume from.
        checkpoint (dict): Its content. The config in it is read as data and not run.
        cfg (Config): Config of the run.

    Returns:
        list[str]: One sentence for each difference, which says if the checkpoint's value holds or the config's.

    Raises:
        UserError: If the methods differ, or an optimizer or a scheduler is of another kind.
    """
    text = _meta(checkpoint).get('cfg')
    saved = read_settings(text) if isinstance(text, str) else {}
    if not saved:
        return [f'checkpoint {path} has no readable config: its settings are not compared with those of the config.']
    pairs = [{key: settings.get(key, _UNSET) for key in _COMPARED} for settings in (saved, cfg)]
    found = {setting: values for setting, *values in _differences(*pairs)}
    for setting in filter(_is_type, [*(name for name in _METHOD if name in found), *found]):
        _refuse(path, setting, *found[setting], cfg)
    return [_note(setting, *values) for setting, values in found.items()] + _new_classes(checkpoint, cfg)


def compare_states(path: str, checkpoint: dict, cfg: Config) -> list[str]:
    """Compare the states in a checkpoint with those that the config's run has.

    Returns:
        list[str]: One sentence for each state that the config needs and the checkpoint lacks, or the reverse.

    Raises:
        UserError: If the checkpoint cannot be resumed, because it has only weights.
    """
    missing = [key for key in ('state_dict', 'message_hub') if key not in checkpoint]
    missing += [f'meta.{key}' for key in ('epoch', 'iter') if key not in _meta(checkpoint)]
    if missing:
        raise UserError(f'checkpoint {path} cannot be resumed, because it has no {", ".join(missing)}: give a '
                        f'checkpoint that tools/train.py wrote, or start from its weights by --cfg-options '
                        f'load_from={path} without --resume')
    notes = [f'checkpoint {path} has no state of {setting}: it starts anew, at iteration {_meta(checkpoint)["iter"]}.'
             for key, setting in (('optimizer', 'optim_wrapper'), ('param_schedulers', 'param_scheduler'))
             if key not in checkpoint and cfg.get(setting)]
    types = [hook.get('type') for hook in cfg.get('custom_hooks') or () if isinstance(hook, Mapping)]
    if 'ema_state_dict' in checkpoint and not any('EMAHook' in str(kind) for kind in types):
        notes.append(f'checkpoint {path} has averaged weights, but the config has no EMAHook: training goes on from '
                     'the averages.')
    return notes


def _new_classes(checkpoint: dict, cfg: Config) -> list[str]:
    """Return a sentence if the training classes have names that the checkpoint's text classifier does not record."""
    source = ((cfg.get('model') or {}).get('decode_head') or {}).get('train_classes')
    state = checkpoint.get('state_dict')
    records = [value for key, value in (state or {}).items() if key.endswith('classifier._extra_state')]
    if not (source and records):
        return []
    with suppress(ValueError, KeyError):  # the classifier reports a damaged record
        saved = json.loads(bytes(records[0].tolist()))['train_classes']
        if new := [name for name in class_names(source) if name not in saved]:
            return [f'model.decode_head.train_classes has {len(new)} names that the checkpoint was not trained on, '
                    f'such as {new[0]!r}: the names of the config hold.']
    return []


def _is_type(setting: str) -> bool:
    return setting in _METHOD or _STATEFUL.fullmatch(setting) is not None


def _refuse(path: str, setting: str, found: Any, given: Any, cfg: Config) -> None:
    """Raise UserError for types that differ; a type that is missing on either side is not compared."""
    if _UNSET in (found, given):
        return
    if setting in _METHOD:
        raise UserError(f'checkpoint {path} is of another method: its {setting} is {short(found)}, but {given} was '
                        f'expected by {cfg.filename or "the config"}; resume with the config of the checkpoint, or '
                        'name another --work-dir or --resume CHECKPOINT')
    raise UserError(f'checkpoint {path} holds the state of {short(found)}, but {setting} of the config is {given}: '
                    f'resume with the one of the checkpoint, or start a new schedule from its weights by '
                    f'--cfg-options load_from={path} without --resume')


def _note(setting: str, found: Any, given: Any) -> str:
    # A scheduler that only one of the two has is not restored.
    lost = setting.startswith('param_scheduler') and any(
        one in _ABSENT and isinstance(other, (Mapping, list)) for one, other in ((found, given), (given, found)))
    holds = 'checkpoint' if _RESTORED.fullmatch(setting) and not lost else 'config'
    return (f'{setting} is {short(repr(found))} in the checkpoint and {short(repr(given))} in the config: the value of '
            f'the {holds} holds.')


def nothing_left(path: str, checkpoint: dict, cfg: Config) -> str | None:
    """Return a sentence if a checkpoint has reached the end of the config's training, else None."""
    for unit, setting in (('iter', 'max_iters'), ('epoch', 'max_epochs')):
        done, total = _meta(checkpoint).get(unit), (cfg.get('train_cfg') or {}).get(setting)
        if isinstance(done, int) and isinstance(total, (int, float)) and done >= total:
            return (f'Nothing is left to train: checkpoint {path} is at {unit} {done} of {total}. Test it by '
                    f'tools/test.py, or raise train_cfg.{setting}.')
    return None


def _meta(checkpoint: dict) -> dict:
    meta = checkpoint.get('meta')
    return meta if isinstance(meta, dict) else {}


def _differences(saved: Any, given: Any, place: str = '') -> Iterator[Difference]:
    """Generate the values that differ in two parts of configs."""
    if isinstance(saved, Mapping) and isinstance(given, Mapping):
        for key in dict.fromkeys([*saved, *given]):
            yield from _differences(saved.get(key, _UNSET), given.get(key, _UNSET), f'{place}.{key}'.lstrip('.'))
    elif isinstance(saved, (list, tuple)) and isinstance(given, (list, tuple)):
        parts = [_differences(one, other, f'{place}[{index}]')
                 for index, (one, other) in enumerate(zip_longest(saved, given, fillvalue=_UNSET))]
        if _is_of_dicts(saved) or _is_of_dicts(given):
            for part in parts:
                yield from part
        elif first := next((difference for part in parts for difference in part), None):
            index = first[0].removeprefix(place)
            yield place, *(_Summary(f'a list of {len(values)} with {value!r} at {index}')
                           for values, value in zip((saved, given), first[1:]))
    elif UNREAD not in (saved, given) and _comparable(saved, place) != _comparable(given, place):
        yield place, saved, given


def _is_of_dicts(values: list | tuple) -> bool:
    return any(isinstance(value, Mapping) for value in values)


def _comparable(value: Any, place: str) -> Any:
    """Return a value without differences that have no effect: scopes of types, and SyncBN on a machine without CUDA."""
    if isinstance(value, str) and place.endswith('.type'):
        value = value.rpartition('.')[2]
        return 'BN' if value in SYNC_BN else value
    return None if value is _UNSET else value
