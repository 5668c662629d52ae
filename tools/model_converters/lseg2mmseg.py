"""Convert a released LSeg checkpoint: python tools/model_converters/lseg2mmseg.py SRC DST

The file is read as data, no code in it runs. Whatever is not used, or missing, is listed.
"""
import argparse
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

try:
    import lseg_layout
    from mmseg_mvp import __version__, cli
    from mmseg_mvp.checkpoints import read_file, trusted_checkpoints
    from mmseg_mvp.errors import UserError
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError, which names the missing package and the pip line itself
    sys.exit(f'error: {error}')

# Embedding size -> the CLIP whose text tower the released models have.
CLIPS = {512: 'ViT-B-32-quickgelu', 768: 'RN50x16-quickgelu'}
# The official scale of the cosines is a constant that no checkpoint holds.
LOG_SCALE = {'decode_head.conv_seg.log_scale': torch.tensor(math.log(1 / 0.07))}


def read_checkpoint(path: str) -> dict:
    """Read a file of ``torch.save``, never running code from it.

    Args:
        path (str): A Lightning checkpoint, or a state dict.

    Returns:
        dict: What the file holds; stand-ins take the places of objects.

    Raises:
        UserError: If the file is missing, can't be read, or holds no dict.
    """
    if not os.path.isfile(path):
        raise UserError(f'{path} does not exist: give the .ckpt file of a released LSeg')
    content = read_file(path)
    if not isinstance(content, dict):
        raise UserError(f'{path} holds a {type(content).__name__} instead of a dict with a state_dict')
    return content


def official_weights(content: dict) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict in a checkpoint, without the prefix ``net.`` of Lightning's module.

    Args:
        content (dict): A Lightning checkpoint, or a state dict.

    Returns:
        tuple[dict[str, Tensor], list[str]]: Weights by the names of the official ``LSegNet``, and what else is there.
    """
    key = next((key for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), None)
    state = content if key is None else content[key]
    weights = {str(name).removeprefix('net.'): value for name, value in state.items() if isinstance(value, Tensor)}
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    return weights, sorted(map(str, others if key is None else [*others, *(content.keys() - {key})]))


def convert(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Give weights the names that they have here, and tell what became of them.

    Args:
        weights (dict[str, Tensor]): By official names.

    Returns:
        tuple[dict[str, Tensor], list[str]]: Our state dict, and a report, line by line.

    Raises:
        UserError: If the weights are those of no official LSeg, or a shape does not fit the others.
    """
    layout = lseg_layout.layout(weights)
    wrong, sizes = lseg_layout.mismatches(layout, {name: tuple(value.shape) for name, value in weights.items()})
    if wrong:
        raise UserError(f'{len(wrong)} weights do not fit the others in shape, such as {"; ".join(wrong[:3])}: the '
                        f'file is none of the released models (ViT-L/16, ViT-B/32 or ResNet-101 with DPT\'s decoder)')
    converted = {ours: weights[official] for official, ours, _ in layout if official in weights}
    missing = [f'{official} -> {ours}' for official, ours, _ in layout if official not in weights]
    unused = sorted(weights.keys() - {weight.official for weight in layout})
    return dict(converted, **LOG_SCALE), [
        f'{len(converted)} weights converted.', *_unused_lines(unused), *_missing_lines(missing),
        *_advice(sizes, 'decode_head.conv_seg.regularization.conv.weight' in converted)]


def _unused_lines(names: list[str]) -> Iterator[str]:
    for prefix, reason in lseg_layout.UNUSED.items():
        if known := [name for name in names if name.startswith(prefix)]:
            yield f'Not used: {prefix}* ({len(known)} keys), {reason}.'
            names = [name for name in names if name not in known]
    for name in names:
        yield f'Not used: {name}, which no released LSeg has.'


def _missing_lines(names: list[str]) -> Iterator[str]:
    for name in names:
        yield f'MISSING: {name}, which stays as the model is built.'


def _advice(sizes: dict[str, int], regularized: bool) -> Iterator[str]:
    """What the config must say, since the file does not."""
    clip = CLIPS.get(sizes.get('D'))
    yield (f'The text embeddings have the size {sizes.get("D")}: model.clip must be '
           + (f"dict(model='{clip}', weights='openai')." if clip else 'the CLIP that LSeg was trained with.'))
    yield ('When it is loaded, decode_head.conv_seg.classifier._extra_state is called missing: that is where our own '
           'checkpoints name their CLIP, and this one does not say.')
    if regularized:
        yield ('The file holds a spatial regularization, but not its kind: set decode_head.regularization to what it '
               'was trained with (an official block_depth of 0 is a depth of 1 here).')


def write(path: str, checkpoint: dict) -> None:
    """Write a new file, whole or not at all; whatever is there stays.

    Args:
        path (str): The file.
        checkpoint (dict): What it is to hold.

    Raises:
        UserError: If the file exists or can't be written.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, 'xb') as file:
            _save(checkpoint, file)
    except (OSError, RuntimeError) as error:
        _check_new(path)
        raise UserError(f'{path} can\'t be written ({cli.describe(error)}): name a file in a folder of yours, on a '
                        f'disk with room for it') from error


def _save(checkpoint: dict, file: BinaryIO) -> None:
    try:
        torch.save(checkpoint, file)
    except BaseException:  # a full disk, an interrupt: half a file would pass for a checkpoint
        os.unlink(file.name)
        raise


def _check_new(path: str) -> None:
    if os.path.lexists(path):
        raise UserError(f'{path} exists: name a new file, nothing is overwritten')


def main() -> None:
    parser = argparse.ArgumentParser(description='Convert a released LSeg checkpoint to MMSegmentation')
    parser.add_argument('src', help='.ckpt file of github.com/isl-org/lang-seg')
    parser.add_argument('dst', help='new .pth file for tools/test.py')
    cli.add_trust_argument(parser)
    args = parser.parse_args()
    _check_new(args.dst)
    with trusted_checkpoints(args.trust_checkpoint):
        weights, others = official_weights(read_checkpoint(args.src))
    state_dict, report = convert(weights)
    write(args.dst, dict(meta=dict(converted_from=os.path.basename(args.src), mmseg_mvp_version=__version__),
                         state_dict=state_dict))
    if others:
        print(f'Not used: {", ".join(others)}, which are no weights.')
    print('\n'.join([*report, f'Written to {args.dst}.']))


if __name__ == '__main__':
    with cli.user_errors():
        main()
