"""Convert ADE20K with 847 classes: python tools/dataset_converters/ade20k_full.py data/ade/ADE20K_2021_17_01.

Writes images_detectron2/SPLIT/*.jpg and annotations_detectron2/SPLIT/*.tif, 16 bits, in the tree of Mask2Former.
index_ade20k.pkl is read as data; no code in it runs.
Existing files are kept, so a second call continues an interrupted conversion.
"""
import argparse
import sys
from pathlib import Path

try:
    from mmseg_mvp import app
    from mmseg_mvp.datasets.conversion import convert
    from mmseg_mvp.datasets.conversion.ade20k_full import ade20k_full_jobs, ade20k_full_pictures
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Convert ADE20K with 847 classes')
    parser.add_argument('folder', type=Path, help='folder with index_ade20k.pkl and images/')
    app.add_conversion_arguments(parser, ('validation', 'training'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    print(convert(ade20k_full_jobs(args.folder, args.splits), ade20k_full_pictures, args.nproc))


if __name__ == '__main__':
    with app.user_errors():
        main()
