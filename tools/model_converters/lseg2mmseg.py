"""Convert a released LSeg checkpoint: python tools/model_converters/lseg2mmseg.py SRC DST.

The file is read as data; no code in it runs. Unused and missing weights are listed.
"""
import argparse
import math
import os
import sys
from collections.abc import Iterator

import torch
from torch import Tensor

try:
    import lseg_layout

    from mmseg_mvp import __version__, app
    from mmseg_mvp.checkpoints import read_file, trusted_checkpoints
    from mmseg_mvp.errors import UserError
    from mmseg_mvp.utils.files import check_new_file, save_checkpoint
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')

# Embedding size -> CLIP of the text tower in the released models.
CLIPS = {512: 'ViT-B-32-quickgelu', 768: 'RN50x16-quickgelu'}
# The official scale of the cosines is a constant and not in the checkpoints.
LOG_SCALE = {'decode_head.conv_seg.log_scale': torch.tensor(math.log(1 / 0.07))}


def read_checkpoint(path: str) -> dict:
    """Read a file of ``torch.save`` without running code from it.

    Args:
        path (str): A Lightning checkpoint, or a state dict.

    Returns:
        dict: Content of the file, with stand-ins for objects.

    Raises:
        UserError: If the file is missing, can't be read, or is not a dict.
    """
    if not os.path.isfile(path):
        raise UserError(f'{path} does not exist: give the .ckpt file of a released LSeg')
    content = read_file(path)
    if not isinstance(content, dict):
        raise UserError(f'{path} holds a {type(content).__name__} instead of a dict with a state_dict: give the '
                        f'.ckpt file of a released LSeg')
    return content


def official_weights(content: dict) -> tuple[dict[str, Tensor], list[str]]:
    """Extract the state dict of a checkpoint, without the prefix ``net.`` of Lightning's module.

    Args:
        content (dict): A Lightning checkpoint, or a state dict.

    Returns:
        tuple[dict[str, Tensor], list[str]]: Weights by official (``LSegNet``) name, and names of other entries.
    """
    key = next((key for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), None)
    state = content if key is None else content[key]
    weights = {str(name).removeprefix('net.'): value for name, value in state.items() if isinstance(value, Tensor)}
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    return weights, sorted(map(str, others if key is None else [*others, *(content.keys() - {key})]))


def convert(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Rename official weights to the names used here, and report unused and missing ones.

    Args:
        weights (dict[str, Tensor]): Weights by official name.

    Returns:
        tuple[dict[str, Tensor], list[str]]: State dict for this package, and the lines of a report.

    Raises:
        UserError: If the weights are not of an official LSeg, or shapes are inconsistent.
    """
    layout = lseg_layout.layout(weights)
    wrong, sizes = lseg_layout.mismatches(layout, {name: tuple(value.shape) for name, value in weights.items()})
    if wrong:
        raise UserError(f'{len(wrong)} weights have a wrong shape, such as {"; ".join(wrong[:3])}: expected weights '
                        f'of a released LSeg (ViT-L/16, ViT-B/32 or ResNet-101, with DPT); give its file')
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
        yield f'Not used: {name}, which is in no released LSeg.'


def _missing_lines(names: list[str]) -> Iterator[str]:
    for name in names:
        yield f'MISSING: {name}, which keeps its initial value.'


def _advice(sizes: dict[str, int], regularized: bool) -> Iterator[str]:
    """Yield advice on config settings that the file does not contain."""
    clip = CLIPS.get(sizes.get('D'))
    yield (f'The text embeddings have the size {sizes.get("D")}: model.clip must be '
           + (f"dict(model='{clip}', weights='openai')." if clip else 'the CLIP that LSeg was trained with.'))
    yield ('On loading, decode_head.conv_seg.classifier._extra_state is reported as missing. Checkpoints of this '
           'package store the name of their CLIP there, and this file does not contain it.')
    if regularized:
        yield ('The file has weights of a spatial regularization, but does not name its kind: set '
               'decode_head.regularization as in training (an official block_depth of 0 is a depth of 1 here).')


def main() -> None:
    parser = argparse.ArgumentParser(description='Convert a released LSeg checkpoint to MMSegmentation')
    parser.add_argument('src', help='.ckpt file of github.com/isl-org/lang-seg')
    parser.add_argument('dst', help='new .pth file for tools/test.py')
    app.add_trust_argument(parser)
    args = parser.parse_args()
    check_new_file(args.dst)
    with trusted_checkpoints(args.trust_checkpoint):
        weights, others = official_weights(read_checkpoint(args.src))
    state_dict, report = convert(weights)
    meta = dict(converted_from=os.path.basename(args.src), mmseg_mvp_version=__version__)
    save_checkpoint(dict(meta=meta, state_dict=state_dict), args.dst)
    if others:
        print(f'Not used: {", ".join(others)}, which are not weights.')
    print('\n'.join([*report, f'Written to {args.dst}.']))


if __name__ == '__main__':
    with app.user_errors():
        main()
