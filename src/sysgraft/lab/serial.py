"""What the machine says over its serial port, and what that means for the run.

The firmware (edk2's BdsDxe) tells there which programs it starts and which it refuses; the kernel
that it panicked. Both may otherwise stand still for ever, so the lab listens while it waits. A
guest may say the firmware's words as well. They are not heard once the kernel has spoken; the last
word has the TPM (`sysgraft.lab.measured.left_firmware`).

Every byte is looked at a bounded number of times, whatever the lines look like.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import IO

MAX_SERIAL: Final = 16 << 20
"""Bytes of one run's output: a guest that says more says it in circles."""
# Longer than what is looked for: it may come in two pieces.
_LINE: Final = 1024

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
    rb"BdsDxe: failed to (?:load|start) Boot[0-9A-F]{4} [^\r\n]{0,600}: ([A-Z][A-Za-z ]{0,60})\r?\n"
)
# The shell inside the firmware is started when nothing else can be.
_GIVEN_UP: Final = re.compile(
    rb'BdsDxe: (?:No bootable option or device was found|starting Boot.{4} "EFI Internal Shell")'
)
# What is said without end is cut off.
_PANIC: Final = re.compile(
    rb"Kernel panic - not syncing: ([^\r\n]{0,399}(?=[\r\n])|[^\r\n]{400})",
)
# init/version.c, and a time before a message (kernel/printk/printk.c): firmware says neither.
_KERNEL: Final = re.compile(rb"Linux version [0-9]|\n\[ {0,4}[0-9]{1,5}\.[0-9]{6}\] ")


class SerialLog:
    """The output so far, read as it grows.

    Attributes:
        refusal: the firmware's reason why it started nothing, once it has said so.
        panic: the kernel's reason for a panic, once it has panicked.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._data = bytearray()
        self._failure = ""
        self._is_left = False
        self._began = 0
        self.refusal: str | None = None
        self.panic: str | None = None

    @property
    def data(self) -> bytes:
        """All of it."""
        return bytes(self._data)

    def read(self) -> bool:
        """Take in what is new, up to `MAX_SERIAL` bytes of all; whether anything is."""
        new = self._file.read(MAX_SERIAL - len(self._data))
        start = max(self._began, len(self._data) - _LINE)
        self._data += new
        if new:
            self._look(start)
        return bool(new)

    def restart(self) -> None:
        """The machine starts anew: what comes next is the firmware's again."""
        self._began = len(self._data)
        self._failure, self._is_left = "", False

    def _look(self, start: int) -> None:
        if self.panic is None and (panic := _PANIC.search(self._data, start)):
            self.panic = panic[1].decode(errors="replace")
        if self._is_left or self.refusal is not None:
            return
        kernel = _KERNEL.search(self._data, start)
        end = kernel.start() if kernel else len(self._data)
        if not self._failure and (failed := _REFUSED.search(self._data, start, end)):
            self._failure = failed[1].decode()
        if _GIVEN_UP.search(self._data, start, end):
            self.refusal = self._failure or "nothing to boot was found"
        self._is_left = kernel is not None


def readable(data: bytes) -> str:
    """Serial output as text, without commands to a terminal."""
    return _TERMINAL.sub("", data.decode(errors="replace"))
