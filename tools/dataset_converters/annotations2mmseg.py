"""Convert annotations to a data set: python tools/dataset_converters/annotations2mmseg.py PHOTOS ANNOTATIONS OUT.

ANNOTATIONS is a file or a folder: labelme JSON, COCO JSON, exports of CVAT ("CVAT for images 1.1", "Segmentation mask
1.1") and of Label Studio (JSON), or PNG masks. OUT gets photos/, masks/, classes.txt, train.txt and val.txt.
"""
import argparse
import sys

try:
    from mmseg_mvp import app
    from mmseg_mvp.datasets.annotations import convert
    from mmseg_mvp.utils.pixels import MAX_PIXELS
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Convert photos and annotations to the folder of a data set')
    parser.add_argument('photos', metavar='PHOTOS', help='folder of photos')
    parser.add_argument('annotations', metavar='ANNOTATIONS', help='file or folder of annotations')
    parser.add_argument('out', metavar='OUT', help='new folder')
    parser.add_argument('--unlabelled', choices=['background', 'ignore'], default='background',
                        help='pixels outside all shapes are a class of their own, or are left out of training and test '
                             '(default: %(default)s)')
    parser.add_argument('--classes', metavar='NAMES', help='names in the order of the label values: comma-separated, a '
                        'file, or a label set (default: those of the annotations)')
    parser.add_argument('--val', type=float, default=.2, metavar='SHARE',
                        help='share of the photos that val.txt lists (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the choice of these photos (default: %(default)s)')
    app.add_limit_argument(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    limit = MAX_PIXELS if args.max_pixels is None else args.max_pixels
    made = convert(args.photos, args.annotations, args.out, args.unlabelled, args.classes, args.val, args.seed, limit)
    print(f'{made.root}: {len(made.train)} photos for training and {len(made.val)} held out, from {made.kind}; '
          f"img_suffix='{made.img_suffix}', {len(made.classes)} classes: {', '.join(made.classes[:20])}"
          + ', ...' * (len(made.classes) > 20))


if __name__ == '__main__':
    with app.user_errors():
        main()
