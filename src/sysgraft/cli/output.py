"""Where commands put what they have to say: results on stdout, everything else on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO

from sysgraft.base.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# A step that is over sooner than this shows no progress.
_PATIENCE_SECONDS: Final = 1.0
_REDRAW_SECONDS: Final = 0.1
_BAR_WIDTH: Final = 30

SYMBOLS: Final = {"ok": "✓", "fail": "✗", "skipped": "–"}  # noqa: RUF001  an en dash is meant
ASCII_SYMBOLS: Final = {"ok": "+", "fail": "x", "skipped": "-"}


class Output:
    """The two streams of one command."""

    def __init__(self, *, json_wanted: bool = False, quiet: bool = False) -> None:
        self.json_wanted = json_wanted
        self._quiet = quiet
        self.progress = TerminalProgress(sys.stderr, enabled=not quiet and sys.stderr.isatty())

    def files(self, schema: str, written: Sequence[str]) -> None:
        """The paths of files that were written, a line each, or as version 1 of a schema."""
        if self.json_wanted:
            self.json(schema, 1, {"files": list(written)})
        else:
            for path in written:
                self.text(path)

    def text(self, line: str = "") -> None:
        """One line of the result; what an image says in it cannot break out of the line."""
        print(one_line(line))

    def script(self, text: str) -> None:
        """Lines of our own making, as they are."""
        print(text)

    def note(self, line: str) -> None:
        """One line for the person, not part of the result."""
        if not self._quiet:
            # What a person may want to know must not stop the work where nobody listens.
            with suppress(OSError, ValueError):
                print(one_line(line), file=sys.stderr)

    def json(self, name: str, version: int, payload: Mapping[str, object]) -> None:
        """One JSON document, led by its schema's name: ``sysgraft.NOUN.VERB/VERSION``."""
        import json  # noqa: PLC0415  only when asked for

        document = {"schema": f"sysgraft.{name}/{version}", **payload}
        print(json.dumps(document, indent=2, ensure_ascii=True))

    def table(self, rows: Sequence[Sequence[str]], *, indent: int = 0) -> None:
        """Rows with their columns lined up; the last column is free."""
        rows = [[one_line(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            self.text((" " * indent + "  ".join([*cells, row[-1]])).rstrip())

    def symbol(self, status: str) -> str:
        """The mark of a check's status, in ASCII where the terminal has nothing else."""
        encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
        return (SYMBOLS if encoding.startswith("utf") else ASCII_SYMBOLS).get(status, "?")


class TerminalProgress:
    """A bar on stderr for steps that take over a second, on a terminal only.

    Args:
        stream: where the bar is drawn.
        enabled: whether it is drawn at all.
        clock: seconds that only ever increase.
    """

    def __init__(
        self, stream: TextIO, *, enabled: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._enabled = enabled
        self._clock = clock
        self._label = ""
        self._total = 0
        self._done = 0
        self._began = 0.0
        self._drawn = 0.0

    def start(self, label: str, total: int) -> None:
        """See `Progress.start`."""
        self._label, self._total, self._done = label, total, 0
        self._began, self._drawn = self._clock(), 0.0

    def advance(self, amount: int) -> None:
        """See `Progress.advance`."""
        self._done += amount
        now = self._clock()
        patient = now - self._began > _PATIENCE_SECONDS
        if self._enabled and patient and now - self._drawn > _REDRAW_SECONDS:
            self._draw(now)

    def _draw(self, now: float) -> None:
        self._drawn = now
        self._stream.write(f"\r\x1b[K{self._label} {self._state()}")
        self._stream.flush()

    def _state(self) -> str:
        """A bar, or what was done where nobody knows how much there is."""
        if not self._total:
            return human_size(self._done)
        share = min(1.0, self._done / self._total)
        bar = "#" * int(share * _BAR_WIDTH)
        return f"[{bar:<{_BAR_WIDTH}}] {share:4.0%}"

    def finish(self) -> None:
        """See `Progress.finish`."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = 0.0


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def human_size(size: int) -> str:
    """A size a person reads: ``519.9 MB``; powers of ten, one decimal."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        # From here on one decimal would round it to 1000.0.
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"
