"""The main job: MaskCLIP against MVP-SEG on the toy world, with pictures: python tools/toy/demo.py [--work-dir DIR].

Tests CLIP's templates (MaskCLIP). Trains MVP-SEG's prompts on the seen classes and tests them: one prompt with as many
context vectors as three, three with the fusion and the OCLoss of the paper, and three that cooperate. The images of the
toy world are small and synthetic. The figures show that the program works, not its quality on real images.
"""
import argparse
import json
import multiprocessing
import runpy
import subprocess
import sys
import time
from pathlib import Path

import mmseg_mvp  # noqa: F401  (forked tools need not import it again)

ROOT = Path(__file__).resolve().parents[2]
# Row: folder, config and options.
ROWS = {
    'MaskCLIP': ('maskclip', 'maskclip/toy_zs', ()),
    'MVP-SEG, one prompt': ('one', 'mvp_seg/toy_zs', (
        '--cfg-options', 'model.decode_head.prompts.num_prompts=1', 'model.decode_head.prompts.context_length=18')),
    'MVP-SEG, as printed in the paper': (
        'printed', 'mvp_seg/toy_zs', ('--cfg-options', 'model.decode_head.loss_oc.squared=False')),
    'MVP-SEG, cooperating prompts': ('logsumexp', 'mvp_seg/toy_zs_logsumexp', ()),
}
COLUMNS = {'mIoU(S)': 'mIoU_S', 'mIoU(U)': 'mIoU_U', 'hIoU': 'hIoU'}


def run_tool(name: str, *arguments: str | Path) -> None:
    """Run a tool of this checkout in a process of its own; exit with its code if it fails."""
    command = [str(ROOT / 'tools' / f'{name}.py'), *map(str, arguments)]
    print(f'\n$ {" ".join(["python", *command])}', flush=True)
    if sys.platform == 'linux':  # a fork has imported the packages, which saves five seconds
        process = multiprocessing.get_context('fork').Process(target=run_script, args=(command, ))
        process.start()
        process.join()
        code = process.exitcode
    else:
        code = subprocess.run([sys.executable, *command]).returncode
    if code:
        sys.exit(code)


def run_script(command: list[str]) -> None:
    """Run a script with arguments in this process."""
    sys.argv = command
    sys.path[0] = str(Path(command[0]).parent)
    runpy.run_path(command[0], run_name='__main__')


def read_metrics(work_dir: Path) -> dict[str, float]:
    """Read the metrics of the latest test in a work dir, in percent."""
    newest = max(work_dir.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())


def run_row(row: str, work_dir: Path) -> dict[str, float]:
    """Train, if the method learns, and test one row; return its metrics in percent."""
    folder, name, options = ROWS[row]
    config, folder, checkpoint = ROOT / 'configs' / f'{name}.py', work_dir / folder, ()
    if row != 'MaskCLIP':
        run_tool('train', config, '--work-dir', folder / 'train', *options)
        checkpoint = (folder / 'train' / 'last_checkpoint').read_text().strip(),
    pictures = ('--show-dir', work_dir / 'pictures') if row == list(ROWS)[-1] else ()
    run_tool('test', config, *checkpoint, '--work-dir', folder / 'test', *pictures, *options)
    return read_metrics(folder / 'test')


def print_table(results: dict[str, dict[str, float]]) -> None:
    """Print one row per method."""
    width = max(map(len, results))
    print(f'\n| {"method":{width}} | ' + ' | '.join(f'{title:>7}' for title in COLUMNS) + ' |')
    print(f'|{"-" * (width + 2)}|' + '|'.join('-' * 9 for _ in COLUMNS) + '|')
    for method, metrics in results.items():
        print(f'| {method:{width}} | ' + ' | '.join(f'{metrics[key]:7.2f}' for key in COLUMNS.values()) + ' |')


def main() -> None:
    parser = argparse.ArgumentParser(description='MaskCLIP against MVP-SEG on the toy world')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/toy_demo') / time.strftime('%Y%m%d_%H%M%S'))
    work_dir = parser.parse_args().work_dir
    if work_dir.exists() and (not work_dir.is_dir() or any(work_dir.iterdir())):
        parser.error(f'--work-dir {work_dir} exists and is not an empty folder: name a new folder')
    print_table({row: run_row(row, work_dir) for row in ROWS})
    print(f'\nPictures (image, ground truth, prediction): {work_dir / "pictures"}')


if __name__ == '__main__':
    main()
