"""Compare MaskCLIP and MVP-SEG on the toy world, with pictures: python tools/toy/demo.py [--work-dir DIR].

Tests CLIP's templates (MaskCLIP). Trains MVP-SEG's prompts on the seen classes and tests them: one prompt with as many
context vectors as three, three with the fusion and the OCLoss of the paper, and three that cooperate. The images of the
toy world are small and synthetic. The figures show that the program works, not its quality on real images.
"""
import argparse
import json
import multiprocessing
import os
import re
import runpy
import sys
import time
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from mmseg_mvp.app.suites.commands import failure

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
UNITS = dict(train=450, test=70)  # length in the bar: iterations of a training; a test takes as long as 70
COLUMNS = {'mIoU(S)': 'mIoU_S', 'mIoU(U)': 'mIoU_U', 'hIoU': 'hIoU'}


class Tools:
    """Runs tools in processes of their own. It shows one progress bar; a log file has all that they print.

    Args:
        log (Path): Log file.
        bar (Progress): Bar, which is refreshed here only, since a fork must not happen beside another thread.
    """

    def __init__(self, log: Path, bar: Progress) -> None:
        self.log, self.bar, self.done = log, bar, 0
        self.task = bar.add_task('', total=sum(UNITS['test'] + UNITS['train'] * (row != 'MaskCLIP') for row in ROWS))

    def run(self, row: str, name: str, *arguments: str | Path) -> None:
        """Run a tool for a row of the table; exit with its code if it fails."""
        command = [str(ROOT / 'tools' / f'{name}.py'), *map(str, arguments)]
        with open(self.log, 'a', encoding='utf-8') as file:
            print(f'\n$ {" ".join(["python", *command])}', file=file, flush=True)
            begin = file.tell()
        self.bar.update(self.task, description=f'{row}: {name}')
        # A fork has imported the packages, which saves five seconds.
        context = multiprocessing.get_context('fork' if sys.platform == 'linux' else 'spawn')
        process = context.Process(target=run_script, args=(command, self.log))
        process.start()
        while process.exitcode is None:
            process.join(.2)
            self.bar.update(self.task, completed=self.done + iterations(self.log, begin), refresh=True)
        self.done += UNITS[name]
        if process.exitcode:
            self.bar.stop()
            print(f'error: {failure(self.log, begin, process.exitcode)}\nLog: {self.log}', file=sys.stderr)
            sys.exit(process.exitcode)


def iterations(log: Path, begin: int) -> int:
    """Return the last iteration of a training in the part of a log after ``begin`` bytes, 0 without a training."""
    with open(log, 'rb') as file:
        file.seek(begin)
        found = re.findall(rb'Iter\(train\) +\[ *(\d+)/', file.read())
    return int(found[-1]) if found else 0


def run_script(command: list[str], log: Path) -> None:
    """Run a script with arguments in this process; its output goes to a log file."""
    with open(log, 'ab') as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = command
    sys.path[0] = str(Path(command[0]).parent)
    runpy.run_path(command[0], run_name='__main__')


def read_metrics(work_dir: Path) -> dict[str, float]:
    """Read the metrics of the latest test in a work dir, in percent."""
    newest = max(work_dir.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())


def run_row(row: str, tools: Tools, work_dir: Path) -> dict[str, float]:
    """Train, if the method learns, and test one row; return its metrics in percent."""
    folder, name, options = ROWS[row]
    config, folder, checkpoint = ROOT / 'configs' / f'{name}.py', work_dir / folder, ()
    if row != 'MaskCLIP':
        tools.run(row, 'train', config, '--work-dir', folder / 'train', *options)
        checkpoint = (folder / 'train' / 'last_checkpoint').read_text().strip(),
    pictures = ('--show-dir', work_dir / 'pictures') if row == list(ROWS)[-1] else ()
    tools.run(row, 'test', config, *checkpoint, '--work-dir', folder / 'test', *pictures, *options)
    metrics = read_metrics(folder / 'test')
    print(f'{row}: hIoU {metrics["hIoU"]:.2f}', flush=True)
    return metrics


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
    work_dir.mkdir(parents=True, exist_ok=True)
    log = work_dir / 'log.txt'
    print(f'Three trainings and four tests take about two minutes on two cores. Log: {log}', flush=True)
    columns = TextColumn('{task.description}'), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, auto_refresh=False, transient=True) as bar:
        tools = Tools(log, bar)
        results = {row: run_row(row, tools, work_dir) for row in ROWS}
    print_table(results)
    print(f'\nPictures (image, ground truth, prediction): {work_dir / "pictures"}')


if __name__ == '__main__':
    main()
