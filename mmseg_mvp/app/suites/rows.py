"""Suites: YAML files that list rows, and the jobs that a command line selects from them."""
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.shipped import ROOT

_SCALARS = (str, int, float, bool, type(None))
_NAME = re.compile(r'[\w.+-]+')


@dataclass(frozen=True)
class Row:
    """Row of a suite: a config to test, after its training if ``train`` is set, or a script of its own.

    Attributes:
        name (str): Name in the suite, and of its files.
        config (str): Config of the test, relative to the checkout.
        train (str): Config of the training, often the same; '' tests without training.
        checkpoint (str): Checkpoint of the test; '' takes the last of the training, if any.
        options (dict): Settings, as for ``--cfg-options``.
        needs (dict): Settings whose value is the last checkpoint of another row, as ``SUITE/ROW``.
        env (dict): Environment variables, such as ``FOLD``.
        seeds (list): Seeds of the runs; None keeps that of the config.
        script (str): Script that does all by itself; it takes ``--work-dir`` and ``--docs``. It replaces ``config``.
        minutes (float): Expected duration, for the time left; 0 if unknown.
    """
    name: str
    config: str = ''
    train: str = ''
    checkpoint: str = ''
    options: dict[str, Any] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    seeds: list[int | None] = field(default_factory=lambda: [None])
    script: str = ''
    minutes: float = 0


@dataclass(frozen=True)
class Job:
    """One run: a row of a suite with one seed.

    Attributes:
        suite (str): Name of the suite; of a file, its stem.
        row (Row): The row.
        seed (int, optional): Seed; None keeps that of the config.
        work_dir (Path): Folder of all suites.
        needs (dict): Jobs whose checkpoints are settings of this one, by the settings.
    """
    suite: str
    row: Row
    seed: int | None
    work_dir: Path
    needs: dict[str, 'Job'] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the row, with the seed if it has one."""
        return self.row.name if self.seed is None else f'{self.row.name}_seed{self.seed}'

    @property
    def title(self) -> str:
        """Suite and name."""
        return f'{self.suite}/{self.name}'

    @property
    def folder(self) -> Path:
        """Folder of logs and checkpoints."""
        return self.work_dir / self.suite / self.name

    @property
    def result(self) -> Path:
        """JSON file of the result."""
        return self.folder.with_name(f'{self.name}.json')

    @property
    def lock(self) -> Path:
        """Lock file while the job runs."""
        return self.folder.with_name(f'{self.name}.lock')

    @property
    def train_dir(self) -> Path:
        """Work dir of the training."""
        return self.folder / 'train'


def suite_names() -> list[str]:
    """Return the names of the shipped suites."""
    return sorted(path.stem for path in (ROOT / 'configs/suites').glob('*.yaml'))


def read_suite(suite: str) -> dict[str, Row]:
    """Read the rows of a shipped suite by its name, or of a YAML file by its path, by the names of the rows.

    Raises:
        UserError: If there is no such suite, or the file is not a list of valid rows.
    """
    path = ROOT / 'configs/suites' / f'{suite}.yaml' if suite in suite_names() else Path(suite)
    if path.suffix not in ('.yaml', '.yml') or not path.is_file():
        names = suite_names()
        near = difflib.get_close_matches(suite, names, n=1)
        hint = f'did you mean {near[0]!r}? ' if near else ''
        raise UserError(f'There is no suite {suite!r}: {hint}expected one of {", ".join(names)}, or an existing .yaml '
                        'file that lists rows.')
    try:
        content = yaml.safe_load(path.read_text('utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f'The suite {path} can\'t be read ({" ".join(str(error).split())}): expected YAML in '
                        'UTF-8.') from error
    entries = content.get('rows') if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise UserError(f'The suite {path} has no list of rows: expected the key rows with a list of dicts, each with '
                        'name and config.')
    rows = [_row(entry, f'Row {number} of {path}') for number, entry in enumerate(entries, 1)]
    names = [row.name for row in rows]
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise UserError(f'The suite {path} has two rows named {double!r}: give each a name of its own.')
    return {row.name: row for row in rows}


def _row(entry: Any, place: str) -> Row:
    """Check one entry of a suite."""
    if not isinstance(entry, dict):
        raise UserError(f'{place} is {entry!r}: expected a dict with name and config.')
    entry = dict(entry, train=entry.get('config') if entry.get('train') is True else entry.get('train') or '')
    kinds = dict(name=str, config=str, train=str, checkpoint=str, options=dict, needs=dict, env=dict, seeds=list,
                 script=str, minutes=(int, float))
    for key, value in entry.items():
        if key not in kinds:
            raise UserError(f'{place} has the unknown key {key!r}: expected {", ".join(kinds)}.')
        if not isinstance(value, kinds[key]):
            raise UserError(f'{place} has {key}={value!r}: expected a {getattr(kinds[key], "__name__", "number")}.')
    if not _NAME.fullmatch(entry.get('name', '')):
        raise UserError(f'{place} has the name {entry.get("name")!r}: expected letters, digits and any of _ . + -, '
                        'because files are named after it.')
    if bool(entry.get('config')) == bool(entry.get('script')):
        raise UserError(f'{place} ({entry["name"]}) has both or neither of config and script: set one.')
    _check_values(entry, f'{place} ({entry["name"]})')
    return Row(**{**entry, 'env': {key: str(value) for key, value in entry.get('env', {}).items()}})


def _check_values(entry: Mapping, place: str) -> None:
    """Check the values of options and seeds, and the form of references to other rows."""
    for key, value in entry.get('options', {}).items():
        if not all(isinstance(one, _SCALARS) for one in (value if isinstance(value, list) else [value])):
            raise UserError(f'{place} has the option {key}={value!r}: expected a number, a text or a list of them; '
                            'write each setting with its dotted key, such as model.clip.model.')
    for seed in entry.get('seeds', ()):
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
            raise UserError(f'{place} has the seed {seed!r}: expected whole numbers from 0 on.')
    if 'seeds' in entry and not entry['seeds']:
        raise UserError(f'{place} has no seed: list at least one, or omit seeds.')
    for key, value in entry.get('needs', {}).items():
        if not isinstance(value, str) or value.count('/') != 1:
            raise UserError(f'{place} needs {key}={value!r}: expected SUITE/ROW, the row whose checkpoint is used.')


def plan(suite: str, pattern: str, work_dir: Path) -> list[Job]:
    """Return the jobs of a suite whose row matches a regular expression, each behind the jobs that it needs.

    Raises:
        UserError: If the suite or the pattern is not valid, no row matches, or a needed row does not exist.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise UserError(f'--rows {pattern} is not a regular expression ({error}): give one, such as voc20.') from error
    rows = read_suite(suite)
    chosen = [row for row in rows.values() if wanted.search(row.name)]
    if not chosen:
        raise UserError(f'--rows {pattern} matches no row of {suite}: {_named(pattern, rows)}.')
    title = suite if suite in suite_names() else Path(suite).stem
    if title in suite_names() and title != suite and Path(suite).resolve() != ROOT / f'configs/suites/{title}.yaml':
        raise UserError(f'The suite {suite} has the name of a shipped suite, and their results would mix: '
                        'rename the file.')
    jobs = [_job(row, seed, title, rows, work_dir, ()) for row in chosen for seed in row.seeds]
    return list({job.folder: job for top in jobs for job in _ordered(top)}.values())


def _named(name: str, rows: Mapping[str, Row], most: int = 10) -> str:
    """Name the rows of a suite; of many, those that resemble a name."""
    if len(rows) <= most:
        return f'its rows are {", ".join(rows)}'
    near = difflib.get_close_matches(name, rows, n=3, cutoff=0.4) or [*rows][:3]
    return f'its {len(rows)} rows include {", ".join(near)}; see all by --list without --rows'


def _job(row: Row, seed: int | None, suite: str, rows: dict[str, Row], work_dir: Path, above: tuple) -> Job:
    """Build a job and those that it needs. They have its seed, or the first of their own."""
    if f'{suite}/{row.name}' in above:
        raise UserError(f'The rows {" and ".join(above)} need each other: remove one of the needs.')
    needs = {}
    for key, reference in row.needs.items():
        title, name = reference.split('/')
        others = rows if title == suite else read_suite(title)
        if name not in others:
            raise UserError(f'{suite}/{row.name} needs {reference}, but {title} has no row {name}: '
                            f'{_named(name, others)}.')
        seeds = others[name].seeds
        needs[key] = _job(others[name], seed if seed in seeds else seeds[0], title, others, work_dir,
                          (*above, f'{suite}/{row.name}'))
    return Job(suite, row, seed, work_dir, needs)


def _ordered(job: Job) -> Iterator[Job]:
    for need in job.needs.values():
        yield from _ordered(need)
    yield job


def shard(jobs: Sequence[Job], part: str | None, environment: Mapping[str, str]) -> list[Job]:
    """Return one of n equal parts of the jobs; rows that need each other stay together.

    Args:
        jobs (Sequence[Job]): All jobs.
        part (str, optional): ``'i/n'``, i from 0 to n - 1. None takes the part of the Slurm array task, if any.
        environment (Mapping[str, str]): Environment variables.

    Raises:
        UserError: If ``part`` is malformed.
    """
    if part is None and 'SLURM_ARRAY_TASK_ID' in environment:
        first, step = (int(environment.get(f'SLURM_ARRAY_TASK_{key}', default)) for key, default in
                       (('MIN', 0), ('STEP', 1)))
        index = (int(environment['SLURM_ARRAY_TASK_ID']) - first) // max(step, 1)
        part = f'{index}/{environment.get("SLURM_ARRAY_TASK_COUNT", index + 1)}'
    if part is None:
        return list(jobs)
    found = re.fullmatch(r'(\d+)/(\d+)', part)
    if not found or not int(found[1]) < int(found[2]):
        raise UserError(f'--shard {part} is not I/N with I from 0 to N - 1: for three jobs give 0/3, 1/3 and 2/3.')
    groups: dict[Path, list[Job]] = {}
    for job in jobs:
        groups.setdefault(next(_ordered(job)).folder, []).append(job)
    return [job for group in list(groups.values())[int(found[1])::int(found[2])] for job in group]
