"""Convert COCO-Object: python tools/dataset_converters/coco_object.py data/coco_stuff164k.

Writes annotations/SPLIT/*_instanceTrainIds.png beside the pixel maps of COCO-Stuff 164k, which are not changed.
Existing files are kept, so a second call continues an interrupted conversion.
"""
import argparse
import sys
from pathlib import Path

try:
    from mmseg_mvp import app
    from mmseg_mvp.datasets.conversion import convert
    from mmseg_mvp.datasets.conversion.coco_object import coco_object_jobs, coco_object_pictures
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Convert COCO-Object')
    parser.add_argument('folder', type=Path, help='folder of COCO-Stuff 164k, with annotations/val2017/*.png')
    app.add_conversion_arguments(parser, ('val2017', 'train2017'))
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    print(convert(coco_object_jobs(args.folder, args.splits), coco_object_pictures, args.nproc))


if __name__ == '__main__':
    with app.user_errors():
        main()
