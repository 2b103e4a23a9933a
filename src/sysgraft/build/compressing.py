"""Compress the contents of an image on all cores, each once.

Workers take extents, compress them, and put what got smaller into the spool; what did not is read
from its source again when the image is written. Every extent has its own place in the spool, the
one its content would have, so nobody waits for another and the order does not matter; room that
stays empty takes no space on the disk. Only the numbers of blocks come back.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final, cast

from sysgraft.base.blob import JoinedBlob, SubBlob
from sysgraft.formats.erofs.clusters import (
    EXTENT_SIZE,
    Clusters,
    blocks_of,
    extent_count,
    extent_length,
    is_worth_it,
    pad,
    stored_blocks,
)
from sysgraft.formats.erofs.ondisk import BLOCK_SIZE
from sysgraft.host.parallel import MAX_SHARDS, Crew, cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.erofs.compressor import Codec
    from sysgraft.host.spool import Spool

# Below this many bytes, starting workers takes longer than the work: lz4hc takes 20 ms for them.
_WORTH_WORKERS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Packer:
    """Compresses contents into a spool.

    Attributes:
        codec: the compressor.
        spool: where the pclusters stay until the image is written.
        progress: told about every byte of content.
    """

    codec: Codec
    spool: Spool
    progress: Progress

    def __call__(self, contents: Mapping[int, Blob]) -> dict[int, Clusters]:
        """Those contents that get smaller, by the numbers they have.

        Raises:
            InputError: a content cannot be read, or changed.
            OutputError: the spool takes no more.
        """
        blobs = list(contents.values())
        job = _Job(blobs, self.codec, self.spool)
        blocks = self._run(job)
        return {
            number: clusters
            for index, number in enumerate(contents)
            if (clusters := job.clusters(index, blocks)) is not None
        }

    def _run(self, job: _Job) -> bytes:
        """The blocks of every extent's pcluster, in order, 0 where it is not compressed."""
        results: dict[int, bytes] = {}
        self.progress.start("compressing", job.total)
        workers = cores() if job.total >= _WORTH_WORKERS else 1
        with Crew(job, job.shards, workers=workers) as crew:
            for shard, result in crew:
                results[shard] = cast("bytes", result)
                self.progress.advance(job.size_of(shard))
        self.progress.finish()
        return b"".join(results[shard] for shard in range(job.shards))


class _Job:
    """All extents of all contents, cut into shards; called with the number of a shard."""

    def __init__(self, contents: Sequence[Blob], codec: Codec, spool: Spool) -> None:
        self._contents = contents
        self._codec = codec
        counts = (extent_count(content.size) for content in contents)
        self._firsts = list(accumulate(counts, initial=0))
        self.total = sum(content.size for content in contents)
        self._step = max(1, -(-self._firsts[-1] // MAX_SHARDS))
        self.shards = -(-self._firsts[-1] // self._step)
        self._room = spool.reserve(self._firsts[-1] * EXTENT_SIZE)

    def size_of(self, shard: int) -> int:
        """Bytes of content in a shard."""
        return sum(length for *_, length in self._extents(shard))

    def __call__(self, shard: int) -> bytes:
        """Compress a shard: the blocks of each of its extents' pclusters."""
        compress = self._codec.compressor()
        buffer = memoryview(bytearray(EXTENT_SIZE))
        blocks = bytearray()
        for extent, content, offset, length in self._extents(shard):
            view = buffer[:length]
            content.readinto_at(offset, view)
            packed = compress(view)
            count = blocks_of(len(packed))
            if count < blocks_of(length):
                self._room.write(extent * EXTENT_SIZE, pad(packed))
                blocks.append(count)
            else:
                blocks.append(0)
        return bytes(blocks)

    def _extents(self, shard: int) -> Iterator[tuple[int, Blob, int, int]]:
        """Number, content, offset in it and length of each extent in a shard."""
        first = shard * self._step
        index = bisect_right(self._firsts, first) - 1
        for extent in range(first, min(first + self._step, self._firsts[-1])):
            while extent >= self._firsts[index + 1]:
                index += 1
            content, number = self._contents[index], extent - self._firsts[index]
            yield extent, content, number * EXTENT_SIZE, extent_length(content.size, number)

    def clusters(self, index: int, blocks: bytes) -> Clusters | None:
        """A content as it is stored, None if it does not get smaller."""
        content = self._contents[index]
        first, end = self._firsts[index : index + 2]
        own = blocks[first:end]
        count = stored_blocks(content.size, own)
        if not any(own) or not is_worth_it(content.size, count):
            return None
        data = JoinedBlob(list(self._parts(content, first, own)))
        return Clusters(content.size, own, data, count)

    def _parts(self, content: Blob, first: int, blocks: bytes) -> Iterator[Blob]:
        """The pclusters of a content, from the spool or as they are."""
        for number, count in enumerate(blocks):
            if count:
                yield SubBlob(self._room, (first + number) * EXTENT_SIZE, count * BLOCK_SIZE)
            else:
                length = extent_length(content.size, number)
                yield SubBlob(content, number * EXTENT_SIZE, length)
