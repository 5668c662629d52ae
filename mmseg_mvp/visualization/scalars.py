"""Curves from mmengine's training log, ``vis_data/scalars.json``."""
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
    """Read the curves of a work dir with ``vis_data/scalars.json`` (also in subfolders), or of a log file.

    A resumed run has several logs, which are joined; later values replace earlier values of the same iteration. A new
    training in the same work dir is a separate run.

    Returns:
        dict[str, dict[str, dict[int, float]]]: Values by iteration for each logged quantity of each run. The runs have
        the name of the source, numbered if there are several.

    Raises:
        UserError: If there is no log, it cannot be read, or it has no value to draw.
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
    """Return the name of the work dir, or of a file outside a work dir."""
    if os.path.isdir(source):
        return source.name
    folder = source.parents[1] if source.parent.name == 'vis_data' else source.with_suffix('')
    return folder.parent.name if re.fullmatch(r'\d{8}_\d{6}', folder.name) else folder.name


def _records(file: Path) -> Iterator[dict]:
    """Read the lines of a log, except an incomplete last line of a killed run."""
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
    """Split records into runs. A run ends if training returns to its first logged iteration or earlier."""
    runs, first = [[]], None
    for record in records:
        step = record.get('step', 0)
        if not step:  # a record of test metrics
            continue
        if is_training(record):
            if first is None or step <= first:
                runs, first = [*runs, []], step
            elif runs[-1][-1]['step'] >= step:  # resumed from an earlier iteration
                runs[-1] = [one for one in runs[-1] if one['step'] < step]
        runs[-1].append(record)
    return runs


def is_training(record: dict) -> bool:
    """Return True if a record is from training, False for validation."""
    return 'lr' in record or any(is_loss(key) for key in record)


def is_loss(key: str) -> bool:
    """Return True if a quantity is a loss by its name in mmseg, such as 'loss' or 'decode.loss_ce'."""
    return key.rpartition('.')[2].startswith('loss')


def _curves(records: Sequence[dict]) -> dict[str, Curve]:
    curves = {}
    for record in records:
        for key, value in record.items():
            if key not in NO_CURVES and isinstance(value, (int, float)):
                curves.setdefault(key, {})[record['step']] = value
    return curves


def default_keys(runs: dict[str, dict[str, Curve]]) -> list[str]:
    """Return the quantities to draw by default: all losses, and mIoU(S), mIoU(U) and hIoU of validations.

    Without seen and unseen classes, all IoU and accuracy values replace the latter.
    """
    keys = list(dict.fromkeys(key for curves in runs.values() for key in curves))
    losses = [key for key in keys if is_loss(key)]
    metrics = [key for key in METRICS if key in keys]
    return losses + (metrics or [key for key in keys if key.endswith(('IoU', 'Acc'))])
