"""The main job: MaskCLIP against MVP-SEG on the toy world, with pictures: python tools/toy/demo.py [--work-dir DIR].

Tests CLIP's templates (MaskCLIP), trains MVP-SEG's prompts on the seen classes, tests them, and prints both results.
The images of the toy world are small and synthetic. The figures show that the program works, not its quality on real
images.
"""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = {'mIoU(S)': 'mIoU_S', 'mIoU(U)': 'mIoU_U', 'hIoU': 'hIoU'}


def run_tool(name: str, *arguments: str | Path) -> None:
    """Run a tool of this checkout; exit with its code if it fails."""
    command = [sys.executable, str(ROOT / 'tools' / f'{name}.py'), *map(str, arguments)]
    print(f'\n$ {" ".join(command)}', flush=True)
    if code := subprocess.run(command).returncode:
        sys.exit(code)


def read_metrics(work_dir: Path) -> dict[str, float]:
    """Read the metrics of the latest test in a work dir, in percent."""
    newest = max(work_dir.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())


def print_table(results: dict[str, dict[str, float]]) -> None:
    """Print one row per method."""
    print(f'\n| {"method":10} | ' + ' | '.join(f'{title:>7}' for title in COLUMNS) + ' |')
    print(f'|{"-" * 12}|' + '|'.join('-' * 9 for _ in COLUMNS) + '|')
    for method, metrics in results.items():
        print(f'| {method:10} | ' + ' | '.join(f'{metrics[key]:7.2f}' for key in COLUMNS.values()) + ' |')


def main() -> None:
    parser = argparse.ArgumentParser(description='MaskCLIP against MVP-SEG on the toy world')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/toy_demo') / time.strftime('%Y%m%d_%H%M%S'))
    work_dir = parser.parse_args().work_dir
    if work_dir.exists() and (not work_dir.is_dir() or any(work_dir.iterdir())):
        parser.error(f'--work-dir {work_dir} exists and is not an empty folder: name a new folder')
    maskclip, mvp_seg = (ROOT / 'configs' / method / 'toy_zs.py' for method in ('maskclip', 'mvp_seg'))

    run_tool('test', maskclip, '--work-dir', work_dir / 'maskclip')
    run_tool('train', mvp_seg, '--work-dir', work_dir / 'mvp_seg')
    checkpoint = (work_dir / 'mvp_seg' / 'last_checkpoint').read_text().strip()
    run_tool('test', mvp_seg, checkpoint, '--work-dir', work_dir / 'mvp_seg_test', '--show-dir', work_dir / 'pictures')

    print_table({'MaskCLIP': read_metrics(work_dir / 'maskclip'), 'MVP-SEG': read_metrics(work_dir / 'mvp_seg_test')})
    print(f'\nPictures (image, ground truth, prediction): {work_dir / "pictures"}')


if __name__ == '__main__':
    main()
