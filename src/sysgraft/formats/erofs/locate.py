"""Which file of an EROFS image a byte belongs to.

Meant for images that are damaged: whatever can still be read is indexed, the rest is left out.
Padding behind data counts as its owner's, up to the end of the block.
"""

from __future__ import annotations

import stat
from bisect import bisect_left
from contextlib import suppress
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.erofs.data import ChunkedData, flat_ranges
from sysgraft.formats.erofs.limits import Budget
from sysgraft.formats.erofs.ondisk import SUPER_OFFSET, SUPER_SIZE, Layout, round_up
from sysgraft.formats.erofs.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.formats.erofs.volume import Found, Volume
    from sysgraft.formats.erofs.walk import Visit


class _Range(NamedTuple):
    """Bytes ``[start, end)`` of the image and what they belong to."""

    start: int
    end: int
    owner: str


class Locator:
    """An index of an image's bytes, made once."""

    __slots__ = ("_ranges", "_reach", "_starts")

    def __init__(self, volume: Volume) -> None:
        ranges: list[_Range] = []
        # The root may be unreadable, or a limit be reached: what is known so far has to do.
        with suppress(FormatError):
            for item in _all_ranges(volume):
                ranges.append(item)  # noqa: PERF402 - extend() would lose those before an error
        self._ranges = sorted(ranges)
        self._starts = [item.start for item in self._ranges]
        # Ranges may overlap: how far any of the ranges up to here reaches.
        self._reach = list(accumulate((item.end for item in self._ranges), max))

    def owners(self, offset: int, length: int) -> tuple[str, ...]:
        """What the bytes ``[offset, offset + length)`` belong to, in order, without repeats."""
        found: list[str] = []
        index = bisect_left(self._starts, offset + length) - 1
        while index >= 0 and self._reach[index] > offset:
            if self._ranges[index].end > offset:
                found.append(self._ranges[index].owner)
            index -= 1
        return tuple(dict.fromkeys(reversed(found)))


def _all_ranges(volume: Volume) -> Iterator[_Range]:
    yield _Range(SUPER_OFFSET, SUPER_OFFSET + SUPER_SIZE, "superblock")
    budget = Budget()
    for visit in walk(volume, budget, on_error=lambda _path, _error: None):
        yield from _ranges(volume, visit, budget)


def _ranges(volume: Volume, visit: Visit, budget: Budget) -> Iterator[_Range]:
    found = visit.found
    path = printable(visit.path) or "/"
    yield _Range(found.offset, found.end, f"metadata of {path}")
    owner = f"directory {path}" if visit.is_dir else path
    block_size = volume.superblock.block_size
    try:
        for start, length in _data_ranges(volume, found, budget):
            inline = start == found.end
            end = start + length
            yield _Range(start, end if inline else round_up(end, block_size), owner)
    except LimitError:
        raise
    except FormatError:
        return


def _data_ranges(volume: Volume, found: Found, budget: Budget) -> Iterable[tuple[int, int]]:
    disk = found.disk
    has_data = stat.S_IFMT(disk.mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    if not disk.size or not has_data or disk.layout.is_compressed:
        return ()
    if disk.layout is Layout.CHUNK_BASED:
        data = ChunkedData(volume, found)
        budget.spend_chunks(data.chunk_count)
        return data.ranges()
    return flat_ranges(volume, found)
