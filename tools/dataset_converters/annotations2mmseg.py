"""Convert annotations to a data set: python tools/dataset_converters/annotations2mmseg.py PHOTOS ANNOTATIONS OUT.

ANNOTATIONS is a file or a folder: labelme JSON, COCO JSON, exports of CVAT ("CVAT for images 1.1", "Segmentation mask
1.1") and of Label Studio (JSON), or PNG masks. OUT gets photos/, masks/, classes.txt, train.txt and val.txt.
"""
import argparse
import sys

try:
    from mmseg_mvp import app
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Convert photos and annotations to the folder of a data set')
    app.add_annotation_arguments(parser)
    parser.add_argument('out', metavar='OUT', help='new folder')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    made = app.convert_annotations(args, args.out)
    print(f'{made.root}: {len(made.train)} photos for training and {len(made.val)} held out, from {made.kind}; '
          f"img_suffix='{made.img_suffix}', {len(made.classes)} classes: {', '.join(made.classes[:20])}"
          + ', ...' * (len(made.classes) > 20))


if __name__ == '__main__':
    with app.user_errors():
        main()
