"""Convert PASCAL Context with 459 classes: python tools/dataset_converters/pascal_context459.py data/VOCdevkit/VOC2010.

Writes SegmentationClassContext459/*.png, 16 bits. The .mat files are read as numbers; no code in them runs.
Existing files are kept, so a second call continues an interrupted conversion.
"""
import argparse
import sys
from pathlib import Path

try:
    from mmseg_mvp import app
    from mmseg_mvp.datasets.conversion import convert
    from mmseg_mvp.datasets.conversion.context459 import context459_jobs, context459_pictures
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Convert PASCAL Context with 459 classes')
    parser.add_argument('folder', type=Path, help='folder with trainval/*.mat and ImageSets/Main')
    app.add_conversion_arguments(parser, ('val', 'train'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    print(convert(context459_jobs(args.folder, args.splits), context459_pictures, args.nproc))


if __name__ == '__main__':
    with app.user_errors():
        main()
