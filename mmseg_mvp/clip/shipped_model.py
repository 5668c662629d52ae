"""The tiny CLIP that ships with the project: an open_clip model with finer cells and a short token table."""
import json
import math
from pathlib import Path

import open_clip
import torch
from open_clip.modified_resnet import AttentionPool2d
from torch import nn

SHIPPED = Path(__file__).parent / 'shipped'
_TABLE = 'token_embedding.weight'
_IDS, _ROWS = 'token_embedding.ids', 'token_embedding.rows'
_STEM_STRIDE = 4


def read_config(path: str | Path) -> dict:
    """Reads a model config: open_clip's JSON with one optional key of ours at its top.

    The key, ``"mmseg_mvp": {"vision_strides": [1, 2, 1, 1]}``, gives the strides of layer1 to layer4 of a ResNet tower;
    open_clip's own are [1, 2, 2, 2] and can't be set.

    Args:
        path (str | Path): The JSON file.

    Returns:
        dict: Its contents.
    """
    return json.loads(Path(path).read_text())


def build_from_config(config: str | Path | dict) -> open_clip.CLIP:
    """Builds an open_clip model with random weights.

    Args:
        config (str | Path | dict): Path of a JSON file for :func:`read_config`, or its contents.

    Returns:
        open_clip.CLIP: The model; where the config sets strides, its tower has them and a pool of the matching grid.
    """
    config = dict(config) if isinstance(config, dict) else read_config(config)
    ours = config.pop('mmseg_mvp', {})
    model = open_clip.CLIP(**config)
    if 'vision_strides' in ours:
        _set_strides(model.visual, ours['vision_strides'])
    return model


def _set_strides(tower: nn.Module, strides: list[int]) -> None:
    """Takes the average pooling out of the layers with stride 1 and fits the attention pool to the finer grid."""
    for layer, stride in zip((tower.layer1, tower.layer2, tower.layer3, tower.layer4), strides):
        if stride == 1:
            layer[0].avgpool = layer[0].downsample[0] = nn.Identity()
            layer[0].stride = 1
    pool, side = tower.attnpool, tower.image_size // (_STEM_STRIDE * math.prod(strides))
    tower.attnpool = AttentionPool2d(side, pool.c_proj.in_features, pool.num_heads, pool.c_proj.out_features)
    tower.init_parameters()


def expand_token_table(model: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Puts a full token table in place of the few rows that a shipped file holds; other tokens get zeros.

    Args:
        model (nn.Module): Its token table gives the shape (vocabulary, width).
        state (dict[str, torch.Tensor]): A state dict with ``token_embedding.ids``, int64 (N,), and
            ``token_embedding.rows`` (N, width); one without is returned as it is.

    Returns:
        dict[str, torch.Tensor]: A state dict under open_clip's own names.
    """
    if _IDS not in state:
        return state
    state = dict(state)
    ids, rows = state.pop(_IDS), state.pop(_ROWS)
    table = rows.new_zeros(model.token_embedding.weight.shape)
    table[ids] = rows
    return {**state, _TABLE: table}
