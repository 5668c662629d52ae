"""Messages for mistakes of the user."""
import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mmseg_mvp.clip import WeightsOutOfReach
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.config import describe
from mmseg_mvp.utils.reach import OutOfReach

from .arguments import clip_setting
from .host_errors import host_sentence

_REFUSED = (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS,
            errno.ENAMETOOLONG)


def user_sentence(error: BaseException) -> str | None:
    """Return the message for the user, or None if the exception is a defect of the program.

    A UserError from a DataLoader worker has the worker's traceback as its text. The message follows the exception's
    name on the last line of this traceback. A full disk can stop any write, such as a log or a picture, and a path can
    be one that the system refuses. Other exceptions are those of the host, see :func:`host_sentence`.
    """
    if isinstance(error, WeightsOutOfReach):
        return error.by(clip_setting(error.model))
    if isinstance(error, UserError):
        name = f'{type(error).__module__}.{type(error).__qualname__}: '
        return str(error).rpartition(f'\n{name}')[2].strip()
    if is_full_disk(error):
        return f'the disk is full ({describe(error)}): free disk space, then resume training with --resume'
    if isinstance(error, OutOfReach):
        return f'a file cannot be downloaded ({describe(error)}): name a local file in its place'
    if isinstance(error, OSError) and error.errno in _REFUSED and error.filename:
        return f'a file or folder cannot be used ({describe(error)}): correct its path or its permissions'
    return host_sentence(error)


def is_full_disk(error: BaseException) -> bool:
    """Return True if a write failed because a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def user_errors() -> Iterator[None]:
    """Print a user's mistake as `error: SENTENCE` on stderr and exit with code 2; re-raise other exceptions."""
    try:
        yield
    except Exception as error:
        sentence = user_sentence(error)
        if sentence is None:
            raise
        print(f'error: {sentence}', file=sys.stderr)
        raise SystemExit(2) from None
