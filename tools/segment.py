"""Segment images by names: python tools/segment.py IMAGE|FOLDER|VIDEO --classes "red house, tree, sky"; see --help."""
import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

try:
    from mmseg_mvp import app
    from mmseg_mvp.errors import UserError
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')

import torch

from mmseg_mvp.apis import OpenVocabInferencer, UnreadableImage
from mmseg_mvp.apis.images import SUFFIXES, list_images
from mmseg_mvp.apis.segmentation import save_picture
from mmseg_mvp.app.progress import FileProgress
from mmseg_mvp.app.video import MISSING, can_segment_videos, count_frames, segment_video
from mmseg_mvp.app.video import SUFFIXES as VIDEOS
from mmseg_mvp.datasets.annotations.coco_file import check_coco, write_coco
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.files import atomic_write
from mmseg_mvp.vocabularies import class_entries

CLASS_LIST = 'seg_classes.txt'  # class names by label, in the folder of the results
COCO_FILE = 'annotations.json'
# Files of each --format, by kind; None is the picture.
KINDS = {None: ['seg'], 'png': ['mask'], 'labelme': ['labelme'], 'coco': ['mask']}


class Outcome(NamedTuple):
    """Counts of one process.

    Attributes:
        done (int): Files segmented.
        kept (int): Files skipped, since their results exist.
        unreadable (list[str]): One message per unreadable file.
    """
    done: int
    kept: int
    unreadable: list[str]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Segment images and videos by names')
    parser.add_argument('source', metavar='IMAGE|FOLDER|VIDEO')
    parser.add_argument('--classes', metavar='NAMES',
                        help='comma-separated names ("red house, tree, sky"), a file of class names (text, '
                             'JSON, YAML, CSV), or a label set such as ade20k')
    app.add_example_arguments(parser)
    app.add_model_arguments(parser)
    parser.add_argument('--out-dir', default='segmented', metavar='DIR',
                        help='folder of the results (default: %(default)s)')
    parser.add_argument('--masks', action='store_true',
                        help='also label maps, as PNG with a palette (16 bits without one beyond 255 classes)')
    parser.add_argument('--format', choices=[kind for kind in KINDS if kind],
                        help='annotations instead of pictures: label maps (png), a JSON file per image that labelme '
                             f'opens (labelme), or label maps and one file {COCO_FILE} (coco)')
    parser.add_argument('--tolerance', type=float, default=1, metavar='PIXELS',
                        help='largest distance of polygons of labelme and COCO from the border of a region; 0 keeps '
                             'all pixels (default: %(default)s)')
    parser.add_argument('--views', action='store_true',
                        help='also a picture with a row for each class: score, presence, map of each prompt')
    parser.add_argument('--threshold', type=float, help='pixels whose class is less probable (0..1) get no class')
    parser.add_argument('--refine', action='store_const', const='pamr',
                        help='move the borders of the classes to those of the image (PAMR), which takes longer')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: the best device available; with torchrun '
                                         'one GPU per process)')
    parser.add_argument('--overwrite', action='store_true', help='replace existing results')
    return parser.parse_args()


def find_files(args: argparse.Namespace) -> tuple[list[Path], str]:
    """List the given file, or the images and videos of the given folder.

    Returns:
        tuple[list[Path], str]: The files, and a sentence about videos that were left out, or ''.

    Raises:
        UserError: If the source is missing or has no image and no video, the output folder is the folder of the images,
            or there are only videos, and PyAV is missing or --masks, --views or --format is set.
    """
    source = Path(args.source)
    if not os.path.exists(source):  # Path.exists raises if a name is too long
        raise UserError(f'{source} does not exist: name an image, a folder or a video')
    check_number('--tolerance', args.tolerance, least=0)
    beside = args.format == 'labelme' and not (args.masks or args.views)  # as labelme itself saves
    if source.is_dir() and source.resolve() == Path(args.out_dir).resolve() and not beside:
        raise UserError(f'--out-dir {args.out_dir} is the folder of the images: give another folder')
    files = list_images(source, (*SUFFIXES, *VIDEOS)) if source.is_dir() else [source]
    videos, reason = list(filter(is_video, files)), '' if can_segment_videos() else MISSING
    if args.masks or args.views or args.format:
        reason = '--masks, --views and --format are for images: omit them for videos, or extract the frames'
    if not videos or not reason:
        return files, ''
    if len(videos) == len(files):
        raise UserError(f'{videos[0]} can\'t be segmented: {reason}')
    return [path for path in files if path not in videos], f'{len(videos)} videos were left out: {reason}'


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS and path.is_file()


def count(path: Path) -> int:
    """Return the number of steps of a file in the progress bar: the frames of a video, else 1."""
    return count_frames(path) if is_video(path) else 1


def plan(files: list[Path], args: argparse.Namespace) -> dict[Path, dict[str, Path]]:
    """Map each file to its result paths by kind; images, or videos, with equal stems keep their suffixes."""
    taken = Counter((name, is_video(path)) for path in files for name in (path.stem, path.name))
    kinds = list(dict.fromkeys(['mask'] * args.masks + ['views'] * args.views + KINDS[args.format]))
    jobs = {}
    for path in files:
        stem = path.stem if taken[path.stem, is_video(path)] == 1 else path.name
        ending = '.mp4' if is_video(path) else '.png'
        names = {kind: f'{stem}.json' if kind == 'labelme' else f'{stem}_{kind}{ending}' for kind in kinds}
        jobs[path] = {kind: Path(args.out_dir, name) for kind, name in names.items()}
    return jobs


def class_list(classes: dict, args: argparse.Namespace) -> str:
    """Return the text of the list of classes, one a line, with a comment for those that have examples."""
    lines = []
    for name, value in classes.items():
        words = tuple(part for part in value if isinstance(part, str))
        entry, = class_entries({name: words or (name, )})
        lines.append(entry + f'  # {"with" if words else "by"} examples in {args.examples}' * (len(words) < len(value)))
    return '\n'.join(lines) + '\n'


def open_folder(args: argparse.Namespace, classes: dict, first: bool) -> None:
    """Check that the folder has no results for other classes; the first process writes the list of classes.

    Raises:
        UserError: If the folder can't be written to, or has results for other classes.
    """
    path, text = Path(args.out_dir, CLASS_LIST), class_list(classes, args)
    others = path.is_file() and path.read_text('utf-8') != text
    if others and not args.overwrite and len(os.listdir(args.out_dir)) > 1:
        raise UserError(f'--out-dir {args.out_dir} holds results for other classes (those of {CLASS_LIST}): name '
                        'another folder, or replace them with --overwrite')
    if first:
        with atomic_write(path, overwrite=True) as temporary:
            temporary.write_text(text, 'utf-8')


def build(args: argparse.Namespace) -> OpenVocabInferencer:
    """Build the inferencer; under torchrun, on one GPU per process.

    Raises:
        UserError: As in ``build_inferencer``, or if --views is set and the model has no separate prompts.
    """
    device = args.device
    if device is None and 'LOCAL_RANK' in os.environ and torch.cuda.is_available():
        device = f'cuda:{os.environ["LOCAL_RANK"]}'
    seg = app.build_inferencer(args, device, args.refine)
    if args.views and not seg.can_explain:
        raise UserError('--views needs a model with a map per prompt, a CLIPEncoderDecoder with CLIPImageEncoder and '
                        'MultiPromptTextHead, as MVP-SEG and MaskCLIP: omit --views')
    return seg


def segment_file(seg: OpenVocabInferencer, path: Path, targets: dict[str, Path], classes: dict,
                 args: argparse.Namespace, update: Callable[[], object]) -> None:
    """Write the missing results of a file, or all with --overwrite; call ``update`` after each image or frame."""
    if is_video(path):
        segment_video(seg, path, targets['seg'], classes, args.threshold, overwrite=True, update=update)
        return
    out = seg(path, classes, args.threshold)
    writers = dict(labelme=lambda target: out.save_labelme(target, args.tolerance, overwrite=True),
                   mask=partial(out.save_mask, overwrite=True), seg=partial(out.save, overwrite=True),
                   views=lambda target: save_picture(out.draw_views(), target, overwrite=True))
    for kind, target in targets.items():
        if args.overwrite or not target.exists():
            writers[kind](target)
    update()


def run(jobs: dict[Path, dict[str, Path]], classes: dict, args: argparse.Namespace, rank: int, size: int) -> Outcome:
    """Segment one process's share of the files; skip complete files unless --overwrite is set."""
    share = list(jobs)[rank::size]
    todo = [path for path in share if args.overwrite or not all(target.exists() for target in jobs[path].values())]
    seg = build(args) if todo else None
    if todo and args.examples:
        classes = {**classes, **seg.embed_examples(classes)}
    unreadable, progress = [], FileProgress({path: count(path) for path in todo} if rank == 0 else {})
    for path in todo:
        try:
            segment_file(seg, path, jobs[path], classes, args, progress.update)
        except UnreadableImage as error:
            unreadable.append(str(error))
        progress.end(path)
    return Outcome(len(todo) - len(unreadable), len(share) - len(todo), unreadable)


def write_annotations(jobs: dict[Path, dict[str, Path]], vocabulary: dict, args: argparse.Namespace) -> None:
    """Write the COCO file from the label maps, unless it exists and is kept."""
    path = Path(args.out_dir, COCO_FILE)
    masks = {photo: targets['mask'] for photo, targets in jobs.items() if targets['mask'].exists()}
    if masks and (args.overwrite or not path.exists()):
        write_coco(masks, list(vocabulary), path, args.tolerance, args.overwrite)


def report(outcomes: list[Outcome], args: argparse.Namespace, num_classes: int) -> None:
    """Print the summary, and unreadable files with the reasons to stderr."""
    done, kept = sum(one.done for one in outcomes), sum(one.kept for one in outcomes)
    unreadable = [sentence for one in outcomes for sentence in one.unreadable]
    print(f'\n{done} segmented, {kept} kept, {len(unreadable)} unreadable; results are in {args.out_dir}')
    if args.masks and num_classes > IGNORE:
        print(f'The masks have 16 bits and no palette, because there are {num_classes} classes.')
    for sentence in unreadable:
        print(f'unreadable: {sentence}', file=sys.stderr)


def main() -> None:
    args = parse_args()
    rank, size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
    classes = app.read_class_arguments(args)
    files, note = find_files(args)
    jobs = plan(files, args)
    if args.format == 'coco':
        check_coco(Path(args.out_dir, COCO_FILE), list(jobs), args.overwrite)
    open_folder(args, classes, first=rank == 0)
    outcomes = app.gather(run(jobs, classes, args, rank, size))
    if rank == 0 and args.format == 'coco':
        write_annotations(jobs, classes, args)
    if rank == 0 or len(outcomes) < size:
        report(outcomes, args, len(classes))
        print(note, file=sys.stderr, end='\n' * bool(note))
    if any(one.unreadable for one in outcomes):
        raise SystemExit(1)


if __name__ == '__main__':
    with app.user_errors():
        main()
