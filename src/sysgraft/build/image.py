"""Write an extension image: file system, hash tree, signature and partition table in one pass.

Each block is produced, hashed and written once, by whichever worker has time; workers put the
digests straight into their place in the tree. What remains for the caller is the small rest:
the upper levels, the signature over the root hash, and the table that bears its halves as
partition UUIDs. Layout and identifiers are systemd-repart's (``--make-ddi``, version 262).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from sysgraft.base import ids
from sysgraft.base.blob import BytesBlob, FileBlob, SubBlob
from sysgraft.build.geometry import GRAIN, SECTOR, SIGNATURE_SIZE, Geometry
from sysgraft.errors import FormatError
from sysgraft.formats import gpt, partition_types, verity, verity_tree
from sysgraft.host.files import pwrite_all
from sysgraft.host.parallel import BUFFER, Crew, share_out
from sysgraft.image import dissect

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.erofs.writer import Image

    Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        root_hash: of the data partition.
        geometry: where everything is.
        salt: dm-verity's.
        disk_uuid: the GPT's.
    """

    root_hash: bytes
    geometry: Geometry
    salt: bytes
    disk_uuid: UUID


def write_image(
    file: IO[bytes],
    content: Image,
    *,
    seed: UUID,
    architecture: str,
    sign: Sign | None,
    progress: Progress,
) -> Written:
    """Write the whole image into an empty file.

    Args:
        file: open for reading and writing, with a file descriptor.
        content: the planned file system.
        seed: what all identifiers derive from.
        architecture: systemd's name of it.
        sign: makes the content of the signature partition (16384 bytes) from the root hash; None
            for an image without one.
        progress: told about every byte of data.

    Raises:
        FormatError: the content would make other tools take the image for something else.
    """
    superblock = verity.Superblock(
        uuid=ids.verity_uuid(seed),
        data_blocks=content.block_count,
        salt=ids.verity_salt(seed),
    )
    geometry = Geometry(
        data_size=superblock.data_size,
        hash_size=superblock.levels.size,
        signature_size=SIGNATURE_SIZE if sign else 0,
    )
    file.truncate(geometry.disk_size)
    level0 = _write_data(file, content, superblock, geometry, progress=progress)
    upper, root_hash = verity_tree.upper_levels(superblock, level0)
    head = bytes(superblock).ljust(GRAIN, b"\0") + upper
    pwrite_all(file.fileno(), geometry.hash_offset, head)
    if sign:
        pwrite_all(file.fileno(), geometry.signature_offset, sign(root_hash))
    _write_table(file, geometry, seed=seed, architecture=architecture, root_hash=root_hash)
    _refuse_ambiguous(file)
    return Written(root_hash, geometry, superblock.salt, ids.disk_uuid(seed))


def _write_data(
    file: IO[bytes],
    content: Image,
    superblock: verity.Superblock,
    geometry: Geometry,
    *,
    progress: Progress,
) -> Blob:
    """Write the data partition and level 0 of its tree; the latter, as it is on disk."""
    bottom = superblock.levels.level0
    shares = share_out(geometry.data_size)
    worker = _Worker(
        fd=file.fileno(),
        content=content,
        salt=superblock.salt,
        data_offset=geometry.data_offset,
        digest_offset=geometry.hash_offset + (bottom.offset if bottom else 0),
        step=shares.step,
    )
    progress.start("writing", geometry.data_size)
    with Crew(worker, shares.shards, workers=shares.workers) as crew:
        for _ in crew:
            progress.advance(shares.step)
    progress.finish()
    size = bottom.blocks * GRAIN if bottom else superblock.digest_size
    stored = SubBlob(FileBlob(file), worker.digest_offset, size)
    return stored if bottom else BytesBlob(stored.read_at(0, size))


class _Worker:
    """Fills, hashes and writes one shard of the data partition."""

    def __init__(
        self,
        *,
        fd: int,
        content: Image,
        salt: bytes,
        data_offset: int,
        digest_offset: int,
        step: int,
    ) -> None:
        self._fd = fd
        self._content = content
        self._salt = salt
        self._data_offset = data_offset
        self.digest_offset = digest_offset
        self._step = step

    def __call__(self, shard: int) -> None:
        start = shard * self._step
        end = min(start + self._step, self._content.block_count * GRAIN)
        buffer = memoryview(bytearray(min(BUFFER, end - start)))
        digests = []
        for offset in range(start, end, BUFFER):
            view = buffer[: min(BUFFER, end - offset)]
            self._content.fill(offset // GRAIN, view)
            digests.append(verity.hash_blocks(view, salt=self._salt))
            pwrite_all(self._fd, self._data_offset + offset, view)
        at = self.digest_offset + start // GRAIN * _DIGEST
        pwrite_all(self._fd, at, b"".join(digests))


_DIGEST: Final = 32


def _write_table(
    file: IO[bytes],
    geometry: Geometry,
    *,
    seed: UUID,
    architecture: str,
    root_hash: bytes,
) -> None:
    parts = [
        ("root", geometry.data_offset, geometry.data_size, ids.data_uuid(root_hash)),
        ("root-verity", geometry.hash_offset, geometry.hash_size, ids.hash_uuid(root_hash)),
    ]
    if geometry.signature_size:
        kind = partition_types.type_uuid("root-verity-sig", architecture)
        uuid = ids.partition_uuid(seed, kind)
        parts.append(
            ("root-verity-sig", geometry.signature_offset, geometry.signature_size, uuid),
        )
    table = gpt.new_table(
        geometry.disk_size,
        disk_uuid=ids.disk_uuid(seed),
        partitions=[
            partition(index, designator, architecture, uuid=uuid, place=(offset, size))
            for index, (designator, offset, size, uuid) in enumerate(parts)
        ],
    )
    for offset, data in gpt.render(table, geometry.disk_size):
        pwrite_all(file.fileno(), offset, data)


def _refuse_ambiguous(file: IO[bytes]) -> None:
    """Look at the result as a reader does: content can imitate another file system's header."""
    try:
        dissect.dissect(FileBlob(file))
    except FormatError as error:
        raise FormatError(
            f"a file in it makes the image look like something else: {error.message}",
            hint="leave the file out, or compress it",
        ) from error


def partition(
    index: int,
    designator: str,
    architecture: str,
    *,
    uuid: UUID,
    place: tuple[int, int],
    sector_size: int = SECTOR,
) -> gpt.Partition:
    """A read-only partition of a designator's type with its canonical name.

    Args:
        index: its slot in the table.
        designator: "root-verity-sig", for instance.
        architecture: systemd's name of it.
        uuid: its own identifier.
        place: offset and size in bytes.
        sector_size: of the table it goes into.
    """
    kind = partition_types.type_uuid(designator, architecture)
    known = partition_types.lookup(kind)
    offset, size = place
    return gpt.Partition(
        index=index,
        type_uuid=kind,
        uuid=uuid,
        first_lba=offset // sector_size,
        last_lba=(offset + size) // sector_size - 1,
        attributes=gpt.READ_ONLY,
        name=known.name if known else designator,
        sector_size=sector_size,
    )


def filesystem_uuid(seed: UUID, architecture: str) -> UUID:
    """The UUID of the file system in the data partition."""
    kind = partition_types.type_uuid("root", architecture)
    return ids.filesystem_uuid(ids.partition_uuid(seed, kind))
