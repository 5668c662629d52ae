"""Arguments and configs that all studies on the toy world share."""
import argparse
import time
from pathlib import Path

from mmengine.config import Config

from mmseg_mvp.utils.shipped import DOCS, ROOT


def arguments(study: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of the seeds, the folder of the runs and the folder of the pages of a study."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='seeds of the runs')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs') / study, help='folder of the runs')
    parser.add_argument('--docs', type=Path, default=DOCS, help='folder for tables and pictures')
    return parser


def read_config(name: str, folder: Path, seed: int, options: dict) -> Config:
    """Read ``configs/<name>.py`` for a run with a folder and a seed of its own.

    Args:
        name (str): Config without suffix.
        folder (Path): Work dir of the run.
        seed (int): Seed of the run.
        options (dict): Further settings by their dotted keys.
    """
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    cfg.merge_from_dict({'work_dir': str(folder), 'experiment_name': f'{folder.name}_{time.time()}',
                         'log_level': 'WARNING', 'randomness.seed': seed, **options})
    return cfg
