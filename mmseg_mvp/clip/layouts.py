"""Arrangement of the tensors of a file as the state dict of an open_clip model.

Files of the field wrap the same weights in many ways: dicts in dicts, prefixes of wrapping modules, names of Hugging
Face's ``CLIPModel``, a text tower under ``text.``, position tables of another image size.
"""
import re
from collections import defaultdict
from dataclasses import dataclass
from math import isqrt
from types import SimpleNamespace

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import resize_pos_embed, resize_text_pos_embed
from torch import Tensor, nn

from mmseg_mvp.errors import UserError

from .compact_table import IDS, ROWS, expand_token_table
from .weights_file import OPENAI_ENTRIES

# Wrappers of torch (DataParallel, DistributedDataParallel, compile) that add a part to names, at any depth.
_WRAPPERS = {'module', '_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module'}
# Entries without effect on the output, or that a model builds itself.
_NO_WEIGHTS = {'attn_mask', 'position_ids', 'logit_bias', 'logit_scale', 'num_batches_tracked', *OPENAI_ENTRIES}
_TEXT = ('cls_emb', 'positional_embedding', 'token_embedding', 'transformer', 'ln_final', 'text_projection')
_TOWERS = {*_TEXT, 'visual', 'text', 'text_model', 'vision_model', 'visual_projection'}
# First tensor of Apple's MobileCLIP files, which open_clip converts.
_MOBILE = re.compile(r'^(.*?)image_encoder\.model\.patch_emb(ed\.0\.rbr_conv\.0\.conv|\.0\.block\.conv)\.weight$')
_BLOCK = {'layer_norm1': 'ln_1', 'layer_norm2': 'ln_2', 'self_attn.out_proj': 'attn.out_proj', 'mlp.fc1': 'mlp.c_fc',
          'mlp.fc2': 'mlp.c_proj'}
_HUGGING_FACE = {
    'text_model.embeddings.token_embedding.weight': 'token_embedding.weight',
    'text_model.embeddings.position_embedding.weight': 'positional_embedding',
    'vision_model.embeddings.class_embedding': 'visual.class_embedding',
    'vision_model.embeddings.patch_embedding.weight': 'visual.conv1.weight',
    'vision_model.embeddings.position_embedding.weight': 'visual.positional_embedding',
    'text_projection.weight': 'text_projection', 'visual_projection.weight': 'visual.proj'}
_HUGGING_FACE_NORMS = {'text_model.final_layer_norm': 'ln_final', 'vision_model.pre_layrnorm': 'visual.ln_pre',
                       'vision_model.post_layernorm': 'visual.ln_post'}
_HUGGING_FACE_LAYER = re.compile(r'(text|vision)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)')


@dataclass
class Arranged:
    """Weights of a file under the names of a model.

    Attributes:
        state (dict[str, Tensor]): Tensors by the names of the model.
        plain (dict[str, Tensor]): All tensors of the set, as :func:`as_plain` names them and before a resize.
        extra (list[str]): Plain names of weights that the model does not have.
        steps (list[str]): Description of each change, for the log.
    """
    state: dict[str, Tensor]
    plain: dict[str, Tensor]
    extra: list[str]
    steps: list[str]


def arrange(clip: nn.Module, tensors: dict[str, Tensor], path: str) -> Arranged:
    """Find the weights of ``clip`` among the tensors of a file and rename, convert and resize them.

    Args:
        clip (nn.Module): open_clip model; it is not changed.
        tensors (dict[str, Tensor]): Tensors by dotted name.
        path (str): Path of the file, for the message.

    Raises:
        UserError: If the file holds several sets of weights.
    """
    steps = []
    tensors = _convert_mobile(clip, _without_wrappers(tensors, path, steps), steps)
    own = {plain_name(name): name for name in clip.state_dict()}
    prefix = _find_prefix(tensors, own, path)
    inside = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    if prefix:
        steps.append(f"prefix '{prefix}' removed")
    if any(name.startswith(('text_model.', 'vision_model.')) for name in inside):
        steps.append('names of Hugging Face converted')
    plain = as_plain(expand_token_table(clip, inside))
    state = {own[name]: value for name, value in plain.items() if name in own}
    steps += _resize_tables(clip, own, state)
    strange = [name for name in plain if name not in own]
    left = [name for name in strange if not is_weight(name)]
    left += sorted({name.split('.')[0] for name in tensors if not name.startswith(prefix)})
    if left:
        steps.append(f'left over: {", ".join(left[:5])}{f" and {len(left) - 5} more" if len(left) > 5 else ""}')
    return Arranged(state, plain, [name for name in strange if is_weight(name)], steps)


def plain_name(name: str) -> str:
    """Return a name of open_clip without the ``text.`` of models with a separate text tower."""
    rest = name.removeprefix('text.')
    return rest if rest.split('.')[0] in _TEXT else name


def as_plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors of any shape to open_clip's names without ``text.``; join and transpose Hugging Face's."""
    parts = defaultdict(dict)
    for name, value in tensors.items():
        plain, part = _target(name)
        parts[plain][part] = value.T if name in ('text_projection.weight', 'visual_projection.weight') else value
    # q, k and v of Hugging Face are one tensor in open_clip: 3 x (width, width) -> (3 * width, width).
    return {plain: torch.cat([values[part] for part in sorted(values, key='qkv'.index)])
            if len(values) > 1 else next(iter(values.values())) for plain, values in parts.items()}


def _target(name: str) -> tuple[str, str]:
    """Return the plain name of open_clip for a name in a file, and ``'q'``, ``'k'`` or ``'v'`` for a part of it."""
    if name in _HUGGING_FACE:
        return _HUGGING_FACE[name], ''
    owner, _, leaf = name.rpartition('.')
    if owner in _HUGGING_FACE_NORMS:
        return f'{_HUGGING_FACE_NORMS[owner]}.{leaf}', ''
    if found := _HUGGING_FACE_LAYER.fullmatch(name):
        tower, index, layer, leaf = found.groups()
        block = f'{"visual." if tower == "vision" else ""}transformer.resblocks.{index}'
        if projection := re.fullmatch(r'self_attn\.([qkv])_proj', layer):
            return f'{block}.attn.in_proj_{leaf}', projection[1]
        return f'{block}.{_BLOCK.get(layer, layer)}.{leaf}', ''
    return plain_name(name), ''


def _without_wrappers(tensors: dict[str, Tensor], path: str, steps: list[str]) -> dict[str, Tensor]:
    """Remove the parts of names that wrappers of torch add."""
    renamed, removed = {}, set()
    for name, value in tensors.items():
        parts = name.split('.')
        removed |= _WRAPPERS.intersection(parts)
        short = '.'.join(part for part in parts if part not in _WRAPPERS)
        if short in renamed and not _equal(renamed[short], value):
            raise _several(path, [name, short])
        renamed[short] = value
    if removed:
        steps.append(f'{" and ".join(sorted(removed))} removed from names')
    return renamed


def _convert_mobile(clip: nn.Module, tensors: dict[str, Tensor], steps: list[str]) -> dict[str, Tensor]:
    found = next(filter(None, map(_MOBILE.match, tensors)), None)
    if found is None:
        return tensors
    steps.append("Apple's names converted")
    return convert_state_dict(clip, {name.removeprefix(found[1]): value for name, value in tensors.items()
                                     if name.startswith(found[1])})


def _find_prefix(tensors: dict[str, Tensor], own: dict[str, str], path: str) -> str:
    """Return what precedes the names of the model's weights in a file.

    Raises:
        UserError: If several sets of weights are complete and differ. As in open_clip, a single one in the
            ``state_dict`` of a checkpoint has priority.
    """
    found = defaultdict(set)
    for name in tensors:
        parts = name.split('.')
        for cut in range(len(parts)):
            rest = '.'.join(parts[cut:])
            plain = 'token_embedding.weight' if rest in (IDS, ROWS) else _target(rest)[0]
            if plain in own:
                found[name[:len(name) - len(rest)]].add(plain)
    needed = {name for name in own if is_weight(name)}
    complete = [prefix for prefix, names in found.items() if names >= needed]
    if len(complete) < 2:
        return max(found, key=lambda prefix: len(found[prefix]), default='')
    first = [prefix for prefix in complete if prefix.split('.')[0] == 'state_dict'] or complete
    if not all(_same_set(tensors, first[0], other) for other in first[1:]):
        raise _several(path, first)
    return first[0]


def _same_set(tensors: dict[str, Tensor], first: str, second: str) -> bool:
    names = [name.removeprefix(first) for name in tensors if name.startswith(first)]
    return all(second + name not in tensors or _equal(tensors[first + name], tensors[second + name]) for name in names)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _several(path: str, prefixes: list[str]) -> UserError:
    names = ', '.join(f"'{prefix}'" for prefix in prefixes[:4])
    return UserError(f"The weights file '{path}' holds several different sets of CLIP's weights, under {names}: save "
                     f'the one that you mean alone.')


def is_weight(name: str) -> bool:
    """Return True for a weight of a tower; a buffer, the logit scale or another part of a checkpoint is none."""
    parts = name.split('.')
    return parts[-1] not in _NO_WEIGHTS and parts[0] in _TOWERS


def _resize_tables(clip: nn.Module, own: dict[str, str], state: dict[str, Tensor]) -> list[str]:
    """Resize the position tables (N, width) in a state dict to those of a model, in place; return the steps."""
    steps, wanted = [], clip.state_dict()
    scale = state.get('logit_scale')
    if scale is not None and scale.numel() == 1:
        state['logit_scale'] = scale.reshape(wanted['logit_scale'].shape)
    for plain, resize in _TABLES.items():
        name = own.get(plain)
        if name not in state or state[name].shape == wanted[name].shape:
            continue
        found, expected = state[name].shape, wanted[name].shape
        if len(found) == 2 and found[1] == expected[1] and found[0] > 1:
            state[name] = resize(clip, state[name].float(), expected[0])
            steps.append(f'{name} resized from {found[0]} to {expected[0]} positions')
    return steps


def _resize_grid(clip: nn.Module, table: Tensor, positions: int) -> Tensor:
    """Resize the table (1 + h0 * w0, width) of a square grid to ``positions``, as open_clip does for a ViT.

    open_clip does not resize the table of a ResNet's attention pool. Here it is resized in the same way.
    """
    if isqrt(len(table) - 1)**2 != len(table) - 1:
        return table
    side = isqrt(positions - 1)
    grid = getattr(clip.visual, 'grid_size', (side, side))
    state = {'visual.positional_embedding': table}
    resize_pos_embed(state, SimpleNamespace(visual=SimpleNamespace(grid_size=grid)))
    return state['visual.positional_embedding']


def _resize_context(clip: nn.Module, table: Tensor, positions: int) -> Tensor:
    """Resize the table (N, width) of a text tower, as open_clip does."""
    state = {'positional_embedding': table}
    resize_text_pos_embed(state, clip)
    return state['positional_embedding']


_TABLES = {'visual.positional_embedding': _resize_grid, 'visual.attnpool.positional_embedding': _resize_grid,
           'positional_embedding': _resize_context}
