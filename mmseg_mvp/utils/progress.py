"""Progress of long work: a bar in the terminal, or a listener such as the web page."""
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mmengine.utils import ProgressBar

Listener = Callable[[int, int], None]  # called with the finished and the total number of steps
_LISTENER: ContextVar[Listener | None] = ContextVar('listener', default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send progress to a listener instead of the terminal within the context."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def progress_of(total: int, many: int) -> Callable[[int], None] | None:
    """Return a function to call with the number of steps that are newly finished.

    Args:
        total (int): Number of all steps.
        many (int): Without a listener, at most so many steps show no bar, and None is returned.
    """
    listener, done = _LISTENER.get(), 0
    if listener is None:
        return ProgressBar(total, file=sys.stdout).update if total > many else None

    def update(steps: int) -> None:
        nonlocal done
        done += steps
        listener(done, total)

    listener(0, total)
    return update
