"""Result of a job: one JSON file with all that the figures depend on."""
import json
import platform
import subprocess
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmseg_mvp.errors import UserError
from mmseg_mvp.host import installed_version
from mmseg_mvp.utils.files import atomic_write
from mmseg_mvp.utils.shipped import ROOT
from mmseg_mvp.version import __version__

from .rows import Job

PACKAGES = ('torch', 'torchvision', 'open_clip_torch', 'timm', 'numpy', 'pillow', 'opencv-python', 'onedl-mmcv',
            'onedl-mmengine', 'onedl-mmsegmentation', 'mmcv', 'mmengine', 'mmsegmentation')
_KINDS = dict(suite=str, row=str, config=str, options=dict, commit=str, versions=dict, host=str, finished=str,
              sessions=list, metrics=dict, classes=list, seconds=dict)
FREE = 'free disk space, or give another --work-dir; finished rows are kept'


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Return the git commit of the code, ``-changed`` behind it if tracked code differs, and the installed versions.

    Without git, the commit is that of no repository: ``package`` and the version.
    """
    versions = {'python': platform.python_version(), 'mmseg-mvp': __version__,
                **{name: version for name in PACKAGES if (version := installed_version(name))}}
    head = _git('rev-parse', 'HEAD') if (ROOT / '.git').exists() else None
    if not head:
        return dict(commit=f'package {__version__}', versions=versions)
    changed = _git('status', '--porcelain', '--untracked-files=no', '--', 'mmseg_mvp', 'configs', 'tools')
    return dict(commit=head + '-changed' * bool(changed), versions=versions)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(['git', '-C', str(ROOT), *arguments], capture_output=True, text=True)
    except OSError:  # git is not installed
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def settings(job: Job, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a job is by its row: config, training, options and seed. ``options`` are those of the command."""
    row = job.row
    return dict(config=row.config or row.script, train=row.train, checkpoint=row.checkpoint,
                options={key: _plain(value) for key, value in {**row.options, **options}.items()},
                needs=dict(row.needs), env=dict(row.env), seed=job.seed)


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write a JSON file completely or not at all; replace an earlier one.

    Raises:
        UserError: If it can't be written, as on a full disk.
    """
    with atomic_write(path, overwrite=True, fix=FREE, sync=True) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + '\n', 'utf-8')


def begin_session(job: Job) -> None:
    """Note commit, versions and time of a start in the job's folder, because a training can span several."""
    path = job.folder / 'sessions.json'
    write_json(dict(sessions=[*sessions(job), dict(host=platform.node(), start=_now(), **environment())]), path)


def sessions(job: Job) -> list[dict]:
    """Return the starts of a job so far."""
    path = job.folder / 'sessions.json'
    return read_json(path)['sessions'] if path.exists() else []


def write_result(job: Job, options: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Write the result of a job: its settings, commit, versions, sessions, and ``content``."""
    write_json(dict(suite=job.suite, row=job.row.name, name=job.name, **settings(job, options), **environment(),
                    host=platform.node(), finished=_now(), sessions=sessions(job), **content), job.result)


def read_result(job: Job) -> dict | None:
    """Return the result of a job; None if it has none.

    Raises:
        UserError: If the file is not a result.
    """
    return read_record(job.result) if job.result.exists() else None


def read_record(path: Path) -> dict:
    """Read the file of a result.

    Raises:
        UserError: If it is not a result.
    """
    found = read_json(path)
    if not _is_record(found):
        raise UserError(f'{path} is not a result of tools/benchmark.py: move it away, and run the row again.')
    return found


def _is_record(found: Mapping[str, Any]) -> bool:
    """Return True if a file has all that the tables read, as :func:`write_result` writes it."""
    def numbers(values: Mapping) -> bool:
        return all(isinstance(value, (int, float, type(None))) for value in values.values())

    return (all(isinstance(found.get(key), kind) for key, kind in _KINDS.items())
            and numbers(found['metrics']) and numbers(found['seconds']) and None not in found['seconds'].values()
            and all(isinstance(one, dict) for one in [*found['classes'], *found['sessions']])
            and all(isinstance(one.get('commit'), str) for one in found['sessions']))


def read_json(path: Path) -> dict:
    """Read a JSON file that holds a dict."""
    try:
        found = json.loads(path.read_text('utf-8'))
    except (ValueError, OSError) as error:
        raise UserError(f'{path} can\'t be read as JSON ({error}): move it away, and run the row again.') from error
    return found if isinstance(found, dict) else {}


def differences(result: Mapping[str, Any], job: Job, options: Mapping[str, Any]) -> str:
    """Say in what a result differs from one that would be made here now; '' if in nothing.

    Earlier sessions of a training count too.
    """
    here, parts = environment(), []
    for made in {one['commit']: one for one in [*result.get('sessions', ()), result]}.values():
        if made['commit'] != here['commit']:
            parts.append(f'commit {short(made["commit"])} (here {short(here["commit"])})')
    for name in dict.fromkeys([*here['versions'], *result['versions']]):
        one, other = result['versions'].get(name, 'none'), here['versions'].get(name, 'none')
        if one != other:
            parts.append(f'{name} {one} (here {other})')
    parts += [f'{key} {result.get(key)} (now {value})' for key, value in settings(job, options).items()
              if result.get(key) != value]
    return ', '.join(parts)


def short(commit: str) -> str:
    """Shorten a commit's hash, but not the words of others."""
    head, dash, rest = commit.partition('-')
    return f'{head[:9]}{dash}{rest}' if ' ' not in commit else commit


def set_aside(job: Job) -> None:
    """Rename result and folder of a job, so that it runs again and the former result stays."""
    number = 1
    while any(_former(path, number).exists() for path in (job.result, job.folder)):
        number += 1
    for path in (job.result, job.folder):
        if path.exists():
            path.rename(_former(path, number))


def _former(path: Path, number: int) -> Path:
    """Return the name of an earlier result; ``.json`` is not its suffix, so that no table reads it."""
    return path.with_name(f'{path.name}.former{number}')


def _now() -> str:
    return time.strftime('%Y-%m-%d %H:%M:%S')
