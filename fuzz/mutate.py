"""Damages bytes, the same way every time for the same numbers.

A `Mutator` makes input after input of a few good files (its seeds). What an input is depends on
the target's name, the seed of the campaign, the input's number and the good files, on nothing else.
The first numbers are the good files themselves.

Not guided by what the code does with an input: every input stands for itself, can be made again
without the ones before it, and the inputs can be shared out among processes.
"""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_GROWTH: Final = 64 << 10
"""Bytes an input may have more than twice its seed."""

REPAIRED: Final = 0.6
"""Share of the inputs whose checksums are made right again, where a target can do that."""

_MOST_CHANGES: Final = 24
# Numbers at which code that counts, adds or allocates goes wrong.
_EDGES: Final = tuple(
    sorted(
        {(1 << bits) + delta for bits in range(65) for delta in (-1, 0, 1)}
        | {2, 3, 10, 100, 255 * 255, 511, 513, 1000, 4095, 4097, 65534, 10**6, 10**9}
    )
)
_BYTES: Final = bytes.fromhex("0001020a1e20222f30395c7f80c0feff")
_WIDTHS: Final = (1, 2, 2, 4, 4, 4, 8, 8, 3, 5, 6, 7)
_DIGITS: Final = re.compile(rb"[0-9]{1,20}")
_WORDS: Final = (
    *(b"-1", b"0", b"1", b"00", b"0x", b"1e999", b"NaN", b"9" * 20, b"9" * 5000, b"\0", b"\n"),
    *(b"\r\n", b"../", b"/", b"//", b"\\", b"%s", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    *(b"\xc3\xa9", b"\xd9\xa3", b"\xe2\x80\xae", b"\x1b[31m", b"{", b"}", b"[", b"]", b'"', b"'"),
    *(b":", b",", b"=", b"+", b"{}", b"[]", b"null", b"true", b"[" * 2000, b'{"a":' * 1500),
    *(b"\\ud800", b"\\u0000", b"=" * 300, b" " * 300, b"\xc2\xb2", b"A" * 5000),
)
# Where in a file of mostly zeros something stands: units of so many bytes are looked at.
_UNIT: Final = 16


class Mutator:
    """Makes inputs.

    Args:
        name: of the target; part of what an input depends on.
        seeds: good files, at least one.
        tokens: words that mean something to the reader.
        repair: makes checksums right again, in place.
    """

    def __init__(
        self,
        name: str,
        seeds: Sequence[bytes],
        *,
        tokens: Sequence[bytes] = (),
        repair: Callable[[bytearray], None] | None = None,
    ) -> None:
        self._name = name
        self._seeds = tuple(seeds)
        self._tokens = (*tokens, *tokens, *_WORDS) if tokens else _WORDS
        self._has_tokens = bool(tokens)
        self._repair = repair
        self._spots = [_spots(seed) for seed in self._seeds]

    def make(self, campaign: int, number: int) -> bytes:
        """The input of this number."""
        if number < len(self._seeds):
            return self._seeds[number]
        rng = Random(f"{self._name}/{campaign}/{number}")  # has to be repeatable
        chosen = rng.randrange(len(self._seeds))
        data = bytearray(self._seeds[chosen])
        limit = 2 * len(data) + MAX_GROWTH
        changes = 1
        while changes < _MOST_CHANGES and rng.random() < 0.6:
            changes += 1
        for _ in range(changes):
            self._change(data, rng, self._spots[chosen])
        del data[limit:]
        if self._repair is not None and rng.random() < REPAIRED:
            self._repair(data)
        return bytes(data)

    def _change(self, data: bytearray, rng: Random, spots: Sequence[int]) -> None:
        kind = rng.random()
        change = next((each for below, each in _CHANGES if kind < below), None)
        if change is not None:
            change(data, rng, spots)
        elif kind < _SPLICES:
            self._splice(data, rng)
        elif kind < _DIGITS_BELOW or not self._has_tokens:
            _set_digits(data, rng, spots)
        else:
            self._put_word(data, rng, spots)
        if self._has_tokens and rng.random() < 0.3:
            self._put_word(data, rng, spots)

    def _splice(self, data: bytearray, rng: Random) -> None:
        """The end of another good file behind the beginning of this one."""
        other = rng.choice(self._seeds)
        at = rng.randrange(len(data) + 1)
        start = min(at, len(other)) if rng.random() < 0.5 else rng.randrange(len(other) + 1)
        data[at:] = other[start:]

    def _put_word(self, data: bytearray, rng: Random, spots: Sequence[int]) -> None:
        word = rng.choice(self._tokens)
        at = _place(data, rng, spots)
        data[at : at + (len(word) if rng.random() < 0.5 else 0)] = word


def _spots(data: bytes) -> list[int]:
    """Units of the file that are not all zeros."""
    empty = bytes(_UNIT)
    return [at for at in range(0, len(data), _UNIT) if data[at : at + _UNIT] != empty]


def _place(data: bytearray, rng: Random, spots: Sequence[int]) -> int:
    """An offset; mostly where the seed has something, and more often near the beginning."""
    if not data:
        return 0
    kind = rng.random()
    if kind < 0.2 or not spots:
        return rng.randrange(len(data))
    chosen = spots[int(len(spots) * rng.random() ** 2)] if kind < 0.6 else rng.choice(spots)
    return min(chosen + rng.randrange(_UNIT), len(data) - 1)


def _length(rng: Random) -> int:
    return int(rng.choice((1, 2, 4, 8, 16, 32, 64, 512, 4096)) * (0.5 + rng.random())) or 1


def _flip(data: bytearray, rng: Random, spots: Sequence[int]) -> None:
    if data:
        data[_place(data, rng, spots)] ^= 1 << rng.randrange(8)


def _set_byte(data: bytearray, rng: Random, spots: Sequence[int]) -> None:
    if data:
        value = rng.choice(_BYTES) if rng.random() < 0.7 else rng.randrange(256)
        data[_place(data, rng, spots)] = value


def _number_place(data: bytearray, rng: Random, spots: Sequence[int]) -> tuple[int, int]:
    width = rng.choice(_WIDTHS)
    at = _place(data, rng, spots)
    if rng.random() < 0.7:
        at -= at % min(width, 4)
    return max(0, min(at, len(data) - width)), width


def _set_number(data: bytearray, rng: Random, spots: Sequence[int]) -> None:
    at, width = _number_place(data, rng, spots)
    kind = rng.random()
    if kind < 0.7:
        value = rng.choice(_EDGES)
    elif kind < 0.85:
        value = len(data) + rng.choice((-4096, -512, -8, -1, 0, 1, 8, 512))
    else:
        value = at + rng.choice((-width, 0, width, 1))
    if rng.random() < 0.1:
        value = -value
    raw = (value % (1 << 8 * width)).to_bytes(width, "little" if rng.random() < 0.6 else "big")
    data[at : at + width] = raw[: max(0, len(data) - at)]


def _add_to_number(data: bytearray, rng: Random, spots: Sequence[int]) -> None:
    at, width = _number_place(data, rng, spots)
    order: Literal["little", "big"] = "little" if rng.random() < 0.6 else "big"
    found = bytes(data[at : at + width])
    if not found:
        return
    value = int.from_bytes(found, order)
    value += rng.choice((-16, -2, -1, 1, 2, 16, 255, 256)) * rng.choice((1, 1, 1, 8, 512))
    raw = value % (1 << 8 * len(found))
    data[at : at + len(found)] = raw.to_bytes(len(found), order)


def _move_chunk(data: bytearray, rng: Random, spots: Sequence[int]) -> None:
    """A part of the file once more, put in or written over something."""
    start = _place(data, rng, spots)
    chunk = bytes(data[start : start + _length(rng)])
    at = _place(data, rng, spots)
    times = rng.choice((1, 1, 1, 1, 2, 50))
    data[at : at + (len(chunk) if rng.random() < 0.5 else 0)] = chunk * times


def _remove(data: bytearray, rng: Random, spots: Sequence[int]) -> None:
    at = _place(data, rng, spots)
    del data[at : at + _length(rng)]


def _swap(data: bytearray, rng: Random, spots: Sequence[int]) -> None:
    one, other = sorted((_place(data, rng, spots), _place(data, rng, spots)))
    length = min(_length(rng), other - one)
    first, second = bytes(data[one : one + length]), bytes(data[other : other + length])
    data[one : one + length], data[other : other + length] = second, first


def _fill(data: bytearray, rng: Random, spots: Sequence[int]) -> None:
    at = _place(data, rng, spots)
    length = min(_length(rng), len(data) - at)
    data[at : at + length] = bytes((rng.choice(_BYTES),)) * length


def _cut_or_grow(data: bytearray, rng: Random, _spots: Sequence[int]) -> None:
    kind = rng.random()
    if kind < 0.6:
        del data[rng.randrange(len(data) + 1) :]
    elif kind < 0.8:
        data += bytes((rng.choice(_BYTES),)) * _length(rng)
    else:
        data += rng.randbytes(_length(rng))


def _set_digits(data: bytearray, rng: Random, spots: Sequence[int]) -> None:
    """Another number where one stands in digits."""
    found = _DIGITS.search(data, _place(data, rng, spots))
    if found is None:
        _set_byte(data, rng, spots)
        return
    old = found[0]
    value = rng.choice(_EDGES) if rng.random() < 0.6 else int(old) + rng.choice((-1, 1, 8, 512))
    new = b"%d" % value
    if rng.random() < 0.6:
        new = new[: len(old)].rjust(len(old), b"0")
    data[found.start() : found.end()] = new


# How likely each change is: numbers between 0 and 1, below which one is made.
_CHANGES: Final = (
    (0.16, _flip),
    (0.28, _set_byte),
    (0.52, _set_number),
    (0.60, _add_to_number),
    (0.70, _move_chunk),
    (0.78, _remove),
    (0.84, _swap),
    (0.88, _fill),
    (0.91, _cut_or_grow),
)
_SPLICES: Final = 0.94
_DIGITS_BELOW: Final = 0.97
