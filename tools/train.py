"""Train a model: python tools/train.py CONFIG [--work-dir DIR] [--resume] [--feature-bank DIR] [--cfg-options ...]."""
import argparse
import sys

try:
    from mmseg_mvp import app
    from mmseg_mvp.checkpoints import checkpoints_as_data, read_checkpoint
    from mmseg_mvp.engine import CheckpointFitHook, find_complete_checkpoint
    from mmseg_mvp.engine.resume_check import compare_run, compare_states, nothing_left
    from mmseg_mvp.errors import UserError
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')

import torch


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a segmentor')
    app.add_common_arguments(parser)
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='resume from a checkpoint; without a value, from the latest in the work dir, if any')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (needs a GPU)')
    parser.add_argument('--feature-bank', metavar='DIR',
                        help='folder that keeps the features of the training images, which a frozen CLIP computes once')
    return parser.parse_args()


def enable_amp(cfg) -> None:
    """Set the optimizer wrapper of a config to mixed precision."""
    if not torch.cuda.is_available():
        raise UserError('--amp needs a GPU, but this machine has none: omit --amp')
    if cfg.optim_wrapper.type not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(f'--amp works with OptimWrapper, but the config uses {cfg.optim_wrapper.type}: omit --amp or '
                        'change optim_wrapper')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def resume(cfg, checkpoint: str) -> list[str]:
    """Set the checkpoint to resume from; 'auto' takes the latest in the work dir, or starts anew if there is none.

    If nothing is left to train, the program ends with this message.

    Returns:
        list[str]: Warnings: each skipped incomplete checkpoint, and each difference of a local checkpoint and the
        config.

    Raises:
        UserError: If the checkpoint can't be read, or does not fit the config's method, optimizer or schedule.
    """
    passed = []
    if checkpoint == 'auto':
        checkpoint, passed = find_complete_checkpoint(cfg.work_dir)
    if not checkpoint:
        return []
    app.check_checkpoint(checkpoint)
    notes = [f'{path} is missing or was not written completely: training resumes from {checkpoint}.' for path in passed]
    if '://' not in checkpoint:
        content = read_checkpoint(checkpoint)
        notes += compare_run(checkpoint, content, cfg) + compare_states(checkpoint, content, cfg)
        if end := nothing_left(checkpoint, content, cfg):
            print(end)
            sys.exit(0)
    cfg.resume, cfg.load_from = True, checkpoint
    return notes


def main() -> None:
    args = parse_args()
    with checkpoints_as_data(args.trust_checkpoint):
        train(args)


def train(args: argparse.Namespace) -> None:
    """Run the training that the arguments describe."""
    cfg = app.load_config(args)
    if cfg.get('train_dataloader') is None:
        raise UserError(f'{args.config} has nothing to train; test it: mmseg-mvp test {args.config}')
    app.set_feature_bank(cfg, args.feature_bank)
    if args.amp:
        enable_amp(cfg)
    checkpoint = args.resume or cfg.get('resume') and (cfg.get('load_from') or 'auto')
    notes = resume(cfg, checkpoint) if checkpoint else []
    runner = app.build_runner(cfg, ['train_dataloader', 'val_dataloader'], args.skip_data_check)
    for note in notes:
        runner.logger.warning(note)
    runner.register_hook(CheckpointFitHook(whole=bool(cfg.get('resume'))))
    app.use_feature_bank(runner)
    runner.train()
    app.disconnect()


if __name__ == '__main__':
    with app.user_errors():
        main()
