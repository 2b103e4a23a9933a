"""Exchange, add or take away the signature of an image; its data is copied, never changed.

Nothing is signed unseen: the hash tree is recomputed first, so that a signature never covers
data that does not match its root hash. The partition table is written anew where a signature
partition comes or goes; all other identifiers stay.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Final

from sysgraft.base import ids
from sysgraft.base.progress import NoProgress
from sysgraft.build.geometry import GRAIN, SIGNATURE_SIZE
from sysgraft.build.image import partition
from sysgraft.errors import FormatError, LimitError, UnsupportedError, in_file
from sysgraft.formats import gpt, gpt_check, partition_types
from sysgraft.host.files import OpenFile, pwrite_all
from sysgraft.host.output import atomic_output
from sysgraft.image import dissect, names
from sysgraft.image.verity_tree import TreeCheck, read_superblock

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.gpt import Table
    from sysgraft.image.dissect import Dissection
    from sysgraft.sign.pair import SigningPair

_COPY: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ResignReport:
    """What was written.

    Attributes:
        path: of the result.
        root_hash: of the data.
        size: of the result in bytes.
        signed: whether it bears a signature now.
    """

    path: str
    root_hash: bytes
    size: int
    signed: bool


@dataclass(frozen=True, slots=True)
class Target:
    """Where a result goes.

    Attributes:
        path: None for the image itself.
        replace: whether an existing file, the image too, may be replaced.
    """

    path: str | None = None
    replace: bool = False


def sign_image(
    path: str | os.PathLike[str],
    signing: SigningPair,
    *,
    target: Target | None = None,
    progress: Progress | None = None,
) -> ResignReport:
    """Sign an image that has dm-verity, or exchange its signature.

    Raises:
        FormatError: no dm-verity, or data that does not match its root hash.
        OutputError: the target exists or cannot be written.
    """
    return join_signature(path, signing.signature_partition, target=target, progress=progress)


def join_signature(
    path: str | os.PathLike[str],
    make: Callable[[bytes], bytes],
    *,
    target: Target | None = None,
    progress: Progress | None = None,
) -> ResignReport:
    """As `sign_image`, with a signature that is made elsewhere.

    Args:
        path: the image.
        make: gives the content of the signature partition for the image's root hash.
        target: where the result goes.
        progress: told how far it is.
    """
    return _rewrite(os.fspath(path), make, target or Target(), progress or NoProgress())


def unsign_image(
    path: str | os.PathLike[str],
    *,
    target: Target | None = None,
    progress: Progress | None = None,
) -> ResignReport:
    """Take the signature out of an image; dm-verity stays.

    Raises:
        FormatError: the image has no signature, or its data does not match its root hash.
        OutputError: the target exists or cannot be written.
    """
    return _rewrite(os.fspath(path), None, target or Target(), progress or NoProgress())


def root_hash_of(path: str | os.PathLike[str], *, progress: Progress | None = None) -> bytes:
    """The root hash of an image, recomputed: what has to be signed elsewhere.

    Raises:
        FormatError: no dm-verity, or data that does not match its root hash.
    """
    with OpenFile(path) as blob, in_file(os.fspath(path)):
        return _checked_root_hash(blob, dissect.dissect(blob), progress or NoProgress())


def copy_unsigned(signed: Blob, file: IO[bytes]) -> int:
    """Write an image that was just built without its signature; its size in bytes.

    Nothing is verified: it is for an image whose data nobody else had in hands.

    Raises:
        FormatError: it has no signature.
    """
    table, size = _new_table(dissect.dissect(signed), signed.size, "", signed=False)
    _copy_partitions(file, signed, table, size)
    return size


def _rewrite(
    path: str,
    make: Callable[[bytes], bytes] | None,
    target: Target,
    progress: Progress,
) -> ResignReport:
    output = target.path or path
    with (
        atomic_output(output, replace=target.replace, make_folders=True) as file,
        OpenFile(path) as blob,
        in_file(path),
    ):
        found = dissect.dissect(blob)
        root_hash = _checked_root_hash(blob, found, progress)
        table, size = _new_table(found, blob.size, os.path.basename(path), signed=bool(make))
        _copy_partitions(file, blob, table, size)
        if make is not None:
            _write_signature(file, table, make(root_hash))
    return ResignReport(output, root_hash, size, signed=make is not None)


def _checked_root_hash(blob: Blob, found: Dissection, progress: Progress) -> bytes:
    if found.table is None or found.data is None or found.verity is None:
        raise _without_verity(found)
    problems = gpt_check.problems(blob, found.table)
    if problems:
        raise FormatError(f"the partition table is damaged: {problems[0]}")
    if found.ambiguity:
        raise FormatError(f"nothing certain can be signed: {found.ambiguity}")
    root_hash = found.data.partition.uuid.bytes + found.verity.partition.uuid.bytes
    data, hashes = dissect.part(blob, found.data), dissect.part(blob, found.verity)
    superblock = read_superblock(data, hashes)
    if superblock.digest_size != len(root_hash):
        raise UnsupportedError(f"root hashes of {superblock.algorithm} are not handled")
    with TreeCheck(data, hashes, superblock, progress=progress) as tree:
        damage = tree.damage(root_hash)
    if damage is not None:
        raise FormatError(
            f"the data does not match its root hash: {damage.partition} partition, "
            f"offset {damage.offset}: {damage.what}",
        )
    return root_hash


def _without_verity(found: Dissection) -> FormatError:
    """What a signature would be about is the root hash of dm-verity; adding that is building."""
    if found.table is None:
        what = f"a bare {found.bare_fstype} file system without a partition table"
    else:
        what = f"the image has a {found.data.designator if found.data else 'root'} partition alone"
    return FormatError(
        f"{what}: no dm-verity, so there is no root hash to sign",
        hint="build a signed image of the files in it: sysgraft ext build NAME raw:FILE",
    )


def _new_table(found: Dissection, size: int, filename: str, *, signed: bool) -> tuple[Table, int]:
    """The table after the change, and the size of the disk it is for."""
    table = found.table
    if table is None or found.data is None:
        raise FormatError("the image has no partition table")
    if found.signature is not None and signed:
        return table, size
    # All of them, also one that readers are told to pass over: unsigned has to mean unsigned.
    kept = tuple(p for p in table.partitions if not _is_signature(p.type_uuid))
    if not signed and kept == table.partitions:
        raise FormatError("the image has no signature to take away")
    table = replace(table, partitions=kept)
    if not signed:
        return _resized(table)
    index = _free_slot(table)
    offset = _round_up(max(p.offset + p.size for p in table.partitions), GRAIN)
    architecture = found.data.architecture or ""
    designator = f"{found.data.designator}-verity-sig"
    added = partition(
        index,
        designator,
        architecture,
        uuid=_signature_uuid(table, filename, designator, architecture=architecture),
        place=(offset, SIGNATURE_SIZE),
        sector_size=table.sector_size,
    )
    return _resized(replace(table, partitions=(*table.partitions, added)))


def _free_slot(table: Table) -> int:
    """The entry behind the last one in use, else the first that is free."""
    used = {p.index for p in table.partitions}
    slots = (*range(max(used) + 1, table.entry_count), *range(table.entry_count))
    slot: int | None = next((slot for slot in slots if slot not in used), None)
    if slot is None:
        raise FormatError(
            f"the partition table has no free entry for a signature, all {len(used)} are used",
            hint="make the image with a larger table (128 entries are usual), or without"
            " partitions that an extension has no use for",
        )
    return slot


def _signature_uuid(table: Table, filename: str, designator: str, *, architecture: str) -> UUID:
    """The UUID the image would have been built with, where its seed can be told.

    Otherwise the disk's own UUID serves as the seed, so that the result stays reproducible.
    """
    kind = partition_types.type_uuid(designator, architecture)
    usual = ids.default_seed(names.image_name(filename))
    seed = usual if ids.disk_uuid(usual) == table.disk_uuid else table.disk_uuid
    return ids.partition_uuid(seed, kind)


def _resized(table: Table) -> tuple[Table, int]:
    """The table for a disk that ends as soon as its partitions allow."""
    end = max(p.offset + p.size for p in table.partitions)
    backup = (table.entries_sectors + 1) * table.sector_size
    size = _round_up(end + backup, GRAIN)
    last = size // table.sector_size - 1
    usable = last - table.entries_sectors - 1
    return replace(table, backup_lba=last, last_usable_lba=usable), size


def _copy_partitions(file: IO[bytes], blob: Blob, table: Table, size: int) -> None:
    """Write table and partitions; what lies in neither becomes zeros."""
    file.truncate(size)
    for offset, data in gpt.render(table, size):
        pwrite_all(file.fileno(), offset, data)
    for part in table.partitions:
        # An added partition may lie where the file has ended, or held its backup table.
        end = min(part.offset + part.size, blob.size)
        for offset in range(part.offset, end, _COPY):
            piece = blob.read_at(offset, min(_COPY, end - offset))
            pwrite_all(file.fileno(), offset, piece)


def _write_signature(file: IO[bytes], table: Table, content: bytes) -> None:
    part = next(p for p in table.partitions if _is_signature(p.type_uuid))
    text = content.rstrip(b"\0")
    if len(text) >= part.size:
        raise LimitError(f"the signature takes {len(text)} bytes, its partition {part.size}")
    pwrite_all(file.fileno(), part.offset, text.ljust(part.size, b"\0"))


def _is_signature(type_uuid: UUID) -> bool:
    kind = partition_types.lookup(type_uuid)
    return kind is not None and kind.designator.endswith("-verity-sig")


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
