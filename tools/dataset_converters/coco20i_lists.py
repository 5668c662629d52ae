"""Convert COCO-20i's pickled lists to JSON: python tools/dataset_converters/coco20i_lists.py data/splits/coco.

Writes foldN.json beside each FOLDER/*/foldN.pkl. The data set reads it after the pickle is deleted. The pickles are
read as data; no code in them runs.
"""
import argparse
import json
import sys
from pathlib import Path

try:
    from mmseg_mvp import app
    from mmseg_mvp.datasets.episode_lists import read_coco_lists
    from mmseg_mvp.errors import UserError
    from mmseg_mvp.utils.files import atomic_write
except ImportError as error:
    sys.exit(f'error: {error}; in the checkout, run: pip install -e ".[host]" -c requirements/tested.txt')
except ValueError as error:  # a HostError with the missing package and the pip command
    sys.exit(f'error: {error}')

NUM_CLASSES = 80


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Convert the lists of COCO-20i from pickles to JSON')
    parser.add_argument('folder', type=Path, help='folder with trn/fold0.pkl, val/fold0.pkl, ...')
    return parser.parse_args()


def find_lists(folder: Path) -> dict[Path, Path]:
    """Map each pickle below a folder to its new JSON file.

    Raises:
        UserError: If there is no pickle, or a JSON file exists.
    """
    jobs = {path: path.with_suffix('.json') for path in sorted(folder.rglob('*.pkl'))}
    if not jobs:
        raise UserError(f'{folder} contains no .pkl file: expected lists such as trn/fold0.pkl and val/fold0.pkl; '
                        f'give the folder data/splits/coco of the public HSNet code')
    if there := [str(path) for path in jobs.values() if path.exists()]:
        raise UserError(f'{", ".join(there)} exists and is not overwritten: delete or move it')
    return jobs


def main() -> None:
    args = parse_args()
    jobs = find_lists(args.folder)
    contents = {path: read_coco_lists(str(path), NUM_CLASSES) for path in jobs}  # read all before the first write
    for path, lists in contents.items():
        names = {label: [f'{name}.jpg' for name in images] for label, images in lists.items()}
        with atomic_write(jobs[path]) as part:
            part.write_text(json.dumps(names), 'utf-8')
        print(f'{jobs[path]}: {sum(map(len, names.values()))} images of {len(names)} classes')


if __name__ == '__main__':
    with app.user_errors():
        main()
