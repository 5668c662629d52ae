"""Activation and normalisation of a CLIP, as far as open_clip's tables or files beside the weights know them.

Neither is stored in the tensors. open_clip takes the activation from the model's name and the normalisation from the
pretrained tag.
"""
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import open_clip
from mmengine.logging import print_log
from open_clip.pretrained import get_pretrained_cfg

from mmseg_mvp.errors import UserError

# File names of Hugging Face repositories; config files belong to such weights only.
_HUB_NAMES = ('model', 'pytorch_model', 'open_clip_model', 'open_clip_pytorch_model')


@dataclass(frozen=True)
class Facts:
    """Known settings of a CLIP; None where unknown.

    Attributes:
        quick_gelu (bool, optional): True for QuickGELU, False for GELU.
        mean (tuple[float, ...], optional): Mean of each channel, RGB, 0 to 1.
        std (tuple[float, ...], optional): Standard deviation of each channel, RGB, 0 to 1.
        source (str): Origin of the facts, as the subject of a sentence.
    """
    quick_gelu: bool | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    source: str = ''


def of_tag(model: str, tag: str) -> Facts:
    """Return the facts of a pretrained tag in open_clip's tables."""
    return _from_table(get_pretrained_cfg(model, tag), f"open_clip's table for '{model}:{tag}'")


def of_all_tags(model: str) -> Facts:
    """Return the normalisation that all pretrained tags of a model share; unknown if there is none."""
    tags = [of_tag(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)]
    if len({(facts.mean, facts.std) for facts in tags}) != 1:
        return Facts()
    return Facts(None, tags[0].mean, tags[0].std, f"open_clip's table for all tags of '{model}'")


def of_config(config: dict) -> Facts:
    """Return the normalisation in the ``preprocess_cfg`` of a model config."""
    return _from_preprocessing(config.get('preprocess_cfg') or {}, 'The model config')


def of_file(path: str) -> list[Facts]:
    """Return the facts of a weights file by its published name and by the config files beside it."""
    name = os.path.basename(path)
    known = [_published_files()[name]] if name in _published_files() else []
    if os.path.splitext(name.removesuffix('.index.json'))[0] not in _HUB_NAMES:
        return known
    readers = {'open_clip_config.json': _from_open_clip, 'config.json': _from_hugging_face,
               'preprocessor_config.json': _from_processor}
    beside = [_read_beside(Path(path).with_name(file), reader) for file, reader in readers.items()]
    return known + [facts for facts in beside if facts]


@lru_cache(maxsize=1)
def _published_files() -> dict[str, Facts]:
    """Map file names of open_clip's tables to their facts. Names that say too little are left out."""
    found = {}
    for model, tag in open_clip.list_pretrained():
        config = get_pretrained_cfg(model, tag)
        url = config.get('url', '')
        if url and 'openaipublic' not in url:  # OpenAI's archives say it themselves; 'ViT-B-32.pt' may be anything
            name = url.rsplit('/', 1)[-1]
            found[name] = _from_table(config, f"open_clip's table for the file name '{name}'")
    return found


def _from_table(config: dict, source: str) -> Facts:
    return Facts(bool(config.get('quick_gelu', False)), tuple(config['mean']), tuple(config['std']), source)


def _from_preprocessing(config: dict, source: str) -> Facts:
    return Facts(None, _channels(config.get('mean')), _channels(config.get('std')), source)


def _channels(value: float | Sequence[float] | None) -> tuple[float, ...] | None:
    """Return one value for each channel; open_clip repeats a single number."""
    if isinstance(value, (int, float)):
        return (value, ) * 3
    return None if value is None else tuple(value)


def _read_beside(path: Path, reader: Callable[[dict, str], Facts | None]) -> Facts | None:
    if not path.is_file():
        return None
    try:
        return reader(json.loads(path.read_text('utf-8')), f'{path.name} beside the weights')
    except UserError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        print_log(f'{path} beside the weights is damaged ({type(error).__name__}) and has no effect: correct or remove '
                  f'it.', 'current', level=30)
        return None


def _from_open_clip(config: dict, source: str) -> Facts:
    found = _from_preprocessing(config.get('preprocess_cfg') or {}, source)
    quick_gelu = config['model_cfg'].get('quick_gelu', False)
    if not isinstance(quick_gelu, bool):
        raise TypeError('quick_gelu is not a bool')
    return Facts(quick_gelu, found.mean, found.std, source)


def _from_hugging_face(config: dict, source: str) -> Facts | None:
    if config.get('model_type') != 'clip':
        return None
    # transformers' own default is 'quick_gelu'; the older entry text_config_dict has priority.
    towers = [{**(config.get(f'{name}_config') or {}), **(config.get(f'{name}_config_dict') or {})}
              for name in ('text', 'vision')]
    found = {str(tower.get('hidden_act') or 'quick_gelu') for tower in towers}
    if found not in ({'quick_gelu'}, {'gelu'}):
        raise UserError(f'The activation of {source} is {" and ".join(sorted(found))}: expected quick_gelu or gelu in '
                        f'both towers, because models of open_clip have no other; use other weights.')
    return Facts(found == {'quick_gelu'}, source=source)


def _from_processor(config: dict, source: str) -> Facts:
    if config.get('do_normalize') is False:
        return Facts(None, (0., ) * 3, (1., ) * 3, source)
    return Facts(None, _channels(config['image_mean']), _channels(config['image_std']), source)
