"""Reading of config files."""
import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner

from mmseg_mvp.errors import UserError

from .shipped import find_config_file

# Top-level keys that a user may set even if the config has no such key.
KNOWN_KEYS = {*inspect.signature(Runner.__init__).parameters, 'custom_imports', 'runner_type', 'tta_model',
              'tta_pipeline', 'model_wrapper_cfg', 'find_unused_parameters', 'sync_bn', 'feature_bank'}


def read_config(path: str) -> Config:
    """Read a config file, or a shipped config by its short name, such as ``mvp_seg/voc_zs``.

    Raises:
        UserError: If the file is missing or can't be parsed.
    """
    path = find_config_file(path)
    try:
        return Config.fromfile(path)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f'config {path} can\'t be read: {describe(root_cause(error))}') from error


def merge_options(cfg: Config, options: dict) -> None:
    """Override a config by `--cfg-options`, in place.

    Raises:
        UserError: If the first part of a key is unknown to the config and to mmengine's Runner, or a key descends into
            a value without keys.
    """
    for key in options:
        if key.split('.')[0] not in KNOWN_KEYS | cfg.keys():
            raise UserError(f'--cfg-options {key}: there is no {key.split(".")[0]!r} in {cfg.filename}; its settings '
                            f'are {", ".join(sorted(cfg.keys()))}')
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, AssertionError, AttributeError) as error:
        raise UserError(f'--cfg-options {" ".join(options)} don\'t fit {cfg.filename}: {describe(error)}') from error


def root_cause(error: BaseException) -> BaseException:
    """Return the first exception in a chain of exceptions."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return error


def describe(error: BaseException) -> str:
    """Format the type and text of an exception on one line; a KeyError's text is shown without quotes."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return ' '.join(f'{type(error).__name__}: {text}'.split())


def component_class(kind: Any, registry: Registry) -> Any:
    """Return the class of a ``type`` in a config; None if its name is not registered."""
    return registry.get(kind) if isinstance(kind, str) else kind


def type_name(part: Mapping) -> str:
    """Return the name of a component's class without its scope; ``'data set'`` without a ``type``."""
    kind = part.get('type', 'data set')
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def takes(cls: Any, parameter: str) -> bool:
    """Return True if a class or one of its base classes has a parameter of this name."""
    return any(parameter in inspect.signature(base.__init__).parameters for base in getattr(cls, '__mro__', ()))


@cache
def settings_of(cls: type) -> tuple[str, ...] | None:
    """Return the parameters of a class and of the bases that receive the rest; None if any is taken."""
    known = []
    for base in cls.__mro__[:-1]:
        if '__init__' not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        known += [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            return tuple(name for name in dict.fromkeys(known) if name != 'self')
    return None
