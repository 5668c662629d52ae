"""Reading of CLIP's weights from a file, with the settings that the file itself knows."""
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mmseg_mvp.checkpoints import read_file
from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import TRUST, StandIn, module_classes, module_tensors
from mmseg_mvp.utils.files import reason_of_damage

from .published import Facts, of_file

_INDEX = '.index.json'  # of Hugging Face, for weights in several files
# Entries beside the weights in OpenAI's archives and in the state dicts taken from them.
OPENAI_ENTRIES = ('input_resolution', 'context_length', 'vocab_size')


@dataclass(frozen=True)
class WeightsFile:
    """Content of a weights file.

    Attributes:
        path (str): Path of the file.
        tensors (dict[str, Tensor]): All tensors; dots join the keys of nested dicts.
        facts (list[Facts]): Known activation and normalisation, the most reliable first.
    """
    path: str
    tensors: dict[str, Tensor]
    facts: list[Facts]


def read_weights(path: str) -> WeightsFile:
    """Read safetensors, a file of ``torch.save``, a TorchScript archive, or an index of several, and run no code of it.

    Raises:
        UserError: If the file is damaged or holds other objects than weights.
    """
    content = _read_shards(path) if path.endswith(_INDEX) else _read(path)
    scripted = isinstance(content, StandIn) and content.kind.startswith('__torch__.')
    if scripted:
        values = dict(module_tensors(content))
    elif isinstance(content, (dict, nn.Module)):
        values = dict(_flatten(content))
    else:
        raise _not_weights(path, content if isinstance(content, StandIn) else type(content).__name__)
    tensors = {name: _tensor(value) for name, value in values.items() if isinstance(value, Tensor)
               or isinstance(value, np.ndarray) and value.dtype.kind in 'bif'}
    foreign = next((value for value in values.values() if isinstance(value, StandIn)), None)
    if foreign and not tensors and not scripted:
        raise _not_weights(path, foreign)
    inside = _facts_inside(values, module_classes(content) if scripted else set())
    return WeightsFile(path, tensors, [*inside, *of_file(path)])


def _tensor(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.astype(value.dtype.newbyteorder('=')))
    return value


def _read(path: str) -> Any:
    try:
        return load_file(path) if _is_safetensors(path) else read_file(path)
    except UserError:
        raise
    except Exception as error:  # each format raises its own exceptions
        reason = reason_of_damage(path, 'it is truncated or not a safetensors file, PyTorch state dict or TorchScript '
                                        'archive; download it again')
        raise UserError(f"The weights file '{path}' can't be read ({type(error).__name__}): {reason}.") from error


def _read_shards(path: str) -> dict[str, Any]:
    """Read the files that an index of Hugging Face names, from its folder."""
    try:
        names = sorted(set(json.loads(Path(path).read_text('utf-8'))['weight_map'].values()))
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise UserError(f"The index of weights files '{path}' can't be read ({type(error).__name__}: {error}): "
                        f'expected JSON with a weight_map; download it again.') from error
    shards = [str(Path(path).with_name(os.path.basename(name))) for name in names]
    if missing := [shard for shard in shards if not os.path.isfile(shard)]:
        raise UserError(f"The weights file '{missing[0]}' of the index '{path}' does not exist: put all {len(shards)} "
                        f'files of the index in its folder.')
    return {name: value for shard in shards for name, value in _read(shard).items()}


def _is_safetensors(path: str) -> bool:
    """Return True for a safetensors file under any name; its JSON header follows 8 bytes with the size."""
    with open(path, 'rb') as file:
        return path.lower().endswith('.safetensors') or file.read(9)[8:] == b'{'


def _flatten(content: Mapping | nn.Module, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the values of nested dicts with dotted names. A module, from a trusted file, is its state dict."""
    for key, value in (content.state_dict() if isinstance(content, nn.Module) else content).items():
        if isinstance(value, (Mapping, nn.Module)):
            yield from _flatten(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def _facts_inside(values: dict[str, Any], classes: set[str]) -> list[Facts]:
    """Return the activation that the code of an archive or OpenAI's entries tell."""
    if 'QuickGELU' in classes:
        return [Facts(quick_gelu=True, source='QuickGELU in the code of the archive')]
    entries = {name.rsplit('.', 1)[-1] for name in values}
    if entries.issuperset(OPENAI_ENTRIES):
        return [Facts(quick_gelu=True, source=f"OpenAI's entries in the file ({', '.join(OPENAI_ENTRIES)})")]
    if 'GELU' in classes:
        return [Facts(quick_gelu=False, source='GELU in the code of the archive')]
    return []


def _not_weights(path: str, found: Any) -> UserError:
    trust = f', or, {TRUST}' if isinstance(found, StandIn) else ''
    return UserError(f"The weights file '{path}' holds an object of type {found}: expected a state dict; "
                     f'save the state_dict() alone{trust}.')
