"""Names and shapes of the weights in released LSeg checkpoints, with their names in this package.

Source: the official model, github.com/isl-org/lang-seg, for supervised and zero-shot runs.
"""
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from mmseg_mvp.errors import UserError

# Prefix -> reason, for weights in released files that LSeg does not use.
UNUSED = {
    'clip_pretrained.': 'the frozen CLIP, which the config sets',
    'pretrained.model.norm.': 'the final norm, which is after the features that LSeg uses',
    'pretrained.model.head.': 'the classifier of ImageNet',
    'scratch.refinenet4.resConfUnit1.': 'never used: the deepest fusion block has no second input',
}
# Patch size -> (map, kernel size) of the layers that resize. Kernel 3 is a convolution, the others are transposed.
RESIZE = {16: ((1, 4), (2, 2), (4, 3)), 32: ((1, 8), (2, 4), (3, 2))}
# Prefixes of torchvision's stages. The official first stage includes the stem.
STAGES = {1: 'pretrained.layer1.4.', 2: 'pretrained.layer2.', 3: 'pretrained.layer3.', 4: 'pretrained.layer4.'}


class Weight(NamedTuple):
    """A tensor of the official model.

    Attributes:
        official (str): Official name, without the prefix ``net.``.
        ours (str): Name in an ``OpenVocabEncoderDecoder`` with an ``LSegHead``.
        shape (tuple[int | str, ...]): Sizes. A string names a size that differs between models: ``'E'``, or ``'3E'``
            for three times that size.
    """
    official: str
    ours: str
    shape: tuple[int | str, ...]


def layout(names: Collection[str]) -> list[Weight]:
    """List the weights of the official model that a state dict belongs to.

    Args:
        names (Collection[str]): Names of a state dict, without the prefix ``net.``.

    Returns:
        list[Weight]: Weights of the backbone, then of the head.

    Raises:
        UserError: If the names are not of an official LSeg.
    """
    blocks = _count(names, 'pretrained.model.blocks.')
    stages = [_count(names, prefix) for prefix in STAGES.values()]
    if not any(name.startswith('scratch.') for name in names) or not (blocks or all(stages)):
        raise UserError(f'no weights of an official LSeg were found, but {len(names)} entries such as '
                        f"{sorted(names)[:2]}: expected ones such as 'net.scratch.head1.weight' with "
                        f"'net.pretrained.model.blocks.0.attn.qkv.weight' or 'net.pretrained.layer4.0.conv1.weight'; "
                        f'give the .ckpt file of a released model')
    patch = 32 if any(name.startswith('pretrained.act_postprocess3.4.') for name in names) else 16
    backbone = [*_vit(blocks, patch), *_reassembly(patch)] if blocks else _resnet(stages)
    return [*backbone, *_decoder(regularized=any(name.startswith('scratch.head_block.') for name in names))]


def mismatches(weights: list[Weight], shapes: dict[str, tuple[int, ...]]) -> tuple[list[str], dict[str, int]]:
    """Compare shapes with the layout; the first weight with a named size sets its value.

    Args:
        weights (list[Weight]): Expected weights.
        shapes (dict[str, tuple[int, ...]]): Shapes found, by official name.

    Returns:
        tuple[list[str], dict[str, int]]: One phrase per wrong shape, and the named sizes.
    """
    sizes, phrases = {}, []
    for official, _, expected in weights:
        found = shapes.get(official)
        if found is None:
            continue
        if len(found) == len(expected):
            for name, size in zip(expected, found):
                sizes.setdefault(str(name), size)
        if (fitting := tuple(_size(name, sizes) for name in expected)) != found:
            phrases.append(f'{official} is {found} instead of {fitting}')
    return phrases, sizes


def _size(name: int | str, sizes: dict[str, int]) -> int | str:
    """Return the value of a named size, or the name if it has no value yet."""
    factor, base = re.fullmatch(r'(\d*)(.*)', str(name)).groups()
    if base and base not in sizes:
        return name
    return int(factor or 1) * (sizes[base] if base else 1)


def _count(names: Collection[str], prefix: str) -> int:
    """Return the length of a module list: highest index after the prefix, plus 1; 0 if there is none."""
    found = (re.match(re.escape(prefix) + r'(\d+)\.', name) for name in names)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _layer(official: str, ours: str, *shape: int | str, bias: bool = True) -> Iterator[Weight]:
    """Yield weight and bias of a layer or norm."""
    yield Weight(f'{official}.weight', f'{ours}.weight', shape)
    if bias:
        yield Weight(f'{official}.bias', f'{ours}.bias', shape[:1])


def _batch_norm(official: str, ours: str, channels: str) -> Iterator[Weight]:
    yield from _layer(official, ours, channels)
    for name, shape in dict(running_mean=(channels,), running_var=(channels,), num_batches_tracked=()).items():
        yield Weight(f'{official}.{name}', f'{ours}.{name}', shape)


def _vit(depth: int, patch: int) -> Iterator[Weight]:
    """Yield the weights of timm's ViT, as in mmseg: E channels, F hidden channels, L positions."""
    yield Weight('pretrained.model.cls_token', 'backbone.cls_token', (1, 1, 'E'))
    yield Weight('pretrained.model.pos_embed', 'backbone.pos_embed', (1, 'L', 'E'))
    yield from _layer('pretrained.model.patch_embed.proj', 'backbone.patch_embed.projection', 'E', 3, patch, patch)
    for index in range(depth):
        old, new = f'pretrained.model.blocks.{index}', f'backbone.layers.{index}'
        yield from _layer(f'{old}.norm1', f'{new}.ln1', 'E')
        yield Weight(f'{old}.attn.qkv.weight', f'{new}.attn.attn.in_proj_weight', ('3E', 'E'))
        yield Weight(f'{old}.attn.qkv.bias', f'{new}.attn.attn.in_proj_bias', ('3E',))
        yield from _layer(f'{old}.attn.proj', f'{new}.attn.attn.out_proj', 'E', 'E')
        yield from _layer(f'{old}.norm2', f'{new}.ln2', 'E')
        yield from _layer(f'{old}.mlp.fc1', f'{new}.ffn.layers.0.0', 'F', 'E')
        yield from _layer(f'{old}.mlp.fc2', f'{new}.ffn.layers.1', 'E', 'F')


def _reassembly(patch: int) -> Iterator[Weight]:
    """Yield the weights that reassemble ViT layers: class token readout, projection to four widths, resize."""
    ours = 'decode_head.reassemble_blocks'
    for map_ in range(1, 5):
        old = f'pretrained.act_postprocess{map_}'
        yield from _layer(f'{old}.0.project.0', f'{ours}.readout_projects.{map_ - 1}.0', 'E', '2E')
        yield from _layer(f'{old}.3', f'{ours}.projects.{map_ - 1}.conv', f'map{map_}', 'E', 1, 1)
    for map_, kernel in RESIZE[patch]:
        yield from _layer(f'pretrained.act_postprocess{map_}.4', f'{ours}.resize_layers.{map_ - 1}',
                          f'map{map_}', f'map{map_}', kernel, kernel)


def _resnet(depths: list[int]) -> Iterator[Weight]:
    """Yield the weights of torchvision's ResNet with bottlenecks, as in mmseg."""
    yield from _layer('pretrained.layer1.0', 'backbone.conv1', 'stem', 3, 7, 7, bias=False)
    yield from _batch_norm('pretrained.layer1.1', 'backbone.bn1', 'stem')
    source = 'stem'
    for (stage, prefix), depth in zip(STAGES.items(), depths):
        width, target = f'width{stage}', f'map{stage}'
        for index in range(depth):
            old, new = f'{prefix}{index}', f'backbone.layer{stage}.{index}'
            convs = {1: (width, source, 1, 1), 2: (width, width, 3, 3), 3: (target, width, 1, 1)}
            for number, shape in convs.items():
                yield from _layer(f'{old}.conv{number}', f'{new}.conv{number}', *shape, bias=False)
                yield from _batch_norm(f'{old}.bn{number}', f'{new}.bn{number}', shape[0])
            if index == 0:
                yield from _layer(f'{old}.downsample.0', f'{new}.downsample.0', target, source, 1, 1, bias=False)
                yield from _batch_norm(f'{old}.downsample.1', f'{new}.downsample.1', target)
            source = target


def _decoder(regularized: bool) -> Iterator[Weight]:
    """Yield the weights of the fusion (C channels) and the projection (to D).

    Official fusion blocks are counted from the finest map, those of mmseg from the deepest.
    """
    for map_ in range(1, 5):
        yield from _layer(f'scratch.layer{map_}_rn', f'decode_head.convs.{map_ - 1}.conv', 'C', f'map{map_}', 3, 3,
                          bias=False)
    for map_ in range(1, 5):
        old, new = f'scratch.refinenet{map_}', f'decode_head.fusion_blocks.{4 - map_}'
        for unit in (2,) if map_ == 4 else (1, 2):
            for number in (1, 2):
                block, conv = f'{old}.resConfUnit{unit}', f'{new}.res_conv_unit{unit}.conv{number}'
                yield from _layer(f'{block}.conv{number}', f'{conv}.conv', 'C', 'C', 3, 3, bias=False)
                yield from _batch_norm(f'{block}.bn{number}', f'{conv}.bn', 'C')
        yield from _layer(f'{old}.out_conv', f'{new}.project.conv', 'C', 'C', 1, 1)
    yield from _layer('scratch.head1', 'decode_head.conv_seg.projection', 'D', 'C', 1, 1)
    if regularized:
        yield from _layer('scratch.head_block.depthwise.depthwise', 'decode_head.conv_seg.regularization.conv',
                          1, 1, 3, 3)
