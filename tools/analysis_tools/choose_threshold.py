"""Choose the threshold of the background: python tools/analysis_tools/choose_threshold.py CONFIG [CHECKPOINT].

Prints the mIoU of each threshold (model.test_cfg.prob_thd) on training images of the data set and their masks, and the
best one. No test image is used, unlike for the published thresholds.
"""
import argparse
import sys

try:
    from mmseg_mvp import app
    from mmseg_mvp.apis import OpenVocabInferencer
    from mmseg_mvp.apis.threshold import check_choice, choose_threshold
    from mmseg_mvp.datasets import check_data
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Choose the threshold of the background on training images')
    app.add_common_arguments(parser)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; omitted: the model as built')
    parser.add_argument('--images', type=int, default=500, metavar='N', help='use N evenly spaced images at most')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = app.load_config(args)
    check_choice(cfg, cfg.model.get('test_cfg') or {}, args.images)
    check_data(cfg, ['choose_dataloader'], files=not args.skip_data_check)
    inferencer = OpenVocabInferencer(cfg, args.checkpoint, trust_checkpoint=args.trust_checkpoint)
    curve = choose_threshold(inferencer.model, cfg, args.images)
    print(f'\n{curve}\nBest: --cfg-options model.test_cfg.prob_thd={curve.best:.2f}')


if __name__ == '__main__':
    with app.user_errors():
        main()
