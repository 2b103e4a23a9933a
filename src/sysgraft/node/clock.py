"""An end for the reading of data, in the middle of an image too."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sysgraft.base.progress import Progress

NEVER: Final = math.inf


class OutOfTimeError(Exception):
    """There is no time left for reading; no error of an image."""


@dataclass(eq=False)
class Clock:
    """Passes progress on, and ends what reports it when time is up.

    Attributes:
        progress: told of everything.
        end: by the monotonic clock, in seconds.
    """

    progress: Progress
    end: float = NEVER

    def check(self) -> None:
        """Raise `OutOfTimeError` if time is up."""
        if time.monotonic() > self.end:
            raise OutOfTimeError

    def start(self, label: str, total: int) -> None:
        """See `Progress.start`."""
        self.progress.start(label, total)

    def advance(self, amount: int) -> None:
        """See `Progress.advance`."""
        self.check()
        self.progress.advance(amount)

    def finish(self) -> None:
        """See `Progress.finish`."""
        self.progress.finish()
