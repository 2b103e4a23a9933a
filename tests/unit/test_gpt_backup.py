"""Saved partition tables: written, read, and refused when damaged."""

from __future__ import annotations

import hashlib
import struct

import pytest

from disk_kit import DISK
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.gpt_backup import PIECES, Backup, Piece, read_backup, render_backup

BACKUP = Backup(
    8192,
    512,
    DISK,
    tuple(Piece(name, 512 * at, bytes([at]) * 512) for at, name in enumerate(PIECES)),
)


def test_what_is_written_is_read() -> None:
    data = render_backup(BACKUP, b"entries")
    assert read_backup(data) == BACKUP
    assert len(data) % 512 == 0
    assert data[:1536] == bytes(512) + b"\1" * 512 + b"\4" * 512
    assert data[1536:2048] == b"entries".ljust(512, b"\0")


def test_the_same_tables_give_the_same_file() -> None:
    assert render_backup(BACKUP, b"e") == render_backup(BACKUP, b"e")


def test_every_changed_byte_is_noticed() -> None:
    data = render_backup(BACKUP, b"entries")
    for at in range(0, len(data), 7):
        broken = bytearray(data)
        broken[at] ^= 1
        with pytest.raises(FormatError):
            read_backup(bytes(broken))


def test_other_files() -> None:
    for data in (b"", b"x" * 17920, render_backup(BACKUP, b"")[:-1]):
        with pytest.raises(FormatError, match="no backup") as caught:
            read_backup(data)
        assert "sgdisk --load-backup" in caught.value.hint
    with pytest.raises(LimitError):
        read_backup(bytes((16 << 20) + 1))


def forged(index: bytes, rest: bytes = b"") -> bytes:
    body = index + rest
    return body + struct.pack("<8sQ32s", b"SGBACKUP", 0, hashlib.sha256(body).digest())


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]\n",
        b"{}\n",
        b'{"schema": "sysgraft.gpt-backup/2"}\n',
        b'{"schema": "sysgraft.gpt-backup/1", "diskSize": -1, "sectorSize": 512}\n',
        b'{"schema": "sysgraft.gpt-backup/1", "diskSize": 1, "sectorSize": true}\n',
        b'{"schema": "sysgraft.gpt-backup/1", "diskSize": 1, "sectorSize": 1, "diskUuid": "x"}\n',
    ],
)
def test_a_broken_index(index: bytes) -> None:
    with pytest.raises(FormatError):
        read_backup(forged(index))


@pytest.mark.parametrize(
    "piece",
    [
        "1",
        '{"name": "x", "offset": 0, "size": 512}',
        '{"name": "protective-mbr", "offset": 0, "size": 511}',
        '{"name": "protective-mbr", "offset": 7680, "size": 1024}',
        '{"name": "protective-mbr", "offset": 0, "size": 99999}',
        '{"name": "protective-mbr", "offset": 0}',
    ],
)
@pytest.mark.parametrize("sector_size", [512, 0])
def test_pieces_without_a_place(piece: str, sector_size: int) -> None:
    index = (
        f'{{"schema": "sysgraft.gpt-backup/1", "diskSize": 8192, "sectorSize": {sector_size}, '
        f'"diskUuid": "{DISK}", "pieces": [{piece}]}}\n'
    )
    with pytest.raises(FormatError):
        read_backup(forged(index.encode(), bytes(1024)))
