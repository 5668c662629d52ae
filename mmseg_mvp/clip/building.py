"""open_clip models with random weights, built from a model name or a config file."""
import copy
import difflib
import json
import math
import os
from pathlib import Path

import open_clip
from open_clip.modified_resnet import AttentionPool2d
from torch import nn

from mmseg_mvp.errors import UserError

SHIPPED = Path(__file__).parent / 'shipped'
TOYS = 'toy-rn', 'toy-vit'
_STEM_STRIDE = 4


def find_config(model: str) -> dict:
    """Return the config of an open_clip name, of a shipped toy, or of a JSON file, see :func:`read_config`.

    Raises:
        UserError: If the model is unknown, the file is missing, or the text tower is a Hugging Face model.
    """
    shipped = SHIPPED / f'{model}.json'
    if os.path.isfile(shipped):  # Path.is_file raises an error if the name is too long
        return read_config(shipped)
    if not model.lower().endswith('.json'):
        return _check_text(model, _published_config(model))
    path = os.path.expanduser(model)
    if not os.path.isfile(path):
        raise UserError(f"The CLIP model config '{model}' does not exist: set clip.model to an open_clip name or "
                        f'to the path of a JSON file.')
    try:
        config = {**read_config(path)}
        _check_entries(config)
    except (ValueError, TypeError, OSError) as error:
        raise _unusable(model, error) from error
    return _check_text(model, _with_tokenizer_beside(config, path))


def read_config(path: str | Path) -> dict:
    """Read a model config: JSON of open_clip with optional entries for the normalisation and for this package.

    The entry ``"preprocess_cfg": {"mean": [...], "std": [...]}`` is that of open_clip's ``open_clip_config.json``, a
    layout that is read as well. The entry ``"mmseg_mvp": {"vision_strides": [1, 2, 1, 1]}`` sets the strides of layer1
    to layer4 of a ResNet tower. open_clip has no such option and uses [1, 2, 2, 2].
    """
    config = json.loads(Path(path).read_text('utf-8-sig'))
    if isinstance(config, dict) and isinstance(config.get('model_cfg'), dict):
        return dict(config['model_cfg'], preprocess_cfg=config.get('preprocess_cfg', {}))
    return config


def _check_entries(config: dict) -> None:
    """Raise TypeError or ValueError for entries that open_clip and this package would misread in silence."""
    kinds = dict(quick_gelu=bool, vision_cfg=dict, text_cfg=dict, preprocess_cfg=dict, mmseg_mvp=dict)
    for key, kind in kinds.items():
        if config.get(key) is not None and not isinstance(config[key], kind):
            raise TypeError(f'{key} is {config[key]!r}, not a {kind.__name__}')
    for key, kind in dict(hf_tokenizer_name=str, tokenizer_kwargs=dict).items():
        value = (config.get('text_cfg') or {}).get(key)
        if value is not None and not isinstance(value, kind):
            raise TypeError(f'text_cfg.{key} is {value!r}, not a {kind.__name__}')
    ours = config.get('mmseg_mvp') or {}
    strides = ours.get('vision_strides', [1, 2, 2, 2])
    if ours.keys() - {'vision_strides'} or len(strides) != 4 or not all(stride in (1, 2) for stride in strides):
        raise ValueError(f'mmseg_mvp is {ours}, but takes vision_strides alone, four numbers of 1 or 2')


def build_from_config(config: str | Path | dict) -> nn.Module:
    """Build an open_clip model with random weights from the result of :func:`read_config`, or from a path."""
    config = copy.deepcopy(config) if isinstance(config, dict) else read_config(config)
    ours = config.pop('mmseg_mvp', None) or {}
    config.pop('preprocess_cfg', None)
    # The class as in open_clip.create_model, which cannot build from a dict.
    kind = open_clip.CLIP
    if config.pop('custom_text', False) or 'hf_model_name' in config['text_cfg']:
        kind = open_clip.CoCa if 'multimodal_cfg' in config else open_clip.CustomTextCLIP
    if 'timm_model_name' in config['vision_cfg']:
        config['vision_cfg']['timm_model_pretrained'] = False
    model = kind(**config)
    if 'vision_strides' in ours:
        _set_strides(model.visual, ours['vision_strides'])
    return model


def build(model: str, config: dict) -> nn.Module:
    """Build like :func:`build_from_config`.

    Raises:
        UserError: If the config does not describe an open_clip model; ``model`` names it in the message.
    """
    try:
        return build_from_config(config)
    except Exception as error:  # open_clip and torch check values by various exceptions
        raise _unusable(model, error) from error


def _unusable(model: str, error: Exception) -> UserError:
    return UserError(f"The CLIP model config '{model}' can't be used ({type(error).__name__}: {error}): expected "
                     f'JSON with embed_dim, vision_cfg and text_cfg, as in open_clip/model_configs.')


def _published_config(model: str) -> dict:
    if model not in open_clip.list_models():
        near = difflib.get_close_matches(model, open_clip.list_models(), n=3, cutoff=0.4)
        raise UserError(f"There is no CLIP model '{model}': expected an open_clip name (similar: {', '.join(near)}), "
                        f"{', '.join(map(repr, TOYS))}, or the path of a JSON model config.")
    return open_clip.get_model_config(model)


def _check_text(model: str, config: dict) -> dict:
    """Return a config whose text tower is open_clip's own; others load the weights of another repository."""
    if (config.get('text_cfg') or {}).get('hf_model_name'):
        raise UserError(f"The text tower of CLIP '{model}' is a Hugging Face model, without a table of word vectors "
                        f'that prompts could use: expected a text tower of open_clip; choose another CLIP, such as '
                        f'ViT-B-16, ViT-B-16-SigLIP2 or ViT-H-14-worldwide.')
    return config


def _with_tokenizer_beside(config: dict, path: str) -> dict:
    """Replace the name of a tokenizer folder beside a config file by its path."""
    name = (config.get('text_cfg') or {}).get('hf_tokenizer_name')
    beside = os.path.join(os.path.dirname(path), str(name))
    if name and os.path.isdir(beside):
        config['text_cfg'] = dict(config['text_cfg'], hf_tokenizer_name=beside)
    return config


def _set_strides(tower: nn.Module, strides: list[int]) -> None:
    """Remove the average pools of layers with stride 1 and build an attention pool for the finer grid."""
    for layer, stride in zip((tower.layer1, tower.layer2, tower.layer3, tower.layer4), strides):
        if stride == 1:
            layer[0].avgpool = layer[0].downsample[0] = nn.Identity()
            layer[0].stride = 1
    pool, side = tower.attnpool, tower.image_size // (_STEM_STRIDE * math.prod(strides))
    tower.attnpool = AttentionPool2d(side, pool.c_proj.in_features, pool.num_heads, pool.c_proj.out_features)
    tower.init_parameters()
