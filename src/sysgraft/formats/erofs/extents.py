"""The extents of a compressed EROFS inode: which bytes of the file come from where.

What `lclusters` decodes is held to the rules Linux relies on when it goes from one lcluster to the
next, so that both find the same extents: the first lcluster is a head, every other one leads back
to its own head, and where the number of blocks has to be, it is. Only what is asked for is looked
at: an extent is at most 12 MiB long.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.erofs.compression import MAX_EXTENT, MAX_PCLUSTER
from sysgraft.formats.erofs.lclusters import (
    BLOCK_COUNT,
    HEAD1,
    HEAD2,
    NONHEAD,
    PLAIN,
    UNTOLD,
    Lclusters,
)
from sysgraft.formats.erofs.map_header import MAP_HEADER_SIZE, Advise, decode_map_header
from sysgraft.formats.erofs.ondisk import Algorithm, Layout, round_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.erofs.lclusters import Lcluster
    from sysgraft.formats.erofs.volume import Found, Volume

# What mkfs.erofs writes for longer ways back to the head: one more would be a number of blocks.
_FAR: Final = BLOCK_COUNT - 1


class Stored(NamedTuple):
    """Bytes of the image that a part of a file is made from.

    Attributes:
        address: where they are.
        size: how many.
        algorithm: what decompresses them; None for those that are as they are.
        length: bytes they give.
        partial: whether they would give more.
        turned: of those that are as they are, the bytes at the end that come first.
    """

    address: int
    size: int
    algorithm: Algorithm | None
    length: int
    partial: bool = False
    turned: int = 0


class Extent(NamedTuple):
    """Consecutive bytes of a file.

    Attributes:
        start: the first.
        end: behind the last.
        stored: what they are made from; None where they are in the packed file.
        fragment: where they are in the packed file.
    """

    start: int
    end: int
    stored: Stored | None
    fragment: int = 0


class Extents:
    """The extents of a compressed inode that is not empty; nothing is decompressed.

    Raises:
        UnsupportedError: a feature that is not known.
        FormatError: the index is not inside the image.
    """

    def __init__(self, volume: Volume, found: Found) -> None:
        self._volume = volume
        self._size = found.disk.size
        self._bits = volume.superblock.block_bits
        self._is_full = found.disk.layout is Layout.COMPRESSED_FULL
        self._start_of_index = round_up(found.end, MAP_HEADER_SIZE) + MAP_HEADER_SIZE
        head = volume.read(self._start_of_index - MAP_HEADER_SIZE, MAP_HEADER_SIZE)
        self._header = decode_map_header(head, compact=not self._is_full)
        self._check_header()
        self._lclusters: Lclusters | None = None
        if not self._header.is_fragment:
            self._lclusters = Lclusters(volume, found, self._header)

    def _check_header(self) -> None:
        header = self._header
        is_big = header.has(Advise.BIG_PCLUSTER_1) or header.has(Advise.BIG_PCLUSTER_2)
        if is_big and not self._volume.compression.big:
            raise FormatError("it has big clusters, which the superblock knows nothing of")

    @property
    def count(self) -> int:
        """Lclusters in the index; no file has more extents."""
        return 1 if self._lclusters is None else self._lclusters.count

    @property
    def index_end(self) -> int:
        """Where in the image the index ends."""
        return self._start_of_index if self._lclusters is None else self._lclusters.end

    def __iter__(self) -> Iterator[Extent]:
        offset = 0
        while offset < self._size:
            extent = self.at(offset)
            yield extent
            offset = extent.end

    def at(self, offset: int) -> Extent:
        """The extent that holds the byte at `offset`, which is inside the file.

        Raises:
            LimitError: it is longer than extents may be.
            FormatError: the index breaks the format's rules.
        """
        if self._lclusters is None:
            return Extent(0, self._size, None, self._header.fragment_offset)
        number = offset >> self._bits
        found = self._lclusters.at(number)
        if found.kind == NONHEAD or offset - (number << self._bits) < found.low:
            number = self._head_before(self._lclusters, number)
        return self._extent(self._lclusters, number)

    def _head_before(self, lclusters: Lclusters, number: int) -> int:
        last = max(0, number - (MAX_EXTENT >> self._bits) - 1)
        for head in range(number - 1, last - 1, -1):
            if lclusters.at(head).kind != NONHEAD:
                return head
        if last:
            raise LimitError(f"an extent of more than {MAX_EXTENT} bytes")
        raise FormatError("the index of its data does not begin with an extent")

    def _extent(self, lclusters: Lclusters, number: int) -> Extent:
        head = lclusters.at(number)
        start = self._start(number, head)
        end = self._end(lclusters, number)
        if not start < end <= start + MAX_EXTENT:
            raise LimitError(f"an extent of {end - start} bytes")
        if number == self._tail_head:
            if self._header.has(Advise.FRAGMENT_PCLUSTER):
                offset = self._header.fragment_offset
                return Extent(start, end, None, offset | (head.block << 32) * self._is_full)
            if self._header.inline_size:
                return Extent(start, end, self._inline(lclusters, head, end - start))
        blocks = self._blocks(lclusters, number, head)
        return Extent(start, end, self._outside(head, start, end - start, blocks))

    def _start(self, number: int, head: Lcluster) -> int:
        if head.low >= 1 << self._bits or (head.low and not number):
            raise FormatError(f"an extent starts at byte {head.low} of lcluster {number}")
        return (number << self._bits) + head.low

    def _end(self, lclusters: Lclusters, head: int) -> int:
        """Where the extent ends that starts in an lcluster: at the next head, or with the file."""
        most = (MAX_EXTENT >> self._bits) + 1
        for distance, found in enumerate(lclusters.after(head), start=1):
            if found.kind != NONHEAD:
                return min(self._start(head + distance, found), self._size)
            if distance > most:
                raise LimitError(f"an extent of more than {MAX_EXTENT} bytes")
            if not _leads_back(found.low, distance):
                raise FormatError(f"lcluster {head + distance} does not lead back to its start")
        return self._size

    @cached_property
    def _tail_head(self) -> int:
        """The lcluster in which the file's last extent starts, if that is a special one."""
        if self._lclusters is None:
            return -1
        if not (self._header.inline_size or self._header.has(Advise.FRAGMENT_PCLUSTER)):
            return -1
        last = self._lclusters.count - 1
        found = self._lclusters.at(last)
        if found.kind != NONHEAD and self._start(last, found) < self._size:
            return last
        return self._head_before(self._lclusters, last)

    def _inline(self, lclusters: Lclusters, head: Lcluster, length: int) -> Stored:
        size = self._header.inline_size
        if lclusters.end % (1 << self._bits) + size > 1 << self._bits:
            raise FormatError("its inline data crosses into another block")
        return self._stored(lclusters.end, size, head, length)

    def _outside(self, head: Lcluster, start: int, length: int, blocks: int) -> Stored:
        address, size = head.block << self._bits, blocks << self._bits
        stored = self._stored(address, size, head, length)
        if head.kind != PLAIN or not self._header.has(Advise.INTERLACED_PCLUSTER):
            return stored
        # Up to the next block of the file the bytes stand at the end.
        return stored._replace(turned=(1 << self._bits) - start % (1 << self._bits))

    def _stored(self, address: int, size: int, head: Lcluster, length: int) -> Stored:
        self._volume.check(address, size)
        if head.kind == PLAIN:
            if length > size:
                raise FormatError(f"{length} bytes are in {size} that are not compressed")
            return Stored(address, size, None, length)
        algorithm = self._header.algorithms[head.kind == HEAD2]
        if algorithm not in self._volume.compression.algorithms:
            raise FormatError(f"{algorithm.name}, which the superblock does not name, is used")
        return Stored(address, size, algorithm, length, head.partial)

    def _blocks(self, lclusters: Lclusters, number: int, head: Lcluster) -> int:
        """How many blocks the data of an extent takes."""
        bit = Advise.BIG_PCLUSTER_1 if head.kind == HEAD1 else Advise.BIG_PCLUSTER_2
        is_last = number + 1 == lclusters.count
        follower = head if is_last else lclusters.at(number + 1)
        if follower.kind != NONHEAD:
            return 1
        count = follower.low & ~BLOCK_COUNT if _is_count(follower.low) else 0
        if not self._header.has(bit):
            if count:
                raise FormatError("a number of blocks for an extent that takes one")
            return 1
        if not 0 < count << self._bits <= MAX_PCLUSTER:
            raise FormatError(f"{count} blocks of compressed data in lcluster {number + 1}")
        return count


def _is_count(low: int) -> bool:
    return low != UNTOLD and bool(low & BLOCK_COUNT)


def _leads_back(low: int, distance: int) -> bool:
    """Whether a NONHEAD that is `distance` behind its head says so, or need not."""
    if _is_count(low):
        return distance == 1
    return low in (UNTOLD, min(distance, _FAR))
