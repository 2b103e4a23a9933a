"""Signals that end the process, as exceptions: what is half done gets cleaned up.

SIGINT is Python's already (`KeyboardInterrupt`). SIGTERM and SIGHUP would end the process where it
stands; SIGKILL always does, which is why outputs have no name before they are whole.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import NoReturn

# Windows has no SIGHUP.
_TERMINATIONS: Final = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if name in signal.Signals.__members__
)
_ENDING: Final = (signal.SIGINT, *_TERMINATIONS)


class Terminated(BaseException):
    """A signal asked this process to end; like `KeyboardInterrupt`, it is no `Exception`.

    Attributes:
        number: of the signal. A shell calls the exit status of what it ended 128 + number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        """The signal's name."""
        return signal.Signals(self.number).name


@contextmanager
def terminations_as_exceptions() -> Iterator[None]:
    """Raise `Terminated` inside the context for SIGTERM and SIGHUP, once.

    Handlers are as before at the end. Signals that are ignored stay so (``nohup``), and so do
    those with handlers of the caller's. Outside the main thread this does nothing, since Python
    allows no handlers there.

    Raises:
        Terminated: a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = [each for each in _TERMINATIONS if signal.getsignal(each) is signal.SIG_DFL]
    try:
        for each in changed:
            signal.signal(each, _raise)
        yield
    finally:
        for each in changed:
            signal.signal(each, signal.SIG_DFL)


def _raise(number: int, _: FrameType | None) -> NoReturn:
    # A second signal must not interrupt the cleaning up after the first.
    for each in _TERMINATIONS:
        if signal.getsignal(each) is _raise:
            signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)


@contextmanager
def held_back() -> Iterator[set[int]]:
    """Signals that end the process wait until the context does; gives those that waited before."""
    if sys.platform == "win32":
        yield set()
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # This runs the handlers of signals that came shortly before; they may raise.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        yield {int(each) for each in before}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def default_in_child(waiting: set[int]) -> None:
    """In a forked child: the parent's handlers do not run, signals held back come through.

    Args:
        waiting: what `held_back` gave.
    """
    for each in _ENDING:
        if callable(signal.getsignal(each)):
            signal.signal(each, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_SETMASK, waiting)
