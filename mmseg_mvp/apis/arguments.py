"""Command line arguments that select the model for a user's images."""
from argparse import ArgumentParser, Namespace

from mmseg_mvp.cli import add_trust_argument
from mmseg_mvp.errors import UserError

from .images import MAX_PIXELS
from .inferencer import OpenVocabInferencer


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that :func:`build_inferencer` reads."""
    parser.add_argument('--config', help='config file; without it and without a checkpoint: MaskCLIP')
    parser.add_argument('--checkpoint', help='what was learned; its own config is taken where none is given')
    add_trust_argument(parser)
    parser.add_argument('--clip', metavar='MODEL:WEIGHTS',
                        help='CLIP in the place of the config\'s, such as RN50-quickgelu:RN50.pt or toy-rn:toy '
                             '(MaskCLIP without a config: ViT-B-16-quickgelu:openai)')
    parser.add_argument('--max-pixels', type=int, default=MAX_PIXELS, metavar='N',
                        help='refuse larger images (default: %(default)s)')


def build_inferencer(args: Namespace, device: str | None) -> OpenVocabInferencer:
    """Build the model of a command line on a device; None selects the best device available.

    Raises:
        UserError: If :class:`OpenVocabInferencer` refuses the arguments, or ``--clip`` is malformed.
    """
    name, _, weights = (args.clip or '').partition(':')
    if args.clip and not (name and weights):
        raise UserError(f'--clip {args.clip} is not MODEL:WEIGHTS, such as ViT-B-16-quickgelu:openai or toy-rn:toy')
    clip = dict(model=name, weights=weights) if args.clip else None
    return OpenVocabInferencer(args.config, args.checkpoint, device, clip, args.max_pixels,
                              args.trust_checkpoint)
