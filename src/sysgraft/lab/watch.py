"""Waits for the machine to end, and says how it did.

Three voices are listened to: QEMU's control channel (the guest switched off or asked for a
restart), the serial port (the firmware refused, the kernel panicked), and the clock. And a guest
does not fill the disk: what QEMU writes for it is measured at every tick.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sysgraft.base.progress import Progress
    from sysgraft.host.background import Background
    from sysgraft.lab.control import Control
    from sysgraft.lab.report import Ending
    from sysgraft.lab.serial import SerialLog

_TICK: Final = 0.1
# A panic is followed by a trace, sometimes by a restart.
_LAST_WORDS: Final = 1.0

# ShutdownCause of QEMU's qapi/run-state.json, as far as guests bring it about.
_ENDINGS: Final[Mapping[str, Ending]] = {
    "guest-shutdown": "powered-off",
    "guest-reset": "reset",
    "guest-panic": "panicked",
}


class End(NamedTuple):
    """How a machine ended, why, and after how many seconds."""

    ending: Ending
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Written:
    """A file that grows as the guest wishes.

    Attributes:
        path: of the file.
        limit: bytes it may have.
        what: what is written there, for the reason.
    """

    path: str
    limit: int
    what: str

    def excess(self) -> str:
        """What is too much about it; empty if nothing is."""
        if os.stat(self.path).st_size <= self.limit:
            return ""
        return f"it wrote more than {_size(self.limit)} {self.what}"


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >> 20 else f"{count} bytes"


@dataclass(slots=True)
class Watch:
    """One machine under observation.

    Attributes:
        process: QEMU.
        control: its control channel.
        serial: its serial port.
        timeout: seconds it may take.
        reboots: how many times it may start anew.
        progress: told of every second.
        written: files that may not grow without end; a little more than their limit is possible,
            what is written between two looks.
    """

    process: Background
    control: Control
    serial: SerialLog
    timeout: float
    reboots: int
    progress: Progress
    written: tuple[Written, ...] = ()
    _began: float = 0.0
    _told: int = 0

    def wait(self) -> End:
        """Wait for the end.

        Raises:
            ToolError: QEMU ended by itself.
        """
        self._began = time.monotonic()
        self.progress.start("booting", int(self.timeout))
        try:
            while (found := self._look()) is None:
                self._tell()
        finally:
            self.progress.finish()
        ending, reason = found
        if self.serial.panic is not None and ending in ("powered-off", "reset"):
            ending, reason = "panicked", self.serial.panic
        return End(ending, reason, self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _tell(self) -> None:
        seconds = int(self._elapsed())
        if seconds > self._told:
            self.progress.advance(seconds - self._told)
            self._told = seconds

    def _look(self) -> tuple[Ending, str] | None:
        """Whether it has ended, and how."""
        ended = [event for event in self.control.events(_TICK) if event["event"] == "SHUTDOWN"]
        self.serial.read()
        if excess := self._excess():
            return "stopped", excess
        for event in ended:
            found = self._stopped(event)
            if found is not None:
                return found
        if self.serial.refusal is not None:
            return "refused", self.serial.refusal
        if self.serial.panic is not None:
            self._hear_out()
            return "panicked", self.serial.panic
        if not self.control.is_open:
            self.process.wait(_LAST_WORDS)
            raise self.process.failure()
        if self._elapsed() >= self.timeout:
            return "timed-out", f"after {self.timeout:g} seconds"
        return None

    def _excess(self) -> str:
        return next((text for each in self.written if (text := each.excess())), "")

    def _stopped(self, event: dict[str, Any]) -> tuple[Ending, str] | None:
        reason = str(event.get("data", {}).get("reason", ""))
        if reason == "guest-reset" and self.reboots:
            self.reboots -= 1
            self.serial.restart()
            self.control.restart()
            return None
        return _ENDINGS.get(reason, "reset"), reason

    def _hear_out(self) -> None:
        end = time.monotonic() + _LAST_WORDS
        while time.monotonic() < end and not self._excess():
            time.sleep(_TICK)
            self.serial.read()
