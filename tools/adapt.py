"""Adapt MVP-SEG to labelled photos: python tools/adapt.py PHOTOS ANNOTATIONS [--out DIR] [--clip MODEL:WEIGHTS]."""
import argparse
import sys
from pathlib import Path

try:
    from mmseg_mvp import app
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')

from mmengine.config import Config

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.app.adaptation_report import PICTURES, Comparison, compare, table, write_page
from mmseg_mvp.app.adapting import AUGMENTATIONS, adaptation_config, default_steps
from mmseg_mvp.clip import load_clip
from mmseg_mvp.datasets.annotations import Converted
from mmseg_mvp.utils.checking import check_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Adapt MVP-SEG to labelled photos')
    app.add_annotation_arguments(parser)
    parser.add_argument('--out', default='adapted', metavar='DIR', help='new folder of all results (%(default)s)')
    parser.add_argument('--clip', default='ViT-B-16-quickgelu:openai', metavar='MODEL:WEIGHTS',
                        help='CLIP, such as RN50-quickgelu:RN50.pt or toy-rn:toy (%(default)s)')
    parser.add_argument('--steps', type=int, help='training steps; default: 20 per photo, 50 to 450')
    parser.add_argument('--augmentations', type=int, default=AUGMENTATIONS, metavar='A',
                        help='random crops of each photo (%(default)s)')
    return parser.parse_args()


def train(cfg: Config) -> Path:
    """Train from the feature bank of a config and return the checkpoint."""
    runner = app.build_runner(cfg, ['train_dataloader'])
    app.use_feature_bank(runner)
    runner.train()
    return Path(cfg.work_dir, f'iter_{cfg.train_cfg.max_iters}.pth')


def compare_with_start(checkpoint: Path, clip: dict, data: Converted, folder: Path, limit: int) -> Comparison:
    """Test the adapted model and the training-free model of the same CLIP on the held-out photos."""
    print(f'Testing on {len(data.val)} held-out photos:')
    models = {'before': OpenVocabInferencer(clip=clip, max_pixels=limit),
              'after': OpenVocabInferencer(checkpoint, max_pixels=limit)}
    return compare(models, data, folder / PICTURES)


def report(result: Comparison, data: Converted, folder: Path) -> None:
    """Print the table and write the page with the pictures."""
    notes = [f'Trained on {len(data.train)} photos, tested on {len(data.val)} held-out photos. IoU in %.',
             '"before" is the model of the same CLIP without training, with one sentence per name (NACLIP on ViTs, '
             'MaskCLIP elsewhere).']
    for row in table(result, data.classes):
        print(f'{row[0]:30.30} ' + ' '.join(f'{cell:>8}' for cell in row[1:]))
    print(f'{notes[0]}\nPictures and figures: {write_page(result, data.classes, notes, folder)}')


def main() -> None:
    args = parse_args()
    out, clip = Path(args.out), app.clip_of(args.clip)
    app.check_new_folder(args.out, '--out')
    for name in ('steps', 'augmentations'):
        if getattr(args, name) is not None:
            check_number(f'--{name}', getattr(args, name), least=1, whole=True)
    load_clip(**clip)  # a CLIP that is missing is told before the work; it stays in memory
    data = app.convert_annotations(args, out / 'data')
    print(f'{data.kind}: {len(data.train)} photos to train, {len(data.val)} held out, {len(data.classes)} classes.')
    steps = args.steps or default_steps(len(data.train))
    cfg = adaptation_config(data, clip, steps, args.augmentations, args.seed, out)
    app.put_max_pixels(cfg._cfg_dict, args.max_pixels)
    checkpoint = train(cfg)
    if data.val:
        report(compare_with_start(checkpoint, clip, data, out, app.limit_of(args)), data, out)
    else:
        print('No photo is held out, so there is no comparison: label more photos, or raise --val.')
    print(f'Segment photos: mmseg-mvp segment PHOTOS --classes "{", ".join(data.classes)}" '
          f'--checkpoint {checkpoint}')


if __name__ == '__main__':
    with app.user_errors():
        main()
