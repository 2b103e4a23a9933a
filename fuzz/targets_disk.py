"""Targets: whole disks, saved partition tables, and file systems told and looked into."""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

import btrfs_kit
from disk_kit import EXT4, LUKS, LVM, SWAP, Part, disk_of, nothing_mounted
from repair import btrfs as repair_btrfs
from repair import gpt as repair_gpt
from sysgraft.base.blob import BytesBlob
from sysgraft.disk.check import CheckOptions, check_disk
from sysgraft.disk.kickstart import script
from sysgraft.disk.subvolumes import read_btrfs
from sysgraft.formats import gpt_tables, mbr, volume_signature
from sysgraft.formats.btrfs import volume as btrfs_volume
from sysgraft.formats.gpt_backup import PIECES, Backup, Piece, read_backup, render_backup
from sysgraft.formats.gpt_edit import Change, edit
from sysgraft.formats.partition_types import type_uuid
from target import File, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIZE: Final = 3 << 20
_SMALL: Final = 1 << 16
_DISK: Final = File("disk.raw")


@functools.cache
def disks() -> Sequence[bytes]:
    """Disks with sectors of 512 and of 4096 bytes."""
    parts = [
        Part("root", btrfs_kit.fedora(256).image()),
        Part("linux-generic", EXT4, name="data_2"),
    ]
    whole = bytes(disk_of(parts[:1], size=_SIZE))
    return (whole, bytes(disk_of(parts[1:], size=_SIZE, sector_size=4096)))


@functools.cache
def tables() -> Sequence[bytes]:
    """Small disks without anything on them but tables."""
    made = []
    for sector_size in (512, 4096):
        disk = disk_of([], size=_SMALL, sector_size=sector_size)
        for lba in (1, _SMALL // sector_size - 1):
            at = lba * sector_size
            (entries,) = struct.unpack_from("<Q", disk, at + 72)
            struct.pack_into("<II", disk, at + 80, 8, 128)
            first, last = struct.unpack_from("<QQ", disk, at + 40)
            for number, (start, end) in enumerate(((first, first + 1), (first + 2, last))):
                place = entries * sector_size + 128 * number
                disk[place : place + 16] = type_uuid("root", "x86-64").bytes_le
                disk[place + 16] = number + 1
                struct.pack_into("<QQQ4s", disk, place + 32, start, end, number << 63, b"a\0b\0")
        repair_gpt(disk)
        made.append(bytes(disk))
    return tuple(made)


def read_tables(data: bytes) -> object:
    """Both tables, and what becomes of them if a type changes."""
    blob = BytesBlob(data)
    mbr.parse(blob)
    found = gpt_tables.read_tables(blob)
    if found is None or not found.partitions:
        return False
    before = {part.index: part.uuid for part in found.partitions}
    number = found.partitions[-1].index + 1
    after = edit(found, [Change(number, type_uuid("home"), set_bits=1 << 59)])
    state = bytearray(data)
    for group in after.writes:
        for offset, piece in group:
            assert 0 < offset <= offset + len(piece) <= len(data)
            state[offset : offset + len(piece)] = piece
        again = gpt_tables.read_tables(BytesBlob(bytes(state)))
        assert again
        assert {part.index: part.uuid for part in again.partitions} == before
    return True


def read_disk(data: bytes) -> bool:
    """A whole disk, as ``disk check`` looks at it."""
    machine = nothing_mounted(Path("/nonexistent"))
    options = CheckOptions(arch="x86-64", machine=machine)
    report = check_disk(_DISK.put(data), options)
    assert script(report).startswith("#")
    return report.ok


def read_saved(data: bytes) -> None:
    """Saved tables."""
    assert render_backup(read_backup(data), b"")


@functools.cache
def saved() -> Sequence[bytes]:
    """A backup of a small disk."""
    pieces = tuple(Piece(name, 512 * at, bytes(512)) for at, name in enumerate(PIECES))
    uuid = type_uuid("home")
    return (render_backup(Backup(4096, 512, uuid, pieces), b"entries"),)


@functools.cache
def btrfses() -> Sequence[bytes]:
    """File systems with subvolumes inside one another, of one and two levels."""
    deep = btrfs_kit.Maker(
        subvolumes=[(256, 5, 256, "@"), (260, 256, 301, "machines")],
        folders={256: {300: (256, "var"), 301: (300, "lib")}},
        names={256: ("usr", "etc")},
        checksum="sha256",
    )
    wide = btrfs_kit.fedora(256)
    wide.levels = 2
    return (wide.image(), deep.image())


def read_subvolumes(data: bytes) -> object:
    """Subvolumes and what is in them."""
    found = btrfs_volume.open_volume(BytesBlob(data))
    for each in found.subvolumes():
        found.names(each.number)
    read_btrfs(BytesBlob(data))
    return found.default()


def read_signature(data: bytes) -> object:
    """What a partition holds."""
    return volume_signature.probe(BytesBlob(data))


TARGETS: Final = (
    Target(name="gpt-tables", seeds=tables, read=read_tables, repair=repair_gpt, weight=20),
    Target(name="disk-check", seeds=disks, read=read_disk, repair=repair_gpt, weight=1),
    Target(name="gpt-backup", seeds=saved, read=read_saved, weight=5),
    Target(name="btrfs", seeds=btrfses, read=read_subvolumes, repair=repair_btrfs, weight=5),
    Target(
        name="volume-signature",
        seeds=lambda: (EXT4, LUKS, LVM, SWAP),
        read=read_signature,
        tokens=(b"LABELONE", b"LVM2 001", b"verity\0\0", b'{"rootHash"'),
        weight=5,
    ),
)
