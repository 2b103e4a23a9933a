"""How long-running work reports progress without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives progress; implemented by the command line, ignored by default."""

    def start(self, label: str, total: int) -> None:
        """A step named `label` of `total` bytes begins; 0 where nobody knows how many."""

    def advance(self, amount: int) -> None:
        """`amount` more bytes of the current step are done."""

    def finish(self) -> None:
        """The current step is over."""


class NoProgress:
    """Listens to nothing."""

    def start(self, label: str, total: int) -> None:
        """See `Progress.start`."""

    def advance(self, amount: int) -> None:
        """See `Progress.advance`."""

    def finish(self) -> None:
        """See `Progress.finish`."""
