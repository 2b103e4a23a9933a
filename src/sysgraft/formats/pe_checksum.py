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
    """Takes a file's bytes in their order; the field itself must be given as four zeros.

    Pieces of an even length may come in any order: a sum does not ask for it.
    """

    __slots__ = ("_any", "_odd", "_sum")

    def __init__(self) -> None:
        self._sum = 0
        self._odd = b""
        self._any = False

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        if self._odd and view:
            self._add(memoryview(self._odd + bytes(view[:1])))
            self._odd = b""
            view = view[1:]
        if len(view) % 2:
            self._odd = bytes(view[-1:])
            view = view[:-1]
        self._add(view)

    def _add(self, view: memoryview) -> None:
        # Adding carries back in is arithmetic modulo 0xffff, where 1 << 16 is 1: a lane's number
        # is the sum of its words.
        total = self._sum
        for start in range(0, len(view), _LANE):
            total += int.from_bytes(view[start : start + _LANE], "little")
        self._any = self._any or bool(total)
        self._sum = total % _MODULUS

    def value(self, size: int) -> int:
        """The checksum of a file of `size` bytes, all of which were given."""
        last = int.from_bytes(self._odd, "little")
        folded = (self._sum + last) % _MODULUS
        if not folded and (self._any or last):
            folded = _MODULUS  # 0 as a sum with carries; only a file of zeros really has 0
        return folded + size & _MASK
