"""Which file of an EROFS image a byte belongs to.

Meant for images that are damaged: whatever can still be read is looked at, the rest is left out.
Padding behind data counts as its owner's, up to the end of the block; compressed data belongs to
whoever has any of what it decompresses to, tails of files in the packed file included. Nothing is
kept but what is asked for: a small image can describe far more ranges than memory holds.
"""

from __future__ import annotations

import stat
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.erofs.compressed import PACKED, packed_inode
from sysgraft.formats.erofs.data import ChunkedData, flat_ranges
from sysgraft.formats.erofs.extents import Extents
from sysgraft.formats.erofs.limits import Budget
from sysgraft.formats.erofs.ondisk import SUPER_OFFSET, SUPER_SIZE, Layout, round_up
from sysgraft.formats.erofs.walk import walk

if TYPE_CHECKING:
    from sysgraft.formats.erofs.extents import Extent
    from sysgraft.formats.erofs.volume import Found, Volume
    from sysgraft.formats.erofs.walk import Visit


def find_owners(volume: Volume, offset: int, length: int) -> tuple[str, ...]:
    """What the bytes ``[offset, offset + length)`` belong to, in order, without repeats.

    Goes through the whole tree. A file with several names is told by one of them.
    """
    search = _Search(volume, offset, min(offset + length, volume.blob.size))
    # The root may be unreadable, or a limit be reached: what is known so far has to do.
    with suppress(FormatError):
        search.run()
    return search.owners()


class _Search:
    """Finds who has any of the bytes ``[start, end)``."""

    __slots__ = ("_budget", "_end", "_found", "_packed", "_seen", "_start", "_volume")

    def __init__(self, volume: Volume, start: int, end: int) -> None:
        self._volume = volume
        self._start = start
        self._end = end
        self._budget = Budget()
        self._seen: set[int] = set()
        self._found: set[tuple[int, str]] = set()
        # Parts of the packed file that come from the bytes, ascending: where they start and end.
        self._packed: tuple[list[int], list[int]] = [], []

    def owners(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(owner for _, owner in sorted(self._found)))

    def run(self) -> None:
        self._add(SUPER_OFFSET, SUPER_OFFSET + SUPER_SIZE, "superblock")
        with suppress(FormatError):
            self._look_at_packed_file()
        for visit in walk(self._volume, self._budget, on_error=lambda _path, _error: None):
            # Links to one inode would have its chunks looked at again for each.
            if visit.found.nid not in self._seen:
                self._seen.add(visit.found.nid)
                self._add_inode(visit)

    def _add(self, start: int, end: int, owner: str) -> None:
        if start < self._end and end > self._start:
            self._found.add((start, owner))

    def _add_inode(self, visit: Visit) -> None:
        found = visit.found
        path = printable(visit.path) or "/"
        self._add(found.offset, found.end, f"metadata of {path}")
        disk = found.disk
        has_data = stat.S_IFMT(disk.mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
        if not disk.size or not has_data:
            return
        owner = f"directory {path}" if visit.is_dir else path
        if disk.layout.is_compressed:
            self._add_compressed(found, owner, path)
        elif disk.layout is Layout.CHUNK_BASED:
            self._add_chunks(found, owner)
        else:
            self._add_flat(found, owner)

    def _add_flat(self, found: Found, owner: str) -> None:
        with suppress(FormatError):
            for start, length in flat_ranges(self._volume, found):
                end = start + length
                if start != found.end:  # no inline data: padding up to the next block
                    end = round_up(end, self._volume.superblock.block_size)
                self._add(start, end, owner)

    def _add_chunks(self, found: Found, owner: str) -> None:
        try:
            data = ChunkedData(self._volume, found)
        except FormatError:
            return
        self._budget.spend_chunks(data.chunk_count)
        if self._start >= self._end:
            return
        bits = self._volume.superblock.block_bits
        block = data.first_block_in(self._start >> bits, (self._end - 1) >> bits)
        if block is not None:
            self._found.add((block << bits, owner))

    def _look_at_packed_file(self) -> None:
        """Find out which parts of it come from the bytes that are asked for."""
        found = packed_inode(self._volume)
        if found is None:
            return
        self._add(found.offset, found.end, f"metadata of {PACKED}")
        if found.disk.layout.is_compressed:
            for extent in self._extents(found, PACKED):
                data = extent.stored
                if data and data.address < self._end and data.address + data.size > self._start:
                    self._add_packed(extent.start, extent.end)
        elif found.disk.layout is not Layout.CHUNK_BASED:
            at = 0
            for start, length in flat_ranges(self._volume, found):
                first, last = max(start, self._start), min(start + length, self._end)
                if first < last:
                    self._add_packed(at + first - start, at + last - start)
                at += length

    def _add_packed(self, start: int, end: int) -> None:
        self._packed[0].append(start)
        self._packed[1].append(end)

    def _extents(self, found: Found, path: str) -> Extents:
        extents = Extents(self._volume, found)
        self._add(found.end, extents.index_end, f"metadata of {path}")
        self._budget.spend_chunks(extents.count)
        return extents

    def _add_compressed(self, found: Found, owner: str, path: str) -> None:
        try:
            extents = self._extents(found, path)
        except LimitError:
            raise
        except FormatError:
            return
        with suppress(FormatError):
            for extent in extents:
                if extent.stored is not None:
                    end = extent.stored.address + extent.stored.size
                    self._add(extent.stored.address, end, owner)
                else:
                    self._add_fragment(extent, owner)

    def _add_fragment(self, extent: Extent, owner: str) -> None:
        starts, ends = self._packed
        before_end = bisect_left(starts, extent.fragment + extent.end - extent.start)
        if before_end and ends[before_end - 1] > extent.fragment:
            self._found.add((self._start, owner))
