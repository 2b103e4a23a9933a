"""A file with the partition tables of a disk, as they were: written before they are changed.

It begins as ``sgdisk --backup`` writes it, so that ``sgdisk --load-backup`` reads it: master boot
record, both headers with 512 bytes each, the entries. Behind that is everything byte for byte with
its place on the disk, for any sector and entry size, which is what `read_backup` reads:

    text of JSON, one line, then the bytes of the pieces it lists, then zeros up to 512 bytes less
    the footer, then the footer: ``SGBACKUP``, the offset of the JSON in 64 bits, little-endian,
    and the SHA-256 of everything before the footer.

It is no format of anybody else's, and says nothing of what is in the partitions.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.strict_json import as_list, as_object, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA: Final = "sysgraft.gpt-backup/1"
PIECES: Final = (
    "protective-mbr",
    "primary-header",
    "primary-entries",
    "backup-entries",
    "backup-header",
)
"""What is saved, in this order."""

MAX_SIZE: Final = 16 << 20
"""Two arrays of 4 MiB and change, the most a table may have here."""

_BLOCK: Final = 512
_FOOTER: Final = struct.Struct("<8sQ32s")
_MAGIC: Final = b"SGBACKUP"
_WHAT: Final = "the index of the backup"


class Piece(NamedTuple):
    """Bytes of a disk.

    Attributes:
        name: one of `PIECES`.
        offset: where they are.
        data: whole sectors.
    """

    name: str
    offset: int
    data: bytes


class Backup(NamedTuple):
    """The tables of a disk.

    Attributes:
        size: of the disk in bytes.
        sector_size: in which its tables count.
        disk_uuid: its name.
        pieces: all of `PIECES`, in their order.
    """

    size: int
    sector_size: int
    disk_uuid: UUID
    pieces: tuple[Piece, ...]


def render_backup(backup: Backup, entries: bytes) -> bytes:
    """The file.

    Args:
        backup: what to save.
        entries: the entry array that readers go by, without the rest of its last sector.
    """
    data = {piece.name: piece.data for piece in backup.pieces}
    front = b"".join(
        data[name][:_BLOCK] for name in ("protective-mbr", "primary-header", "backup-header")
    )
    front = _padded(front + entries, 0)
    body = front + _index(backup) + b"".join(piece.data for piece in backup.pieces)
    body = _padded(body, _FOOTER.size)
    return body + _FOOTER.pack(_MAGIC, len(front), hashlib.sha256(body).digest())


def _padded(data: bytes, more: int) -> bytes:
    return data + bytes(-(len(data) + more) % _BLOCK)


def _index(backup: Backup) -> bytes:
    document = {
        "schema": SCHEMA,
        "diskSize": backup.size,
        "sectorSize": backup.sector_size,
        "diskUuid": str(backup.disk_uuid),
        "pieces": [
            {"name": piece.name, "offset": piece.offset, "size": len(piece.data)}
            for piece in backup.pieces
        ],
    }
    return json.dumps(document).encode() + b"\n"


def read_backup(data: bytes) -> Backup:
    """What a file has saved.

    Raises:
        FormatError: it is no such file, or damaged.
        LimitError: it is larger than `MAX_SIZE`.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a backup of partition tables with more than {MAX_SIZE} bytes")
    body = data[: -_FOOTER.size]
    if len(data) < _FOOTER.size or not data[len(body) :].startswith(_MAGIC):
        hint = "what sgdisk --backup wrote is for sgdisk --load-backup"
        raise FormatError("no backup of partition tables by sysgraft", hint=hint)
    _, start, digest = _FOOTER.unpack(data[len(body) :])
    if hashlib.sha256(body).digest() != digest:
        raise FormatError("the backup of the partition tables is damaged")
    line, newline, rest = body[start:].partition(b"\n")
    if not newline:
        raise FormatError("the backup of the partition tables has no index")
    return _read_index(as_object(load(line, _WHAT), _WHAT), rest)


def _read_index(document: Mapping[str, object], rest: bytes) -> Backup:
    if document.get("schema") != SCHEMA:
        raise FormatError(f"a backup of partition tables other than {SCHEMA}")
    size, sector_size = _number(document, "diskSize"), _number(document, "sectorSize")
    rows = as_list(document.get("pieces"), "its list of pieces")
    try:
        disk_uuid = UUID(str(document.get("diskUuid")))
    except ValueError:
        raise FormatError("the backup of the partition tables names no disk") from None
    pieces = _read_pieces(rows, rest, size, sector_size)
    return Backup(size, sector_size, disk_uuid, pieces)


def _read_pieces(
    rows: Sequence[object], rest: bytes, size: int, sector_size: int
) -> tuple[Piece, ...]:
    pieces, at = [], 0
    for row in rows:
        entry = as_object(row, "a piece in it")
        offset, length = _number(entry, "offset"), _number(entry, "size")
        data = rest[at : at + length]
        at += length
        whole = sector_size and not offset % sector_size and not length % sector_size
        if not whole or len(data) != length or offset + length > size:
            raise FormatError("a piece in the backup of the partition tables has no place")
        pieces.append(Piece(str(entry.get("name")), offset, data))
    if tuple(piece.name for piece in pieces) != PIECES:
        raise FormatError("the backup of the partition tables lacks pieces")
    return tuple(pieces)


def _number(row: Mapping[str, object], key: str) -> int:
    value = row.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise FormatError(f"{key} in the backup of the partition tables is no size")
    return value
