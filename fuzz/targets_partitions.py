"""Targets: EFI system partitions, boot entries and names on them."""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Final
from uuid import UUID

from fat_image import FatImage, long_records, record, short
from repair import fat as repair_fat
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import SysgraftError
from sysgraft.formats import (
    bls,
    device_path,
    esp,
    fat,
    load_option,
    stub_archive,
)
from sysgraft.measure import sidecars
from sysgraft.sign.pkcs11_uri import parse as parse_pkcs11
from target import Target, as_text, drain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.formats.fat import Volume


@functools.cache
def volumes() -> Sequence[bytes]:
    """FAT with entries of 12 and 32 bits; with 16 it is too large to be read so often."""
    made = []
    for bits in (12, 32):
        image = FatImage(bits)
        entry = b"title x\nuki /EFI/Linux/x.efi\noptions quiet\n"
        conf = record(short("X.CON"), image.put(entry), len(entry))
        file = record(short("X.EFI"), image.put(b"MZ" * 800), 1600)
        long = long_records("a long name.efi", short("ALONGN~1.EFI"))
        linux = image.folder(long, record(short("ALONGN~1.EFI"), image.put(b"long"), 4), file)
        efi = image.folder(record(short("LINUX"), linux, attributes=0x10))
        entries = image.folder(long_records("x.conf", short("X.CON")), conf)
        loader = image.folder(record(short("ENTRIES"), entries, attributes=0x10))
        image.set_root(
            record(short("A LABEL"), attributes=8),
            record(short("EFI"), efi, attributes=0x10),
            record(short("LOADER"), loader, attributes=0x10),
            record(short("F.TXT"), image.put(b"text" * 300), 1200),
        )
        made.append(image.image())
    return tuple(made)


def _read_volume(volume: Volume) -> None:
    assert isinstance(volume.label, str)
    for number, (path, entry) in enumerate(volume.walk()):
        if number > 2000:
            break
        if not entry.is_dir:
            drain(volume.content(entry))
        if number < 10:
            volume.find(path)


def read_fat(data: bytes) -> None:
    """A FAT volume."""
    _read_volume(fat.open_volume(BytesBlob(data)))


def read_esp(data: bytes) -> None:
    """A partition, or a disk with one."""
    _read_volume(fat.open_volume(esp.find_esp(BytesBlob(data))))


def read_entry(data: bytes) -> None:
    """A boot loader entry, and its name."""
    entry = bls.parse(data)
    assert entry.kind in (None, "efi", "linux", "uki", "uki-url") or entry.kind
    for each in (entry.uki, entry.efi, *entry.extras):
        bls.efi_path(each)
    name = as_text(data.partition(b"\n")[0])
    bls.is_entry_name(name)
    bls.split_counter(name)
    for version in (254, 258, 262):
        bls.extra_folder(name, version=version)


def read_device_path(data: bytes) -> None:
    """A device path."""
    device_path.last_name(device_path.loaded_file(data) + device_path.file_of(data))
    device_path.partition_of(data)


def read_load_option(data: bytes) -> None:
    """A firmware's boot entry, and the lists of their numbers."""
    load_option.parse_numbers(data)
    option = load_option.parse(data)
    device_path.file_of(option.path)
    where = device_path.partition_of(option.path)
    if where is not None:
        device_path.file_path(where, "EFI/Linux/x.efi")
    again = load_option.parse(load_option.serialise(option))
    assert (again.path, again.data) == (option.path, option.data)


def read_stub_archive(data: bytes) -> None:
    """Names of sidecars, as the stub packs them."""
    folder = stub_archive.Folder(".extra/sysext", 0o555, 0o444)
    files = []
    for number, name in enumerate(as_text(data).split("\n")[:50]):
        problem = sidecars.problem(sidecars.Entry(name))
        if problem:
            raise SysgraftError(problem)
        files.append(stub_archive.File(name, len(data) * number, number))
    stub_archive.pack(folder, files)


def read_pkcs11(data: bytes) -> None:
    """A URI of a key in a token."""
    parse_pkcs11(as_text(data))


def _image_path(name: str) -> bytes:
    raw = (name + "\0").encode("utf-16-le")
    nodes = struct.pack("<BBH", 4, 4, 4 + len(raw)) + raw + struct.pack("<BBH", 0x7F, 0xFF, 4)
    return struct.pack("<QQQQ", 0x1000, 4096, 0, len(nodes)) + nodes


_OPTION: Final = load_option.LoadOption(
    load_option.ACTIVE,
    "a",
    device_path.file_path(device_path.Partition(1, 2048, 4096, UUID(int=5)), "EFI/Linux/x.efi"),
)
TARGETS: Final = (
    Target(name="fat", seeds=volumes, read=read_fat, repair=repair_fat, weight=30),
    Target(name="esp", seeds=volumes, read=read_esp, repair=repair_fat, weight=10),
    Target(
        name="boot-entry",
        seeds=lambda: (
            b"x+3-1.conf\ntitle A\nversion 1\nuki /EFI/Linux/x.efi\noptions a b\nextra /c.raw\n",
            b"y.efi\nlinux /v\ninitrd /i\r\nprofile 1\narchitecture x64\n",
        ),
        read=read_entry,
        tokens=(
            b"uki ",
            b"efi ",
            b"extra ",
            b"profile ",
            b"options ",
            b"+3-1.efi",
            b"'",
            b"sort-key ",
        ),
        weight=15,
    ),
    Target(
        name="device-path",
        seeds=lambda: (_image_path("\\EFI\\Linux\\x.efi"),),
        read=read_device_path,
        weight=15,
    ),
    Target(
        name="load-option",
        seeds=lambda: (load_option.serialise(_OPTION),),
        read=read_load_option,
        weight=5,
    ),
    Target(
        name="stub-archive",
        seeds=lambda: (b"a.raw\nb.cred\nc.addon.efi",),
        read=read_stub_archive,
        weight=5,
    ),
    Target(
        name="pkcs11-uri",
        seeds=lambda: (b"pkcs11:token=a%20b;object=c;id=%01%02?pin-source=file:/p&module-path=/m",),
        read=read_pkcs11,
        tokens=(b"token=", b"slot-id=", b"%00", b"%ff", b"?pin-value=", b";", b"serial="),
        weight=10,
    ),
)
