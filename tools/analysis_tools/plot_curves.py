"""Plot training curves: python tools/analysis_tools/plot_curves.py WORK_DIR ... --out curves.png

Plots losses, mIoU(S), mIoU(U) and hIoU of one or more runs, from mmengine's vis_data/scalars.json.
"""
import argparse
import os
import sys

try:
    from mmseg_mvp import cli
    from mmseg_mvp.errors import UserError
    from mmseg_mvp.visualization.curves import draw_curves
    from mmseg_mvp.visualization.scalars import default_keys, read_runs
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')

from mmseg_mvp.apis.segmentation import save_picture


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Plot training curves')
    parser.add_argument('logs', nargs='+', metavar='WORK_DIR', help='work dirs, or their vis_data/scalars.json')
    parser.add_argument('--out', required=True, metavar='FILE', help='new picture, such as curves.png')
    parser.add_argument('--keys', nargs='+', metavar='KEY',
                        help='quantities to plot (default: losses, mIoU(S), mIoU(U), hIoU)')
    parser.add_argument('--legend', nargs='+', metavar='NAME',
                        help='names of the runs (default: those of the work dirs)')
    return parser.parse_args()


def collect(logs: list[str], legend: list[str] | None) -> dict[str, dict]:
    """Read the runs of all logs, with a unique name for each.

    Raises:
        UserError: If the legend and the runs differ in number.
    """
    runs = [(name, curves) for log in logs for name, curves in read_runs(log).items()]
    if legend and len(legend) != len(runs):
        raise UserError(f'--legend has {len(legend)} names, but the logs hold {len(runs)} runs: '
                        f'{", ".join(name for name, _ in runs)}')
    names = legend or [name for name, _ in runs]
    if len(set(names)) < len(names):
        names = [f'{number}: {name}' for number, name in enumerate(names, 1)]
    return dict(zip(names, (curves for _, curves in runs)))


def main() -> None:
    args = parse_args()
    if os.path.exists(args.out):  # Path.exists raises if a name is too long
        raise UserError(f'--out {args.out} exists; name a new file, nothing is overwritten')
    runs = collect(args.logs, args.legend)
    picture = draw_curves(runs, args.keys or default_keys(runs))
    save_picture(picture, args.out)
    print(f'Curves of {", ".join(runs)} are in {args.out}')


if __name__ == '__main__':
    with cli.user_errors():
        main()
