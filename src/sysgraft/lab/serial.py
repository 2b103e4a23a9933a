"""What the machine says over its serial port, and what that means for the run.

The firmware (edk2's BdsDxe) tells there which programs it starts and which it refuses; the kernel
that it panicked. Both may otherwise stand still for ever, so the lab listens while it waits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import ToolError

if TYPE_CHECKING:
    from typing import IO

MAX_SERIAL: Final = 64 << 20
"""Bytes of one run's output: a guest that says more says it in circles."""
# Longer than the lines looked for: they may come in two pieces.
_LINE: Final = 512

# ECMA-48: control strings up to their end (OSC, DCS and the like), control sequences, other escape
# sequences, and what else moves the cursor.
_TERMINAL: Final = re.compile(
    r"\x1b[P\]X^_][^\x07\x1b\n]*(?:\x07|\x1b\\)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]"
    r"|\r(?=\n)"
    r"|[\x00-\x08\x0b-\x1f\x7f]"
)
# MdeModulePkg/Library/UefiBootManagerLib/BmBoot.c and Universal/BdsDxe/BdsEntry.c.
_REFUSED: Final = re.compile(
    rb"BdsDxe: failed to (?:load|start) Boot[0-9A-F]{4} .*: ([A-Z][A-Za-z ]+)\r?\n"
)
# The shell inside the firmware is started when nothing else can be.
_GIVEN_UP: Final = re.compile(
    rb'BdsDxe: (?:No bootable option or device was found|starting Boot.{4} "EFI Internal Shell")'
)
_PANIC: Final = re.compile(rb"Kernel panic - not syncing: ([^\r\n]*)\r?\n")


class SerialLog:
    """The output so far, read as it grows.

    Attributes:
        refusal: the firmware's reason why it started nothing, once it has said so.
        panic: the kernel's reason for a panic, once it has panicked.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._data = bytearray()
        self.refusal: str | None = None
        self.panic: str | None = None

    @property
    def data(self) -> bytes:
        """All of it."""
        return bytes(self._data)

    def read(self) -> bool:
        """Take in what is new; whether anything is.

        Raises:
            ToolError: it is more than `MAX_SERIAL`.
        """
        new = self._file.read(MAX_SERIAL)
        start = max(0, len(self._data) - _LINE)
        self._data += new
        if len(self._data) > MAX_SERIAL:
            raise ToolError(f"the guest wrote more than {MAX_SERIAL >> 20} MiB to its serial port")
        if new:
            self._look(start)
        return bool(new)

    def _look(self, start: int) -> None:
        panic = _PANIC.search(self._data, start)
        if panic:
            self.panic = panic[1].decode(errors="replace")
        if _GIVEN_UP.search(self._data, start):
            refused = _REFUSED.search(self._data)
            self.refusal = refused[1].decode() if refused else "nothing to boot was found"


def readable(data: bytes) -> str:
    """Serial output as text, without commands to a terminal."""
    return _TERMINAL.sub("", data.decode(errors="replace"))
