"""Tiny CLIP shipped with the package: an open_clip model with finer feature maps and a short token table."""
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
    """Read a model config: JSON of open_clip with an optional entry for this package.

    The entry ``"mmseg_mvp": {"vision_strides": [1, 2, 1, 1]}`` sets the strides of layer1 to layer4 of a ResNet tower.
    open_clip has no such option and uses [1, 2, 2, 2].
    """
    return json.loads(Path(path).read_text())


def build_from_config(config: str | Path | dict) -> open_clip.CLIP:
    """Build an open_clip model with random weights from the result of :func:`read_config`, or from a path."""
    config = dict(config) if isinstance(config, dict) else read_config(config)
    ours = config.pop('mmseg_mvp', {})
    model = open_clip.CLIP(**config)
    if 'vision_strides' in ours:
        _set_strides(model.visual, ours['vision_strides'])
    return model


def _set_strides(tower: nn.Module, strides: list[int]) -> None:
    """Remove the average pools of layers with stride 1 and build an attention pool for the finer grid."""
    for layer, stride in zip((tower.layer1, tower.layer2, tower.layer3, tower.layer4), strides):
        if stride == 1:
            layer[0].avgpool = layer[0].downsample[0] = nn.Identity()
            layer[0].stride = 1
    pool, side = tower.attnpool, tower.image_size // (_STEM_STRIDE * math.prod(strides))
    tower.attnpool = AttentionPool2d(side, pool.c_proj.in_features, pool.num_heads, pool.c_proj.out_features)
    tower.init_parameters()


def expand_token_table(model: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Replace ``token_embedding.ids``, (N,) int64, and ``.rows``, (N, width), by the table (vocabulary, width).

    Other tokens get zeros. A state dict without these entries is returned unchanged.
    """
    if _IDS not in state:
        return state
    state = dict(state)
    ids, rows = state.pop(_IDS), state.pop(_ROWS)
    table = rows.new_zeros(model.token_embedding.weight.shape)
    table[ids] = rows
    return {**state, _TABLE: table}


def keep_tokens(model: nn.Module, ids: torch.Tensor) -> None:
    """Reduce the token table of a model to the trainable rows ``ids``, (N,) int64, which renumbers the tokens."""
    rows = model.token_embedding.weight[ids].detach()
    model.token_embedding = nn.Embedding.from_pretrained(rows, freeze=False)


def compact_state(model: nn.Module, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the state dict that :func:`expand_token_table` reads, in half precision.

    Args:
        model (nn.Module): Model after :func:`keep_tokens`.
        ids (torch.Tensor): Ids of its tokens in CLIP's vocabulary, (N,) int64.
    """
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    state[_ROWS] = state.pop(_TABLE)
    return {name: value.contiguous() for name, value in {_IDS: ids, **state}.items()}
