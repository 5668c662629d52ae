"""Sentences for types and settings of a config that its components do not know, with those that are near."""
import re
from collections.abc import Iterator
from difflib import get_close_matches

import mmseg.registry
from mmengine.registry import Registry

from mmseg_mvp.utils.config import settings_of

_UNKNOWN_TYPE = re.compile(r"'?(\S+) is not in the (.+?) registry")
_NO_TYPE = re.compile(r'must contain the key "type", but got (.+?)(\s+None)?$', re.DOTALL)
_UNKNOWN_SETTING = re.compile(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r'(\w+)(?:\.__init__)?\(\) missing \d+ required positional arguments?: (.+)$')


def component_sentence(error: BaseException) -> str | None:
    """Return a sentence for a type or a setting that mmengine does not know when it builds a component, else None."""
    if isinstance(error, KeyError) and (found := _UNKNOWN_TYPE.search(str(error))):
        return _unknown_type(*found.groups())
    if isinstance(error, KeyError) and (found := _NO_TYPE.search(str(error.args[0]))):
        return f'a part has no type, {found[1][:150]}: write type=... into it'
    if isinstance(error, TypeError) and (found := _UNKNOWN_SETTING.search(str(error))):
        return _unknown_setting(*found.groups())
    if isinstance(error, TypeError) and (found := _MISSING.search(str(error))):
        return f'{found[1]} lacks {found[2]}: write {"them" if "," in found[2] or " and " in found[2] else "it"}'
    return None


def _unknown_type(name: str, registry: str) -> str:
    names = {known for one in _registries() if one.name == registry.rpartition('::')[2] for known in one.module_dict}
    near = get_close_matches(name.rpartition('.')[2], names, n=3, cutoff=.6)
    advice = f'write {" or ".join(map(repr, near))}' if near else 'correct it'
    return (f'{name!r} is not in the registry {registry.rpartition("::")[2]}: {advice}, or list the module that '
            'defines it in custom_imports')


def _unknown_setting(component: str, key: str) -> str | None:
    classes = [kind for one in _registries() for kind in one.module_dict.values()
               if isinstance(kind, type) and kind.__name__ == component]
    if not classes:
        return None
    known = [name for name in settings_of(classes[0]) or () if name != 'params']
    near = get_close_matches(key, known, n=1, cutoff=.6)
    advice = f'write {near[0]!r}' if near else f'its settings are {", ".join(known)}'
    return f'{component} has no setting {key!r}: {advice}'


def _registries() -> Iterator[Registry]:
    """Generate the registries of mmseg and their parents."""
    for one in vars(mmseg.registry).values():
        while isinstance(one, Registry):
            yield one
            one = one.parent
