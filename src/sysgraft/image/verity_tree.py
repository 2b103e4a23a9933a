"""Whether the data of an image is what its root hash stands for: every block, on all cores.

The stored tree is checked from the root hash down to the digests of the data; workers then hash
the data and compare with those. The first bad block is named with its partition and offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base.blob import SubBlob
from sysgraft.errors import FormatError
from sysgraft.formats import verity, verity_tree
from sysgraft.host.parallel import BUFFER, Crew, share_out

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.verity import Superblock


class Damage(NamedTuple):
    """The first place where an image is not what was signed.

    Attributes:
        partition: "data" or "hash".
        offset: in bytes from the start of that partition.
        length: of the bad block in bytes.
        what: a clause that says what is wrong.
    """

    partition: str
    offset: int
    length: int
    what: str


def read_superblock(data: Blob, hashes: Blob) -> Superblock:
    """The superblock of the hash partition, held against the sizes of both partitions.

    Raises:
        FormatError: no valid superblock, or one that does not fit.
    """
    superblock = verity.parse_superblock(hashes)
    if superblock.data_size > data.size:
        raise FormatError(
            f"the dm-verity tree is for {superblock.data_size} bytes of data, "
            f"the partition has {data.size}",
        )
    if superblock.levels.size > hashes.size:
        raise FormatError(
            f"the dm-verity tree needs {superblock.levels.size} bytes, "
            f"the partition has {hashes.size}",
        )
    return superblock


class HashesCheck:
    """A check of the hash tree alone: whoever reads data through it notices what is not signed.

    Args:
        hashes: the hash partition.
        superblock: from `read_superblock`.
    """

    def __init__(self, hashes: Blob, superblock: Superblock) -> None:
        self._hashes = hashes
        self._superblock = superblock

    def damage(self, root_hash: bytes) -> Damage | None:
        """The first bad block of the tree, None where it matches `root_hash`."""
        bad = verity_tree.check_upper_levels(self._hashes, self._superblock, root_hash)
        if bad is None:
            return None
        what = f"block {bad.block} of the hash tree's level {bad.level} {bad.reason}"
        return Damage("hash", bad.offset, self._superblock.hash_block_size, what)


class TreeCheck:
    """A running check; the workers start on entering, the answer comes from `damage`.

    Args:
        data: the data partition.
        hashes: the hash partition.
        superblock: from `read_superblock`.
        progress: told about every byte of data.
    """

    def __init__(
        self,
        data: Blob,
        hashes: Blob,
        superblock: Superblock,
        *,
        progress: Progress,
    ) -> None:
        self._data = data
        self._hashes = hashes
        self._superblock = superblock
        self._progress = progress
        shares = share_out(superblock.data_size, unit=superblock.data_block_size)
        self._step = shares.step
        self._crew = Crew(self._compare, shares.shards, workers=shares.workers)

    def __enter__(self) -> Self:
        self._crew.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._crew.__exit__(kind, error, trace)

    def damage(self, root_hash: bytes) -> Damage | None:
        """The first bad block, None where everything matches `root_hash`."""
        bad = HashesCheck(self._hashes, self._superblock).damage(root_hash)
        if bad is not None:
            return bad
        if self._superblock.levels.level0 is None:
            return self._single(root_hash)
        first = self._first_bad_block()
        if first is None:
            return None
        size = self._superblock.data_block_size
        return Damage("data", first * size, size, f"block {first} does not match its digest")

    def _first_bad_block(self) -> int | None:
        self._progress.start("verifying", self._superblock.data_size)
        found = []
        for _, block in self._crew:
            self._progress.advance(self._step)
            if isinstance(block, int):
                found.append(block)
        self._progress.finish()
        return min(found, default=None)

    def _single(self, root_hash: bytes) -> Damage | None:
        """A tree over one block is empty: its digest is the root hash."""
        size = self._superblock.data_block_size
        if self._hash(memoryview(self._data.read_at(0, size))) == root_hash:
            return None
        return Damage("data", 0, size, "its only block does not match the root hash")

    def _compare(self, shard: int) -> int | None:
        """The first block of a shard that differs from level 0; runs in a worker."""
        bottom = self._superblock.levels.level0
        if bottom is None:
            return None
        size, digest = self._superblock.data_block_size, self._superblock.digest_size
        stored = SubBlob(self._hashes, bottom.offset, bottom.digests * digest)
        end = min((shard + 1) * self._step, self._superblock.data_size)
        buffer = memoryview(bytearray(min(BUFFER, end)))
        for offset in range(shard * self._step, end, BUFFER):
            view = buffer[: min(BUFFER, end - offset)]
            self._data.readinto_at(offset, view)
            digests = self._hash(view)
            wanted = stored.read_at(offset // size * digest, len(digests))
            bad = verity_tree.first_difference(digests, wanted, digest)
            if bad is not None:
                return offset // size + bad
        return None

    def _hash(self, view: memoryview) -> bytes:
        return verity.hash_blocks(
            view,
            salt=self._superblock.salt,
            block_size=self._superblock.data_block_size,
            algorithm=self._superblock.algorithm,
            hash_type=self._superblock.hash_type,
        )
