"""Messages for mistakes of the user."""
import errno
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.config import describe


def user_sentence(error: BaseException) -> str | None:
    """Return the message for the user, or None if the exception is a defect of the program.

    A UserError from a DataLoader worker has the worker's traceback as its text. The message follows the exception's
    name on the last line of this traceback. A TypeError or KeyError raised by mmengine's `build_from_cfg` itself means
    that the config names an unknown component or argument. A full disk can stop any write, such as a log or a picture.
    """
    if isinstance(error, UserError):
        name = f'{type(error).__module__}.{type(error).__qualname__}: '
        return str(error).rpartition(f'\n{name}')[2].strip()
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, (TypeError, KeyError)) and frames and frames[-1].name == 'build_from_cfg':
        return f'the config does not fit its components: {describe(error)}'
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f'the disk is full ({describe(error)}): free disk space, then resume training with --resume'
    return None


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
