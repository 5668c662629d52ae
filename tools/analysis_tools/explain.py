"""Explain a prediction: python tools/analysis_tools/explain.py CONFIG [CHECKPOINT] [IMAGE] --out-dir DIR.

overlay.png        label map over the image
classes.png        the photo once, and a row for each class, also for classes without a pixel: highest probability
                   and its place, presence, map of the score, map of each prompt, on common scales
classes.csv        these numbers for all classes
presence.png       presence of each class as bars, of a model with GPR
nearest_words.csv  words nearest to the learned prompts, also as nearest_words.md
"""
import argparse
import csv
import mimetypes
import sys
from pathlib import Path

try:
    from mmseg_mvp import app
    from mmseg_mvp.errors import UserError
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')

import numpy as np
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_mvp.apis import OpenVocabInferencer, Segmentation
from mmseg_mvp.apis.segmentation import save_picture
from mmseg_mvp.datasets.checks import check_data
from mmseg_mvp.models.text import LearnedPrompts, TextClassifier, nearest_words
from mmseg_mvp.models.text.nearest_words import NearestWords
from mmseg_mvp.models.utils.reasons import Reason
from mmseg_mvp.visualization import draw_presence
from mmseg_mvp.visualization.explanation import prompt_titles, shown
from mmseg_mvp.visualization.nearest_words import markdown_table, table_rows
from mmseg_mvp.vocabularies import load_vocabulary


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a shipped config such as maskclip/voc_zs')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; omitted: the model as built')
    parser.add_argument('image', nargs='?', help='image file (default: an image of the config\'s test data)')
    parser.add_argument('--classes', metavar='NAMES',
                        help='comma-separated names ("red house, tree, sky"), a file of class names, or '
                             'a label set such as ade20k (default: the config\'s test classes)')
    parser.add_argument('--why', metavar='NAMES',
                        help='comma-separated names of the classes in classes.png (default: the largest 8 in the label '
                             'map, and others by probability, 12 in total)')
    parser.add_argument('--out-dir', required=True, metavar='DIR', help='new folder for the results')
    parser.add_argument('--index', type=int, default=0, help='image of the test data (default: %(default)s)')
    parser.add_argument('--top', type=int, default=5, help='nearest words of a context vector (default: %(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:1 (default: the best device available)')
    parser.add_argument('--cfg-options', nargs='+', action=app.OptionsAction, metavar='KEY=VALUE', default={},
                        help='override settings: model.clip.weights=RN50.pt')
    app.add_trust_argument(parser)
    args = parser.parse_args()
    if args.image is None and (mimetypes.guess_type(args.checkpoint or '')[0] or '').startswith('image/'):
        args.checkpoint, args.image = None, args.checkpoint  # a model without a checkpoint
    return args


def test_picture(cfg: Config, index: int) -> str | np.ndarray:
    """Return an image of the config's test data: its path, or the pixels (H, W, 3), BGR, of a synthetic image.

    Raises:
        UserError: If there is no test data, files are missing, or the index is out of range.
    """
    if not cfg.get('test_dataloader'):
        raise UserError(f'{cfg.filename} has no test data: give an IMAGE')
    check_data(cfg, ['test_dataloader'])
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    if not 0 <= index < len(dataset):
        raise UserError(f'--index is {index}, but the test data have the images 0 to {len(dataset) - 1}')
    path = dataset.get_data_info(index)['img_path']
    return path if Path(path).is_file() else np.ascontiguousarray(dataset[index]['inputs'].permute(1, 2, 0).numpy())


def draw(out: Segmentation, names: str | None) -> dict[str, np.ndarray]:
    """Draw all pictures by name, RGB (H, W, 3) each; raise UserError if ``names`` are not among the classes."""
    bars = {} if out.presence is None else {'presence': draw_presence(out.classes, out.presence)}
    return {'overlay': out.draw(), 'classes': out.draw_reasons(names), **bars}


def write_reasons(out: Segmentation, folder: Path) -> None:
    """Write the numbers of all classes to classes.csv."""
    with (folder / 'classes.csv').open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, Reason._fields)
        writer.writeheader()
        writer.writerows(one._asdict() for one in out.reasons())


def write_words(nearest: NearestWords, classifier: TextClassifier, folder: Path) -> None:
    """Write the nearest words of learned prompts to nearest_words.{csv,md}."""
    titles = prompt_titles(classifier.prompts.num_views, classifier.prompts.has_global)
    with (folder / 'nearest_words.csv').open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, ['prompt', 'vector', 'rank', 'word', 'distance'])
        writer.writeheader()
        writer.writerows(table_rows(nearest, titles))
    (folder / 'nearest_words.md').write_text(markdown_table(nearest, titles), encoding='utf-8')


def what_is_missing(out: Segmentation, classifier: TextClassifier) -> list[str]:
    """Return one sentence per part of the explanation that this model lacks."""
    prompts, sentences = classifier.prompts, []
    if out.explanation is None:
        sentences.append('no views: only MVP-SEG and MaskCLIP have a map per prompt')
    elif prompts.num_views == 1:
        sentences.append('one view of each class: the model has one segmentation prompt')
    if out.presence is None:
        sentences.append('no presence bars: the model has no GPR')
    if not isinstance(prompts, LearnedPrompts):
        sentences.append(f'no nearest words: the prompts are sentences ({type(prompts).__name__}), not learned vectors')
    return sentences


def main() -> None:
    args = parse_args()
    app.check_new_folder(args.out_dir, '--out-dir')
    vocabulary = load_vocabulary(args.classes) if args.classes else None
    cfg = app.read_config(args.config)
    app.merge_options(cfg, args.cfg_options)
    seg = OpenVocabInferencer(cfg, args.checkpoint, args.device, trust_checkpoint=args.trust_checkpoint)
    out = seg(args.image or test_picture(cfg, args.index), vocabulary)
    pictures = draw(out, args.why)
    classifier, folder = seg.model.decode_head.classifier, Path(args.out_dir)
    nearest = nearest_words(classifier, top=args.top) if isinstance(classifier.prompts, LearnedPrompts) else None
    for kind, picture in pictures.items():
        save_picture(picture, folder / f'{kind}.png')
    write_reasons(out, folder)
    if nearest:
        write_words(nearest, classifier, folder)
    for sentence in (*map(str, shown(out.reasons())), *what_is_missing(out, classifier)):
        print(sentence)
    print(f'The explanation ({", ".join(sorted(path.name for path in folder.iterdir()))}) is in {folder}')


if __name__ == '__main__':
    with app.user_errors():
        main()
