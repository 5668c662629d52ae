"""Test a model: python tools/test.py CONFIG [CHECKPOINT] [--show-dir DIR] [--out DIR] [--tta]; see --help."""
import argparse
import os
import sys

try:
    from mmseg_mvp import app
    from mmseg_mvp.checkpoints import checkpoints_as_data
    from mmseg_mvp.engine import CheckpointFitHook
    from mmseg_mvp.errors import UserError
    from mmseg_mvp.labels import IGNORE
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Test a segmentor')
    app.add_common_arguments(parser)
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; omitted: the model as built')
    parser.add_argument('--out', metavar='DIR', help='new folder for the predicted label maps as PNG')
    parser.add_argument('--show', action='store_true', help='show each picture in a window')
    parser.add_argument('--show-dir', metavar='DIR', help='new folder for pictures: image, ground truth, prediction')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that --show shows a picture')
    parser.add_argument('--record', metavar='FILE', help='new JSON file for metrics, the table of classes, time, peak '
                        'memory and the CLIP')
    parser.add_argument('--tta', action='store_true', help='test time augmentation, by the config\'s tta_pipeline')
    parser.add_argument('--feature-bank', metavar='DIR', help='folder that keeps features of the test images, which '
                        'a frozen CLIP computes once')
    return parser.parse_args()


def draw_pictures(cfg, args: argparse.Namespace) -> None:
    """Add a hook that draws each test image beside its ground truth and its prediction."""
    if args.show and sys.platform == 'linux' and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        raise UserError('--show needs a display, but this machine has none: write files with --show-dir DIR')
    if args.show_dir:
        app.check_new_folder(args.show_dir, '--show-dir')
    metrics = app.evaluators(cfg)
    unseen, ignored = (next((metric[key] for metric in metrics if key in metric), default)
                       for key, default in (('unseen', ()), ('ignore_index', IGNORE)))
    cfg.setdefault('default_hooks', {})['visualization'] = dict(
        type='SideBySideVisualizationHook', out_dir=args.show_dir, show=args.show, wait_time=args.wait_time,
        unseen=unseen, ignore_index=ignored)


def write_predictions(cfg, out: str) -> None:
    """Add a hook that writes predicted label maps to a new folder."""
    app.check_new_folder(out, '--out')
    cfg.setdefault('default_hooks', {})['label_maps'] = dict(type='LabelMapHook', out_dir=out)


def main() -> None:
    args = parse_args()
    with checkpoints_as_data(args.trust_checkpoint):
        test(args)


def test(args: argparse.Namespace) -> None:
    """Run the test that the arguments describe."""
    cfg = app.load_config(args)
    if cfg.get('test_dataloader') is None:
        raise UserError(f'{args.config} has nothing to test: set test_dataloader, test_cfg and test_evaluator')
    cfg.load_from = args.checkpoint
    if args.checkpoint:
        app.check_checkpoint(args.checkpoint)
    if args.show or args.show_dir:
        draw_pictures(cfg, args)
    if args.out:
        write_predictions(cfg, args.out)
    if args.out and args.show_dir:
        app.check_apart(args.out, args.show_dir)
    if args.record:
        app.check_new_file(args.record, '.json')
        cfg.setdefault('default_hooks', {})['record'] = dict(type='TestRecordHook', file=args.record)
    if args.feature_bank:
        cfg.setdefault('default_hooks', {})['feature_bank'] = dict(type='FeatureStoreHook', folder=args.feature_bank)
    if args.tta:
        app.use_tta(cfg)
    # A test has no gradients to share. DDP, mmengine's default, rejects a model without trainable parameters.
    cfg.setdefault('model_wrapper_cfg', dict(type='mmseg.NoSyncModelWrapper'))
    runner = app.build_runner(cfg, ['test_dataloader'], args.skip_data_check)
    if not args.checkpoint and (learned := [name for name, p in runner.model.named_parameters() if p.requires_grad]):
        runner.logger.warning(f'No checkpoint was given, so {", ".join(learned)} are tested with their initial, '
                              'untrained values.')
    runner.register_hook(CheckpointFitHook(whole=True))
    runner.test()
    app.disconnect()


if __name__ == '__main__':
    with app.user_errors():
        main()
