"""What mmengine logs while training, `vis_data/scalars.json`, as curves."""
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmseg_mvp.errors import UserError

Curve = dict[int, float]  # value by iteration
NO_CURVES = ('base_lr', 'lr', 'data_time', 'time', 'iter', 'epoch', 'step', 'memory')
METRICS = ('mIoU_S', 'mIoU_U', 'hIoU')


def read_runs(source: str | Path) -> dict[str, dict[str, Curve]]:
    """Read the curves of a work dir or a log.

    A run that was resumed has a log for each part, which are joined; what was done twice counts as it was done last.
    Where training begins anew in the same work dir, that is a run of its own.

    Args:
        source (str | Path): A work dir, which holds `vis_data/scalars.json` in it or in a folder for each start, or a
            file.

    Returns:
        dict[str, dict[str, dict[int, float]]]: For each run, by the source's name (numbered where there are several),
        for each logged quantity its values by iteration.

    Raises:
        UserError: If there is no log, it can't be read, or it has no value to draw.
    """
    source = Path(source)
    files = sorted(source.rglob('vis_data/scalars.json')) if os.path.isdir(source) else [source]
    if not files:
        raise UserError(f'{source} holds no vis_data/scalars.json: give the work dir of a training with '
                        f"vis_backends = [dict(type='LocalVisBackend')], or the file.")
    runs = [curves for curves in map(_curves, _split(record for file in files for record in _records(file))) if curves]
    if not runs:
        raise UserError(f'{source} has no value to draw: expected the log of a training that reached its first logged '
                        f'iteration (default_hooks.logger.interval).')
    name = _name(source.resolve())
    return {name if len(runs) == 1 else f'{name} ({number})': curves for number, curves in enumerate(runs, 1)}


def _name(source: Path) -> str:
    """Name of the work dir, or of a file that lies in none."""
    if os.path.isdir(source):
        return source.name
    folder = source.parents[1] if source.parent.name == 'vis_data' else source.with_suffix('')
    return folder.parent.name if re.fullmatch(r'\d{8}_\d{6}', folder.name) else folder.name


def _records(file: Path) -> Iterator[dict]:
    """Lines of a log; one that a killed run left unfinished at its end does not count."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f'{file} can\'t be read ({type(error).__name__}): give a work dir or its '
                        f'vis_data/scalars.json.') from error
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get('step', 0), int):
                raise ValueError
            yield record
        except ValueError as error:
            if number < len(lines) or number == 1:
                raise UserError(f'Line {number} of {file} is no record of mmengine\'s LocalVisBackend: give the '
                                f'vis_data/scalars.json of a training.') from error


def _split(records: Iterator[dict]) -> list[list[dict]]:
    """Records of each run: it ends where training goes back to its first logged iteration or before."""
    runs, first = [[]], None
    for record in records:
        step = record.get('step', 0)
        if not step:  # a test writes its metrics so
            continue
        if is_training(record):
            if first is None or step <= first:
                runs, first = [*runs, []], step
            elif runs[-1][-1]['step'] >= step:  # resumed from before
                runs[-1] = [one for one in runs[-1] if one['step'] < step]
        runs[-1].append(record)
    return runs


def is_training(record: dict) -> bool:
    """Whether a record is of training, not of a validation."""
    return 'lr' in record or any(is_loss(key) for key in record)


def is_loss(key: str) -> bool:
    """Whether a logged quantity is a loss, as mmseg names them: 'loss', 'decode.loss_ce'."""
    return key.rpartition('.')[2].startswith('loss')


def _curves(records: Sequence[dict]) -> dict[str, Curve]:
    curves = {}
    for record in records:
        for key, value in record.items():
            if key not in NO_CURVES and isinstance(value, (int, float)):
                curves.setdefault(key, {})[record['step']] = value
    return curves


def default_keys(runs: dict[str, dict[str, Curve]]) -> list[str]:
    """What is drawn unless a user names something else: all losses, and the validations' mIoU(S), mIoU(U) and hIoU.

    Where no validation knows of seen and unseen classes: its mIoU and what else is in it.
    """
    keys = list(dict.fromkeys(key for curves in runs.values() for key in curves))
    losses = [key for key in keys if is_loss(key)]
    metrics = [key for key in METRICS if key in keys]
    return losses + (metrics or [key for key in keys if key.endswith(('IoU', 'Acc'))])
