"""The start of what an LZ4 block decompresses to, in Python.

For data whose end is not known, and of which a part is wanted: what liblz4 can do
(``LZ4_decompress_safe_partial``) and its Python binding cannot. Slow, for old and rare images.

    Sequences of: a token (4 bits number of literals, 4 bits length of match less 4; 15 goes on in
    bytes that are added up, the first that is not 255 being the last), the literals, 2 bytes how
    far back the match is (lz4_Block_format.md, "Compressed block format").
"""

from __future__ import annotations

from typing import Final

from sysgraft.errors import FormatError, TruncatedError

_MORE: Final = 15
_MIN_MATCH: Final = 4


def decompress_start(data: bytes, length: int) -> bytes:
    """The first `length` bytes; what follows in `data` is not looked at.

    Raises:
        TruncatedError: the data ends before.
        FormatError: a match lies before the start.
    """
    out = bytearray()
    at = 0
    while True:
        token = _byte(data, at)
        count, at = _number(data, at + 1, token >> 4)
        count = min(count, length - len(out))
        if at + count > len(data):
            raise TruncatedError("the LZ4 data ends too early")
        out += data[at : at + count]
        at += count
        if len(out) == length:
            return bytes(out)
        distance = _byte(data, at) | _byte(data, at + 1) << 8
        count, at = _number(data, at + 2, token & 0xF)
        _copy(out, distance, min(count + _MIN_MATCH, length - len(out)))
        if len(out) == length:
            return bytes(out)


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise TruncatedError("the LZ4 data ends too early")
    return data[at]


def _number(data: bytes, at: int, number: int) -> tuple[int, int]:
    """A number whose first four bits are known, and where what follows it begins."""
    if number == _MORE:
        while True:
            more = _byte(data, at)
            number += more
            at += 1
            if more != 0xFF:
                break
    return number, at


def _copy(out: bytearray, distance: int, count: int) -> None:
    """Append `count` bytes of what is `distance` back; they may include what is appended."""
    if not 0 < distance <= len(out):
        raise FormatError(f"an LZ4 match {distance} bytes back of {len(out)}")
    start = len(out) - distance
    if distance >= count:
        out += out[start : start + count]
        return
    piece = bytes(out[start:])
    out += (piece * (count // distance + 1))[:count]
