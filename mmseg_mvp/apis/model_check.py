"""Checks of a model that a config mixes from parts: types and settings before it is built, channels afterwards."""
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import nn

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import CLIPImageEncoder, MultiPromptTextHead, OpenVocabEncoderDecoder
from mmseg_mvp.models.text import TextHead
from mmseg_mvp.utils.config import component_class, settings_of, type_name

# Settings that hold components of the registry MODELS.
_PLACES = re.compile(r'backbone|neck|decode_head|auxiliary_head|gpr|prompts|teacher|loss(_\w+)?')
_FREE = {'type', '_scope_'}
_OF_MMDET = ('Mask2FormerHead', 'MaskFormerHead')  # without mmdet, mmseg registers them without their base class
_GPR = {'gpr', 'loss_presence'}
_TEXT = {'clip', 'train_classes', 'test_classes', 'prompts', 'synonyms', 'fusion', 'loss_oc', 'temperature'}


def prepare_model(cfg: Config) -> list[str]:
    """Check the components of a config's model, then use our segmentor for a text head, in place.

    Returns:
        list[str]: Sentences for the log, one for each change.

    Raises:
        UserError: As :func:`check_model`.
    """
    notes = use_text_segmentor(cfg)
    check_model(cfg.get('model') or {})
    return notes


def check_model(model: Mapping) -> None:
    """Check the components of a model's config.

    Raises:
        UserError: If a type is missing or not registered, or a setting is unknown to its component, with the line to
            write.
    """
    _check_part(model, 'model')
    heads = model.get('decode_head')
    if isinstance(heads, (list, tuple)) and (_is_a(model, OpenVocabEncoderDecoder)
                                             or any(_is_a(head, TextHead) for head in heads)):
        raise UserError(f'model.decode_head is a list of {len(heads)} heads, but a text head takes no output of an '
                        f"earlier head: write type='OpenVocabEncoderDecoder', decode_head=dict(...) with the last one, "
                        f'and the others as auxiliary_head=[...].')


def use_text_segmentor(cfg: Config) -> list[str]:
    """Replace a stock ``EncoderDecoder`` around a text head by ``OpenVocabEncoderDecoder``, in place.

    Between ``CLIPImageEncoder`` and ``MultiPromptTextHead`` it is ``CLIPEncoderDecoder``, unless windows slide, because
    GPR would see the image instead of a window. Both compute the same logits and take other classes.

    Returns:
        list[str]: A sentence for the log, if anything was replaced.
    """
    model = cfg.get('model')
    if not isinstance(model, Mapping) or component_class(model.get('type'), MODELS) is not EncoderDecoder:
        return []
    if not _is_a(head := model.get('decode_head'), TextHead):
        return []
    kind = component_class(head['type'], MODELS)
    backbone = component_class((model.get('backbone') or {}).get('type'), MODELS)
    whole = (model.get('test_cfg') or {}).get('mode', 'whole') == 'whole' and not model.get('neck')
    ours = (backbone, kind) == (CLIPImageEncoder, MultiPromptTextHead) and whole
    model['type'] = 'CLIPEncoderDecoder' if ours else 'OpenVocabEncoderDecoder'
    return [f'model.type is EncoderDecoder around {kind.__name__}: {model["type"]} is used, which computes the same '
            f'and takes other classes; write type={model["type"]!r}.']


def _is_a(part: Any, base: type) -> bool:
    """Return True if a part of a config is a component of a class."""
    kind = component_class(part.get('type'), MODELS) if isinstance(part, Mapping) else None
    return isinstance(kind, type) and issubclass(kind, base)


def check_clip_features(model: nn.Module) -> None:
    """Check that the heads on a ``CLIPImageEncoder`` select features that it returns, with their channels.

    Raises:
        UserError: If a head selects others, with the settings to write.
    """
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, CLIPImageEncoder) or getattr(model, 'with_neck', False):
        return
    for place in ('decode_head', 'auxiliary_head'):
        heads = getattr(model, place, None)
        for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
            if isinstance(head, BaseDecodeHead):
                _check_selection(backbone, head, f'{place} ({type(head).__name__})')


def _check_selection(backbone: CLIPImageEncoder, head: BaseDecodeHead, name: str) -> None:
    given, places = backbone.out_channels, head.in_index
    wanted = list(places) if isinstance(places, (list, tuple)) else [places]
    if not all(-len(given) <= place < len(given) for place in wanted):
        layers, need = len(backbone.layer_channels), max(max(wanted), -min(wanted) - 1)
        indices = tuple(round(layers * (step + 1) / (need + 1)) - 1 for step in range(need))
        channels = [*(backbone.layer_channels[index] for index in indices), backbone.embed_dim]
        raise UserError(f'{name} selects in_index={places}, but CLIPImageEncoder returns {len(given)} '
                        f'feature map{"s" * (len(given) > 1)}: write backbone=dict(out_indices={indices}), layers of 0 '
                        f'to {layers - 1}, before the dense features, and in_channels='
                        f'{[channels[place] for place in wanted] if len(wanted) > 1 else channels[wanted[0]]}.')
    found = [given[place] for place in wanted]
    single = not isinstance(places, (list, tuple)) or head.input_transform == 'resize_concat'
    right = sum(found) if single else found
    if right != (head.in_channels if single else list(head.in_channels)):
        shown = right if not isinstance(places, (list, tuple)) else found
        raise UserError(f'{name} has in_channels={head.in_channels}, but CLIPImageEncoder returns {shown} channels at '
                        f'in_index={places}: write in_channels={shown}.')


def _check_part(part: Any, place: str) -> None:
    for index, one in enumerate(part if isinstance(part, (list, tuple)) else ()):
        _check_part(one, f'{place}[{index}]')
    if not isinstance(part, Mapping) or not part:
        return
    kind = _class_of(part, place)
    if not isinstance(kind, type):
        return
    known = settings_of(kind)
    if known is not None and (unknown := [key for key in part if key not in (*known, *_FREE)]):
        raise UserError(_unknown_setting(part, place, kind, unknown, known))
    for key, value in part.items():
        if _PLACES.fullmatch(key) and isinstance(value, bool):
            raise UserError(f'{place}.{key} is {value!r}: write {key}=dict(type=...) of a component, or {key}=None.')
        if _PLACES.fullmatch(key):
            _check_part(value, f'{place}.{key}')


def _class_of(part: Mapping, place: str) -> Any:
    """Return the class of a component; None if another package defines it, or its owner checks the type."""
    name = part.get('type')
    if name is None and place.rpartition('.')[2] == 'prompts':
        return None
    if name is None:
        raise UserError(f"{place} is {_short(part)}, without a type: write {place.rpartition('.')[2]}=dict(type=...), "
                        f'or correct the name of the setting, if a base config has it under another.')
    if not isinstance(name, str) or name.partition('.')[0] not in ('mmseg', 'mmengine', 'mmcv', name):
        return component_class(name, MODELS) if not isinstance(name, str) else None
    if name.rpartition('.')[2] in _OF_MMDET and not (find_spec('mmdet') and find_spec('mmcv._ext')):
        raise UserError(f'{place}.type is {name!r}, which needs mmdet and an mmcv with compiled operations: install '
                        f'both with the upstream stack (docs/get_started.md), or choose another head.')
    kind = MODELS.get(name)
    if kind is None:
        near = get_close_matches(name.rpartition('.')[2], MODELS.module_dict, n=3, cutoff=.5)
        raise UserError(f"{place}.type is {name!r}, which is not registered: write "
                        f"{' or '.join(map(repr, near)) or 'a registered name'}, or list the module that defines it in "
                        f'custom_imports.')
    return kind


def _unknown_setting(part: Mapping, place: str, kind: type, unknown: list[str], known: Sequence[str]) -> str:
    key, name = unknown[0], type_name(part)
    start = f'{place} ({name}) has no setting {key!r}: '
    if '_delete_' in unknown:
        return f'{place} has _delete_=True, but there is nothing in a base config to delete: remove it.'
    if inner := next(_owners(part, kind, key), None):
        return (f'{start}it is a setting of {inner[0]}, so write {inner[0]}=dict(type={inner[1]!r}, {key}=...), or '
                f'--cfg-options {place}.{inner[0]}.{key}=....')
    if near := get_close_matches(key, known, n=1, cutoff=.75):
        return f'{start}write {near[0]!r}.'
    short = place.rpartition('.')[2]
    if 'head' in short and key in _GPR:
        return f'{start}{_variant("GPR", name)}, which adds gpr and loss_presence.'
    if 'head' in short and key in _TEXT:
        return f"{start}{_variant('Text', name)}, or type='MultiPromptTextHead', which classify by text."
    if place == 'model' and key == 'clip':
        return f"{start}write it into the part that uses it, such as decode_head=dict(clip=...), or write " \
               f"type='OpenVocabEncoderDecoder'."
    return (f'{place} ({name}) has no setting {", ".join(map(repr, unknown))}: remove it; if a base config sets it for '
            f"another type, write {short}=dict(_delete_=True, type={name!r}, ...).")


def _owners(part: Mapping, kind: type, key: str) -> Iterator[tuple[str, str]]:
    """Generate the names and types of the components inside a part that take a setting."""
    defaults = {one.name: one.default for base in kind.__mro__ for one in
                inspect.signature(base.__init__).parameters.values() if isinstance(one.default, dict)}
    for name, value in {**defaults, **part}.items():
        inner = component_class(value.get('type'), MODELS) if isinstance(value, Mapping) and value.get('type') else None
        if _PLACES.fullmatch(name) and isinstance(inner, type) and key in (settings_of(inner) or ()):
            yield name, inner.__name__


def _variant(prefix: str, name: str) -> str:
    """Return the advice to use a head of ours in place of a stock head."""
    short = {'DepthwiseSeparableASPPHead': 'DeepLabV3PlusHead'}.get(name, name)
    if f'{prefix}{short}' in MODELS.module_dict:
        return f"write type='{prefix}{short}'"
    return f'define class {prefix}{name}({prefix}HeadMixin, {name}) and write its name'


def _short(part: Mapping) -> str:
    text = repr(dict(part))
    return text if len(text) < 80 else f'{text[:77]}...'
