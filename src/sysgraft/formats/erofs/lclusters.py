"""The index of a compressed EROFS inode: what each logical cluster (lcluster, a block) holds.

A file's data is cut into extents of any length, each compressed into whole blocks of the image (a
pcluster). Per lcluster the index tells in which an extent starts, and where in it:

    PLAIN    one that is stored as it is     HEAD1  one that is compressed with the first algorithm
    NONHEAD  none                            HEAD2  likewise with the second

    full: struct z_erofs_lcluster_index, 8 bytes each, from 16 bytes behind the inode on
      0  2 di_advise      bits 0 and 1 the kind; bit 15: only the extent's start is used
      2  2 di_clusterofs  where in the lcluster the extent starts
      4  4 blkaddr of a head; of others delta[0], delta[1]: lclusters back to their head, and ahead

    compact: packs of 2 in 8 bytes or of 16 in 32 bytes, from 8 bytes behind the inode on
      bit fields, low bits first: an offset or delta[0] (12 bits, or as many as a block needs), and
      2 bits of kind; at the end of the pack 4 bytes of block number, from which heads count on. The
      last NONHEAD of a pack has delta[1] instead.

    delta[0] with bit 11 set is the number of blocks of the pcluster, at the first NONHEAD of an
    extent; files without big pclusters have none, one block is what each of their extents takes.

    The first packs are of 2, up to where an offset divides by 32; then of 16, if the inode has the
    bit ``COMPACTED_2B``, as long as 16 are left; and of 2 again.

This module decodes; `extents` finds out what it means and checks that it makes sense.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.erofs.map_header import MAP_HEADER_SIZE, Advise
from sysgraft.formats.erofs.ondisk import Layout, round_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.erofs.map_header import MapHeader
    from sysgraft.formats.erofs.volume import Found, Volume

PLAIN: Final = 0
HEAD1: Final = 1
NONHEAD: Final = 2
HEAD2: Final = 3
"""Kinds of lclusters (``Z_EROFS_LCLUSTER_TYPE_*``)."""

BLOCK_COUNT: Final = 1 << 11
"""Bit of delta[0] that makes the rest a number of blocks (``Z_EROFS_LI_D0_CBLKCNT``)."""

UNTOLD: Final = -1
"""A distance to the head that the index has no room for."""

_KIND_MASK: Final = 3
_PARTIAL: Final = 1 << 15  # Z_EROFS_LI_PARTIAL_REF
_FULL: Final = struct.Struct("<HHI")
_FULL_GAP: Final = 16  # the map header and 8 bytes of padding
_WINDOW: Final = 512  # lclusters that are decoded together

_BLOCK_NUMBER: Final = 4
_MIN_OFFSET_BITS: Final = 12  # bit 11 has to fit
_MAX_BITS: Final = 14  # an offset and a kind fill the 16 bits of an entry in packs of 2
_MAX_BITS_2B: Final = 12  # likewise the 14 bits in packs of 16


class Lcluster(NamedTuple):
    """What the index says of one lcluster.

    Attributes:
        kind: one of the constants above.
        low: of a head, where in the lcluster it starts; of others, how many lclusters back their
            head is, a number of blocks with `BLOCK_COUNT`, or `UNTOLD`.
        block: of a head, where its data starts in the image.
        partial: of a head, whether the data decompresses to more than the extent.
    """

    kind: int
    low: int
    block: int = 0
    partial: bool = False


class Run(NamedTuple):
    """Packs of one size.

    Attributes:
        first: the lcluster they start with.
        length: their lclusters; the last pack may have room for more.
        offset: where they are in the image.
        per_pack: lclusters of a pack.
        pack_size: bytes of a pack.
    """

    first: int
    length: int
    offset: int
    per_pack: int
    pack_size: int

    @property
    def end(self) -> int:
        """Where the last pack ends."""
        return self.offset + -(-self.length // self.per_pack) * self.pack_size


class Lclusters:
    """The index of one inode, decoded as it is asked for.

    Args:
        volume: the image.
        found: the inode.
        header: its map header.

    Raises:
        UnsupportedError: the index cannot have blocks of this size.
        FormatError: the index is not inside the image.

    Attributes:
        count: lclusters of the file.
        end: where the index ends, and inline data starts.
    """

    __slots__ = ("_bits", "_is_big", "_runs", "_volume", "_windows", "count", "end")

    def __init__(self, volume: Volume, found: Found, header: MapHeader) -> None:
        self._volume = volume
        self._bits = volume.superblock.block_bits
        self._is_big = header.has(Advise.BIG_PCLUSTER_1)
        self.count = -(-found.disk.size >> self._bits)
        start = round_up(found.end, MAP_HEADER_SIZE)
        if found.disk.layout is Layout.COMPRESSED_FULL:
            self._runs = [Run(0, self.count, start + _FULL_GAP, 1, _FULL.size)]
        else:
            has_2b = header.has(Advise.COMPACTED_2B)
            self._check_compact(has_2b=has_2b)
            self._runs = compact_runs(start + MAP_HEADER_SIZE, self.count, has_2b=has_2b)
        self.end = self._runs[-1].end
        volume.check(start, self.end - start)
        # The last two that were used: an extent can go from one into the next.
        self._windows: list[tuple[int, list[Lcluster]]] = []

    def _check_compact(self, *, has_2b: bool) -> None:
        most = _MAX_BITS_2B if has_2b else _MAX_BITS
        if self._bits > most:
            raise UnsupportedError(f"a compact index for blocks of {1 << self._bits} bytes")

    def at(self, number: int) -> Lcluster:
        """What an lcluster holds.

        Raises:
            UnsupportedError: the index uses a feature that is not known.
            FormatError: it is not inside the image.
        """
        first, window = self._window(number)
        return window[number - first]

    def after(self, number: int) -> Iterator[Lcluster]:
        """What the lclusters behind one hold; raises as `at`."""
        number += 1
        while number < self.count:
            first, window = self._window(number)
            yield from window[number - first :]
            number = first + len(window)

    def _window(self, number: int) -> tuple[int, list[Lcluster]]:
        for first, window in self._windows:
            if first <= number < first + len(window):
                return first, window
        self._windows = [self._decode(number), *self._windows[:1]]
        return self._windows[0]

    def _decode(self, number: int) -> tuple[int, list[Lcluster]]:
        run = next(run for run in self._runs if number < run.first + run.length)
        # A window is whole packs of one run.
        skipped = (number - run.first) // _WINDOW * _WINDOW
        count = min(_WINDOW, run.length - skipped)
        packs = -(-count // run.per_pack)
        offset = run.offset + skipped // run.per_pack * run.pack_size
        data = self._volume.read(offset, packs * run.pack_size)
        decoded = _decode_full(data) if run.per_pack == 1 else self._decode_packs(data, run)
        return run.first + skipped, decoded[:count]

    def _decode_packs(self, data: bytes, run: Run) -> list[Lcluster]:
        offset_bits = max(self._bits, _MIN_OFFSET_BITS)
        decoded: list[Lcluster] = []
        for start in range(0, len(data), run.pack_size):
            pack = data[start : start + run.pack_size]
            decoded += _decode_pack(pack, run.per_pack, offset_bits, is_big=self._is_big)
        return decoded


def compact_runs(start: int, count: int, *, has_2b: bool) -> list[Run]:
    """The packs of a compact index of `count` lclusters that begins at `start`, without gaps."""
    first = min(count, -start % 32 // 4)
    second = (count - first) // 16 * 16 if has_2b else 0
    middle = start + first * 4
    runs = [
        Run(0, first, start, 2, 8),
        Run(first, second, middle, 16, 32),
        Run(first + second, count - first - second, middle + second * 2, 2, 8),
    ]
    return [run for run in runs if run.length]


def _decode_full(data: bytes) -> list[Lcluster]:
    decoded = []
    for advise, offset, union in _FULL.iter_unpack(data):
        if advise & ~(_KIND_MASK | _PARTIAL):
            raise UnsupportedError(f"unknown features of a compressed extent: {advise:#x}")
        if advise & _KIND_MASK == NONHEAD:
            decoded.append(Lcluster(NONHEAD, union & 0xFFFF))
        else:
            partial = bool(advise & _PARTIAL)
            decoded.append(Lcluster(advise & _KIND_MASK, offset, union, partial))
    return decoded


def _decode_pack(pack: bytes, count: int, offset_bits: int, *, is_big: bool) -> list[Lcluster]:
    """A pack; where a head's data starts depends on the blocks that those before it take."""
    width = (len(pack) - _BLOCK_NUMBER) * 8 // count
    block = int.from_bytes(pack[-_BLOCK_NUMBER:], "little") + (not is_big)
    fields = int.from_bytes(pack[:-_BLOCK_NUMBER], "little")
    decoded = []
    of_last = 0  # blocks of the last head
    for number in range(count):
        field = fields >> number * width
        low, kind = field & (1 << offset_bits) - 1, field >> offset_bits & _KIND_MASK
        if kind != NONHEAD:
            block += of_last
            of_last = 1
            decoded.append(Lcluster(kind, low, block & 0xFFFFFFFF))
            continue
        if low & BLOCK_COUNT:
            _refuse_unless_big(is_big=is_big)
            block += low & ~BLOCK_COUNT
            of_last = 0
        elif number == count - 1:
            low = UNTOLD
        decoded.append(Lcluster(NONHEAD, low))
    return decoded


def _refuse_unless_big(*, is_big: bool) -> None:
    if not is_big:
        raise FormatError("a number of blocks in a file without big clusters")
