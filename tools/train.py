"""Train a model: python tools/train.py CONFIG [--work-dir DIR] [--resume] [--amp] [--cfg-options KEY=VALUE ...]."""
import argparse
import sys

try:
    from mmseg_mvp import cli
    from mmseg_mvp.errors import UserError
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError, which names the missing package and the pip line itself
    sys.exit(f'error: {error}')

import torch
from mmengine.runner import find_latest_checkpoint


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a segmentor')
    cli.add_common_arguments(parser)
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='go on from a checkpoint, or without one from the latest in the work dir, if there is any')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (needs a GPU)')
    return parser.parse_args()


def enable_amp(cfg) -> None:
    """Turn the optimizer wrapper of a config into the mixed precision one."""
    if not torch.cuda.is_available():
        raise UserError('--amp needs a GPU and this machine offers none; train without it')
    if cfg.optim_wrapper.type not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(f'--amp works with OptimWrapper, but the config uses {cfg.optim_wrapper.type}; drop one')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def resume(cfg, checkpoint: str) -> None:
    """Have training go on from a checkpoint; 'auto' is the latest of the work dir, or a fresh start without one."""
    if checkpoint == 'auto':
        checkpoint = find_latest_checkpoint(cfg.work_dir)
    if checkpoint:
        cli.check_checkpoint(checkpoint)
        cfg.resume, cfg.load_from = True, checkpoint


def main() -> None:
    args = parse_args()
    cfg = cli.load_config(args)
    if cfg.get('train_dataloader') is None:
        raise UserError(f'{args.config} has nothing to train; test it: python tools/test.py {args.config}')
    if args.amp:
        enable_amp(cfg)
    if args.resume:
        resume(cfg, args.resume)
    cli.build_runner(cfg, ['train_dataloader', 'val_dataloader']).train()
    cli.disconnect()


if __name__ == '__main__':
    with cli.user_errors():
        main()
