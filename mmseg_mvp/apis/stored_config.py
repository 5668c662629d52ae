"""Reads the config that mmengine stores in a checkpoint, as data.

A config is code by its nature: Python that mmengine runs, with modules to import and components to build, by any name
that can be imported. Whoever names a config file trusts it. A checkpoint is weights to most, so of the config in it
only values are read, and only what is registered already is built of it.
"""
import ast
import re
from typing import Any

import mmseg.registry
from mmengine.config import Config
from mmengine.registry import Registry

from mmseg_mvp.errors import UserError

_HOST_SCOPE = re.compile(r'(mmseg|mmengine|mmcv)\.')


def stored_config(text: str, checkpoint: str) -> Config:
    """The part of a stored config that inference needs.

    Args:
        text (str): Python, as ``Config.pretty_text`` writes it.
        checkpoint (str): Where it comes from, for messages.

    Returns:
        Config: With ``model``, and ``test_pipeline`` if there is one; the rest may ask for anything.

    Raises:
        UserError: If the text holds anything else than values, there is no model, or a component is not registered.
    """
    try:
        used = _used(dict(map(_assignment, ast.parse(text).body)))
    except Exception as error:  # a text that is no such config fails in many ways
        raise UserError(f'The config in checkpoint {checkpoint} is not read, since it is not made of plain values '
                        f'({" ".join(str(error).split())[:100]}), and code in it is not run: give the config as '
                        f'well.') from error
    if not isinstance(used['model'], dict):
        raise UserError(f'The config in checkpoint {checkpoint} has no model: give the config as well.')
    if strange := sorted(_components(used) - _registered()):
        raise UserError(f'The config in checkpoint {checkpoint} asks for {", ".join(strange)}, which is not registered '
                        f'(and custom_imports of such a config are not followed): import the module that registers it, '
                        f'or give the config as well.')
    return Config(used)


def _used(settings: dict) -> dict:
    pipeline = settings.get('test_pipeline') or settings.get('test_dataloader', {}).get('dataset', {}).get('pipeline')
    return dict(model=settings.get('model'), **(dict(test_pipeline=pipeline) if pipeline else {}))


def _assignment(node: ast.stmt) -> tuple[str, Any]:
    """Name and value of ``name = value``."""
    if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
        raise ValueError(f'line {node.lineno} is no name = value')
    return node.targets[0].id, _value(node.value)


def _value(node: ast.expr) -> Any:
    """The value of a literal, of which ``dict(key=value)`` and ``dict({key: value})`` are some here."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return (list if isinstance(node, ast.List) else tuple)(map(_value, node.elts))
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        return dict(*map(_value, node.args), **{keyword.arg: _value(keyword.value) for keyword in node.keywords})
    return ast.literal_eval(node)


def _components(part: Any) -> set[str]:
    """What a part of a config has built, and the scopes where it has that looked up, without those of the host."""
    children = part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else ()
    found = set().union(*map(_components, children))
    if isinstance(part, dict):
        found |= {_HOST_SCOPE.sub('', f'{part[key]}{end}', count=1) for key, end in (('type', ''), ('_scope_', '.'))
                  if key in part} - {''}
    return found


def _registered() -> set[str]:
    """Names of all components."""
    names = set()
    for registry in vars(mmseg.registry).values():
        if isinstance(registry, Registry):
            registry.import_from_location()
        while isinstance(registry, Registry):
            names |= registry.module_dict.keys()
            registry = registry.parent
    return names
