"""The file allocation table: which clusters belong together.

Microsoft FAT: General Overview of On-Disk Format 1.03, "FAT Data Structure". A chain becomes runs
of clusters that lie behind one another, so that a large file costs little memory, and of the table
only a few pieces are kept. Whether two files share clusters is not looked at.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from itertools import islice
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import check_range, collect
from sysgraft.errors import FormatError, LimitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.fat_boot import Geometry

MAX_RUNS: Final = 1 << 18
"""Runs of one file: 1 GiB in single clusters of 4 KiB. They take 2 MiB of memory."""

_MAX_FILE: Final = 1 << 32
# Entries read at once. FAT12 has fewer; as three bytes hold two, its table is read whole.
_PIECE: Final = 1 << 14
_KEPT_PIECES: Final = 8
# In 32 bits, the upper 4 are reserved.
_MASK: Final = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFF_FFFF}
# From the mask: the last 8 numbers end a chain, the one before marks a bad cluster.
_END: Final = 7
_BAD: Final = 8


class Table:
    """The allocation table of a volume that is in use."""

    __slots__ = ("_blob", "_geometry", "_mask", "_pieces")

    def __init__(self, blob: Blob, geometry: Geometry) -> None:
        self._blob = blob
        self._geometry = geometry
        self._mask = _MASK[geometry.bits]
        self._pieces: dict[int, array[int]] = {}

    def chain(self, first: int) -> Iterator[int]:
        """The clusters that begin with `first`; endless if they go in a circle.

        Raises:
            FormatError: one of them is not a cluster that holds data.
        """
        cluster = first
        while True:
            if not 2 <= cluster < self._geometry.cluster_limit:
                raise FormatError(f"a chain of clusters leads to {self._describe(cluster)}")
            yield cluster
            cluster = self._entry(cluster)
            if cluster >= self._mask - _END:
                return

    def _describe(self, cluster: int) -> str:
        if cluster == self._mask - _BAD:
            return "a bad cluster"
        return f"cluster {cluster}" if cluster else "a free cluster"

    def _entry(self, cluster: int) -> int:
        number, place = divmod(cluster, _PIECE)
        piece = self._pieces.get(number)
        if piece is None:
            piece = self._read(number)
            if len(self._pieces) == _KEPT_PIECES:
                del self._pieces[next(iter(self._pieces))]
            self._pieces[number] = piece
        return piece[place] & self._mask

    def _read(self, number: int) -> array[int]:
        geometry = self._geometry
        if geometry.bits == 12:
            size = -(-geometry.cluster_limit * 3 // 2)
            return _unpack12(self._blob.read_at(geometry.fat_offset, size))
        width = geometry.bits // 8
        start = number * _PIECE * width
        size = min(_PIECE * width, geometry.cluster_limit * width - start)
        entries = array("H" if width == 2 else "I")
        entries.frombytes(self._blob.read_at(geometry.fat_offset + start, size))
        if sys.byteorder == "big":
            entries.byteswap()
        return entries

    def content(self, first: int, size: int) -> Blob:
        """The `size` bytes of the file whose first cluster is `first`.

        Raises:
            FormatError: the chain is too short, goes in a circle or leaves the volume.
            LimitError: it has more than `MAX_RUNS` runs.
        """
        count = -(-size // self._geometry.cluster_size)
        starts, positions = array("I"), array("I")
        position, behind = 0, 0
        # To the very end, past what the size needs: a chain that ends is none that repeats itself.
        for cluster in islice(self.chain(first), self._longest + 1):
            if cluster != behind and position < count:
                if len(starts) == MAX_RUNS:
                    raise LimitError(f"a file in more than {MAX_RUNS} pieces")
                starts.append(cluster)
                positions.append(position)
            behind = cluster + 1
            position += 1
        if position > self._longest:
            raise FormatError("a chain of clusters has no end")
        if position < count:
            raise FormatError(f"a file of {size} bytes has only {position} clusters")
        return Runs(self._blob, self._geometry, starts, positions, size)

    @property
    def _longest(self) -> int:
        """Clusters of the largest file that can be: of 4 GiB, or of the whole volume."""
        geometry = self._geometry
        return min(geometry.cluster_limit, _MAX_FILE // geometry.cluster_size)


def _unpack12(data: bytes) -> array[int]:
    """Three bytes hold two entries, the lower one first."""
    whole = data + bytes(-len(data) % 3)
    entries = array("H")
    for low, middle, high in zip(whole[::3], whole[1::3], whole[2::3], strict=True):
        entries.append(low | (middle & 0x0F) << 8)
        entries.append(middle >> 4 | high << 4)
    return entries


class Runs:
    """A file's content.

    Args:
        blob: the volume.
        geometry: where its clusters are.
        starts: the first cluster of each run.
        positions: for each run, the clusters of the file that come before it.
        size: the file's bytes.
    """

    __slots__ = ("_blob", "_geometry", "_positions", "_size", "_starts")

    def __init__(
        self, blob: Blob, geometry: Geometry, starts: array[int], positions: array[int], size: int
    ) -> None:
        self._blob = blob
        self._geometry = geometry
        self._starts = starts
        self._positions = positions
        self._size = size

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        cluster_size = self._geometry.cluster_size
        run = bisect_right(self._positions, offset // cluster_size) - 1
        while len(view):
            within = offset - self._positions[run] * cluster_size
            start = self._geometry.data_offset + (self._starts[run] - 2) * cluster_size
            count = min(len(view), self._end(run) - offset)
            self._blob.readinto_at(start + within, view[:count])
            view = view[count:]
            offset += count
            run += 1

    def _end(self, run: int) -> int:
        """The byte of the file behind a run."""
        if run + 1 == len(self._positions):
            return self._size
        return self._positions[run + 1] * self._geometry.cluster_size
