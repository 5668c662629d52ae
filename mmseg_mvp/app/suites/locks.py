"""Lock files: one process runs a job, also among machines that share a folder."""
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.files import atomic_write

HALF_WRITTEN = 60  # seconds after which a lock file without content is of a dead process


class Held(UserError):
    """Another process holds the lock."""


class Lock:
    """Lock file with host and process ids. The lock of a dead process on this host is taken over.

    A process of the job that outlives its parent, named by :meth:`add`, keeps the lock alive.

    Args:
        path (Path): Lock file. Its folder is created.

    Raises:
        Held: On entry to a ``with`` block or by :meth:`acquire`, if a running process, or any process of another host,
            holds the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.pids = path, [os.getpid()]

    def __enter__(self) -> 'Lock':
        return self.acquire()

    def __exit__(self, *_) -> None:
        self.release()

    def acquire(self) -> 'Lock':
        """Take the lock, or raise :class:`Held`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while not (self._create() or self._take_over()):
            pass  # it was released meanwhile
        return self

    def release(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self.path.unlink()

    def add(self, pid: int) -> None:
        """Note a child process that works on the job."""
        self.pids = [os.getpid(), pid]
        self._write()

    def _content(self) -> str:
        return json.dumps(dict(host=socket.gethostname(), pids=self.pids))

    def _write(self) -> None:
        with atomic_write(self.path, overwrite=True) as temporary:
            temporary.write_text(self._content())

    def _create(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        try:
            with os.fdopen(descriptor, 'w') as file:
                file.write(self._content())
        except OSError:  # a full disk
            self.release()
            raise
        return True

    def _take_over(self) -> bool:
        """Replace the lock of dead processes; return False if it is gone.

        A lock of the system orders the heirs. The file exists all the time, so that no process creates it
        meanwhile.
        """
        with alone(self.path.parent):
            if not self.path.exists():
                return False
            if not is_dead(self.path):
                raise Held(_sentence(self.path, holder(self.path)))
            self._write()
        return True


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a lock of the system for a folder, which ends with the process; others wait. Some drives have no locks."""
    if os.name != 'posix':
        yield
        return
    import fcntl
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / '.order', 'a') as file:  # NFS locks files that are open for writing only
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def holder(path: Path) -> dict:
    """Return host and pids of a lock file; an empty dict if it has no content or is gone."""
    try:
        content = json.loads(path.read_text())
        return dict(host=str(content['host']), pids=[int(pid) for pid in content['pids']])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def is_dead(path: Path) -> bool:
    """Return True if the processes of a lock file have ended, as far as this host can know, or the file is gone."""
    owner = holder(path)
    if owner:
        return owner['host'] == socket.gethostname() and not any(map(_runs, owner['pids']))
    try:
        return time.time() - path.stat().st_mtime > HALF_WRITTEN
    except FileNotFoundError:
        return True


def _runs(pid: int) -> bool:
    if os.name != 'posix':
        return True  # os.kill would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user
        return True
    with suppress(OSError):  # one that ended and waits for its parent, where there is /proc
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    return True


def _sentence(path: Path, owner: dict) -> str:
    pid = next(filter(_runs, owner['pids']), owner['pids'][0]) if owner else None
    who = f'process {pid} on {owner["host"]}' if owner else 'another process'
    return (f'{path.parent.name}/{path.stem} is omitted, because {who} runs it: wait for it, or remove {path} if that '
            'process has ended')
