"""The checksum of an executable, as ``CheckSumMappedFile`` of Windows' imagehlp makes it.

The sum of all 16-bit words, with carries added back in, plus the length of the file; the field
CheckSum itself counts as zero. Firmware does not look at it; signing tools fill it in.
"""

from __future__ import annotations

from typing import Final

# Adding whole numbers of this many bytes is the fastest way Python has: fewer divisions.
_LANE: Final = 8192
_MODULUS: Final = 0xFFFF
_MASK: Final = (1 << 32) - 1


class Checksum:
    """Takes a file's bytes in their order; the field itself must be given as four zeros."""

    __slots__ = ("_any", "_odd", "_sum")

    def __init__(self) -> None:
        self._sum = 0
        self._odd = b""
        self._any = False

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        if self._odd and len(data):
            self._add(self._odd + bytes(data[:1]))
            self._odd = b""
            data = data[1:]
        if len(data) % 2:
            self._odd = bytes(data[-1:])
            data = data[:-1]
        self._add(data)

    def _add(self, data: bytes | memoryview) -> None:
        # Folding carries back in is arithmetic modulo 0xffff, and a lane's weight in that is 1.
        number = int.from_bytes
        total = self._sum
        for start in range(0, len(data), _LANE):
            total += number(data[start : start + _LANE], "little")
        self._any = self._any or bool(total)
        self._sum = total % _MODULUS

    def value(self, size: int) -> int:
        """The checksum of a file of `size` bytes, all of which were given."""
        if self._odd:
            self._add(self._odd + b"\0")
            self._odd = b""
        # Modulo 0xffff a sum of 0xffff is 0; only a file of zeros really has that.
        folded = self._sum or (_MODULUS if self._any else 0)
        return folded + size & _MASK
