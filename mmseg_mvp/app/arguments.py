"""Command line arguments of the tools."""
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.apis.example_folder import join_classes, read_examples
from mmseg_mvp.apis.images import MAX_PIXELS
from mmseg_mvp.datasets.annotations import Converted, convert
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.text.example_rows import EXAMPLE_WEIGHT
from mmseg_mvp.utils.config import merge_options, read_config
from mmseg_mvp.utils.former_config import check_former_keys
from mmseg_mvp.vocabularies import load_vocabulary

# How a user names another CLIP, in the arguments of the running tool.
_BY_FLAG, _BY_OPTION = '--clip {model}:FILE', '--cfg-options {place}.weights=FILE'
_CLIP_SETTING = dict(text=_BY_OPTION, place='model.clip')


def clip_setting(model: str) -> str:
    """Return the argument by which a user of the running tool names the weights file of a CLIP."""
    return _CLIP_SETTING['text'].format(model=model, place=_CLIP_SETTING['place'])


class OptionsAction(DictAction):
    """Action of `--cfg-options KEY=VALUE ...` that keeps spaces inside values; malformed pairs raise a UserError."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError, RecursionError) as error:
            raise UserError(f'{option_string} {" ".join(values)} is not a list of KEY=VALUE pairs with balanced '
                            'brackets, such as train_dataloader.batch_size=4') from error

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        """Parse a value as mmengine does, but drop only spaces next to commas and brackets; mmengine drops all.

        In brackets, full-width commas separate values too.
        """
        if val.strip().startswith(('[', '(')):
            val = re.sub('[，、]', ',', val)
        held = re.sub(r'\s*([,()\[\]])\s*', r'\1', val.strip()).replace(' ', '\0')  # arguments can't contain \0
        return _with_blanks(DictAction._parse_iterable(held))


def _with_blanks(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_blanks, value))
    return value.replace('\0', ' ') if isinstance(value, str) else value


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add the arguments shared by the training and test tools, named as in MMSegmentation."""
    parser.add_argument('config', help='config file, or a shipped config such as mvp_seg/voc_zs')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints '
                        '(default: ./work_dirs/FOLDER/NAME for a config FOLDER/NAME.py)')
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE', default={},
                        help='override settings: train_dataloader.batch_size=4 model.test_cfg.crop_size="(64,64)"')
    parser.add_argument('--skip-data-check', action='store_true',
                        help='start without a look for every image and mask, for slow drives')
    add_trust_argument(parser)
    add_limit_argument(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by older torch launchers')


def add_trust_argument(parser: ArgumentParser) -> None:
    """Add ``--trust-checkpoint``."""
    parser.add_argument('--trust-checkpoint', action='store_true',
                        help='read checkpoints as torch.load does, which runs code from them (default: as data)')


def add_limit_argument(parser: ArgumentParser) -> None:
    """Add ``--max-pixels``."""
    parser.add_argument('--max-pixels', type=int, metavar='N',
                        help=f'refuse larger images (default: {MAX_PIXELS}, or max_pixels of LoadCheckedImage)')


def add_conversion_arguments(parser: ArgumentParser, splits: Sequence[str]) -> None:
    """Add the arguments of the commands that convert annotations. The first split is the default."""
    parser.add_argument('--splits', nargs='+', choices=splits, default=list(splits[:1]),
                        help=f'parts of the data set; by default {splits[0]}, on which the benchmarks test')
    parser.add_argument('--nproc', type=int, default=min(os.cpu_count() or 1, 8), help='number of processes')


def limit_of(args: Namespace) -> int:
    """Return the largest number of pixels of an image: ``--max-pixels`` or the default."""
    return MAX_PIXELS if args.max_pixels is None else args.max_pixels


def add_annotation_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of :func:`mmseg_mvp.datasets.annotations.convert`, without the new folder."""
    parser.add_argument('photos', metavar='PHOTOS', help='folder of photos')
    parser.add_argument('annotations', metavar='ANNOTATIONS', help='file or folder of annotations')
    parser.add_argument('--unlabelled', choices=['background', 'ignore'], default='background',
                        help='pixels outside all shapes are a class of their own, or are left out of training and test '
                             '(default: %(default)s)')
    parser.add_argument('--classes', metavar='NAMES', help='names in the order of the label values: comma-separated, a '
                        'file, or a label set (default: those of the annotations)')
    parser.add_argument('--val', type=float, default=.2, metavar='SHARE',
                        help='share of the photos that val.txt lists (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of all random choices (default: %(default)s)')
    add_limit_argument(parser)


def convert_annotations(args: Namespace, out: str | Path) -> Converted:
    """Convert the photos and annotations of a command line, see :func:`mmseg_mvp.datasets.annotations.convert`."""
    return convert(args.photos, args.annotations, out, args.unlabelled, args.classes, args.val, args.seed,
                   limit_of(args))


def put_max_pixels(part: Any, max_pixels: int | None) -> None:
    """Set ``max_pixels`` of every ``LoadCheckedImage`` in a part of a config, in place. None changes nothing."""
    if max_pixels is None:
        return
    if isinstance(part, dict):
        if str(part.get('type')).endswith('LoadCheckedImage'):
            part['max_pixels'] = max_pixels
        part = list(part.values())
    for child in part if isinstance(part, (list, tuple)) else ():
        put_max_pixels(child, max_pixels)


def load_config(args: Namespace) -> Config:
    """Read the config of the command line and override it by the command line's settings.

    Raises:
        UserError: If the file is missing, can't be parsed or has keys of MMSegmentation 0.x, or `--cfg-options` do not
            fit it.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config)
    _CLIP_SETTING.update(text=_BY_OPTION, place=next(_places_of_clip(cfg), 'model.clip'))
    merge_options(cfg, args.cfg_options)
    put_max_pixels(cfg._cfg_dict, getattr(args, 'max_pixels', None))
    check_former_keys(cfg)
    cfg.launcher = args.launcher
    path = Path(cfg.filename).resolve()
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'./work_dirs/{path.parent.name}/{path.stem}'
    return cfg


def _places_of_clip(part: Any, place: str = '') -> Iterator[str]:
    """Generate the dotted places of each ``clip`` in a part of a config."""
    for key, value in part.items() if isinstance(part, (Mapping, Config)) else ():
        inner = f'{place}.{key}'.lstrip('.')
        if key == 'clip' and isinstance(value, Mapping):
            yield inner
        yield from _places_of_clip(value, inner)


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that :func:`build_inferencer` reads."""
    parser.add_argument('--config', help='config file, or a shipped config such as maskclip/voc_zs; without config '
                        'and checkpoint: a model without training')
    parser.add_argument('--checkpoint', help='checkpoint file; without --config, its own config is used')
    add_trust_argument(parser)
    parser.add_argument('--clip', metavar='MODEL:WEIGHTS',
                        help='CLIP that replaces the config\'s, such as RN50-quickgelu:RN50.pt or toy-rn:toy '
                             '(without a config: ViT-B-16-quickgelu:openai)')
    add_limit_argument(parser)


def add_example_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of examples, which :func:`read_class_arguments` reads with ``--classes``."""
    parser.add_argument('--examples', metavar='FOLDER|FILE',
                        help='classes by pictures: a folder with a subfolder per class, whose pictures may have masks '
                             '(widget/a.jpg with widget/a.png or widget/a_mask.png), or a file of ExampleClasses.save')
    parser.add_argument('--example-weight', type=float, metavar='W', default=EXAMPLE_WEIGHT,
                        help='weight of the examples of classes that have words, too, 0 to 1 (default: %(default)s)')


def read_class_arguments(args: Namespace) -> dict[str, list]:
    """Read the classes of ``--classes`` and ``--examples``: each name with its words and examples.

    Raises:
        UserError: If both are missing, or one is not valid.
    """
    if not args.classes and not args.examples:
        raise UserError('Classes are missing: give names by --classes, such as "cat, dog, other", or pictures by '
                        '--examples.')
    vocabulary = {} if args.classes is None else load_vocabulary(args.classes)
    return join_classes(vocabulary, read_examples(args.examples) if args.examples else {})


def build_inferencer(args: Namespace, device: str | None, refine: str | None = None) -> OpenVocabInferencer:
    """Build the model of a command line on a device; None selects the best device available.

    ``refine`` is that of :class:`OpenVocabInferencer`.

    Raises:
        UserError: If :class:`OpenVocabInferencer` refuses the arguments, or ``--clip`` is malformed.
    """
    _CLIP_SETTING['text'] = _BY_FLAG
    clip = clip_of(args.clip) if args.clip else None
    return OpenVocabInferencer(args.config, args.checkpoint, device, clip, limit_of(args), args.trust_checkpoint,
                               refine, getattr(args, 'example_weight', EXAMPLE_WEIGHT))


def clip_of(text: str) -> dict[str, str]:
    """Return ``model`` and ``weights`` of a CLIP written as MODEL:WEIGHTS.

    Raises:
        UserError: If one of them is missing.
    """
    _CLIP_SETTING['text'] = _BY_FLAG
    name, _, weights = text.partition(':')
    if not (name and weights):
        raise UserError(f'--clip {text} is not MODEL:WEIGHTS, such as ViT-B-16-quickgelu:openai or toy-rn:toy')
    return dict(model=name, weights=weights)
