"""Targets: further shapes of what other targets read, each with a structure of its own."""

from __future__ import annotations

import functools
import hashlib
import io
import lzma
import struct
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fat_image import FatImage, record, short
from repair import erofs, gpt, image, tar
from seeds import ec_identity, extension
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import SysgraftError
from sysgraft.formats import eventlog, eventlog_events, partition_types
from sysgraft.formats import gpt as gpt_format
from sysgraft.formats.eventlog import Event
from sysgraft.formats.policy_builtin import parse_or_builtin
from sysgraft.image.policy import Found
from sysgraft.image.policy_assess import Facts, Signature, assess
from sysgraft.testing.certificates import NOT_AFTER, NOT_BEFORE
from target import Target, as_text
from targets_archives import read_tar_source
from targets_images import read_erofs, read_image, verify
from targets_partitions import read_esp
from targets_signatures import read_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

_DISK: Final = UUID("5eed5eed-0000-4000-8000-0000000000aa")
_OWN: Final = UUID("5eed5eed-0000-4000-8000-0000000000bb")


def _with_table(data: bytes, table: gpt_format.Table) -> bytes:
    """A disk with another table."""
    whole = bytearray(data)
    for at, part in gpt_format.render(table, len(data)):
        whole[at : at + len(part)] = part
    return bytes(whole)


@functools.cache
def disks() -> Sequence[bytes]:
    """A disk with an EFI system partition."""
    fat = FatImage(12)
    fat.set_root(record(short("F.TXT"), fat.put(b"text" * 300), 1200))
    volume = fat.image()
    start, size = 40, len(volume) // 512
    disk = bytearray((start + size + 40) * 512)
    disk[start * 512 : (start + size) * 512] = volume
    part = gpt_format.Partition(
        index=0,
        type_uuid=partition_types.type_uuid("esp"),
        uuid=_OWN,
        first_lba=start,
        last_lba=start + size - 1,
        sector_size=512,
        name="esp",
    )
    table = gpt_format.new_table(len(disk), disk_uuid=_DISK, partitions=[part])
    return (_with_table(bytes(disk), table),)


@functools.cache
def usr_images() -> Sequence[bytes]:
    """Signed images whose partitions are those of /usr."""
    data = extension()
    table = gpt_format.parse(BytesBlob(data))
    parts = []
    for part in table.partitions:
        kind = partition_types.lookup(part.type_uuid)
        assert kind is not None
        designator = kind.designator.replace("root", "usr")
        parts.append(
            replace(part, type_uuid=partition_types.type_uuid(designator, kind.arch), name="usr")
        )
    return (_with_table(data, replace(table, partitions=tuple(parts))),)


def attributes() -> Sequence[bytes]:
    """File systems of mkfs.erofs with shared attributes, prefixes and a filter of names."""
    files = sorted((Path(__file__).parent / "images").glob("attributes-*.xz"))
    return tuple(lzma.decompress(path.read_bytes()) for path in files)


@functools.cache
def certificates() -> Sequence[bytes]:
    """Certificates with many extensions."""
    key, made = ec_identity("extensions").key, []
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "extensions")])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    identifier = x509.SubjectKeyIdentifier(bytes(range(20)))
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage, True),
        (identifier, False),
        (x509.AuthorityKeyIdentifier(bytes(range(20)), None, None), False),
        (x509.NameConstraints([x509.DNSName("example.org")], None), True),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x04\x01x"), True),
    ]
    for count in range(1, len(extensions) + 1):
        builder = x509.CertificateBuilder(name, name, key.public_key(), 9, NOT_BEFORE, NOT_AFTER)
        for extension_, critical in extensions[:count]:
            builder = builder.add_extension(extension_, critical)
        one = builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)
        made.append(one.public_bytes(serialization.Encoding.DER))
    return tuple(made)


@functools.cache
def archives() -> Sequence[bytes]:
    """Archives with extended attributes, numbers in base 256, global headers and sparse files."""
    out = io.BytesIO()
    headers = {
        "SCHILY.xattr.user.one": "v",
        "SCHILY.xattr.security.capability": "x",
        "mtime": "9.5",
    }
    with tarfile.open(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "global"}
    ) as archive:
        for name, more in (("usr/a", headers), ("usr/b", {"LIBARCHIVE.xattr.user.two": "dg=="})):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = 5, more
            archive.addfile(info, io.BytesIO(b"hello"))
    big = io.BytesIO()
    with tarfile.open(fileobj=big, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("usr/c")
        info.uid, info.gid, info.mtime, info.size = 1 << 31, 1 << 30, 1 << 34, 3
        archive.addfile(info, io.BytesIO(b"abc"))
    odd = io.BytesIO()
    with tarfile.open(fileobj=odd, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for kind in (tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE):
            info = tarfile.TarInfo(f"usr/{kind.decode()}")
            info.type = kind
            archive.addfile(info)
    return (out.getvalue(), big.getvalue(), odd.getvalue())


def read_policy_facts(data: bytes) -> None:
    """What a policy does with partitions, named one a line behind it."""
    first, *rest = as_text(data).split("\n")
    found = {
        line.partition(" ")[0]: Found(
            read_only="ro" in line,
            growfs="growfs" in line,
            fstype=line.partition(" ")[2].partition(" ")[0] or None,
            integrity="integrity" in line,
        )
        for line in rest[:20]
    }
    policy = parse_or_builtin(first)
    for release in (252, 254, 257, 259, 260, 262):
        for state in Signature:
            try:
                assess(policy, Facts(found, state), systemd_version=release)
            except SysgraftError:
                continue


def _event(kind: int, data: bytes, pcr: int = 7) -> Event:
    digests = {name: hashlib.new(name, data).digest() for name in ("sha1", "sha256")}
    return Event(pcr, kind, digests, data)


@functools.cache
def events() -> Sequence[bytes]:
    """Data of events, each behind the number of its type."""
    guid = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
    name = "SecureBoot".encode("utf-16-le")
    variable = guid + struct.pack("<QQ", 10, 1) + name + b"\1"
    boot = guid + struct.pack("<QQ", 8, 12) + "Boot0001".encode("utf-16-le")
    boot += struct.pack("<IH", 1, 4) + "x\0".encode("utf-16-le") + b"\0\0"
    tagged = struct.pack("<II", 0x8F3B22ED, 8) + "abc\0".encode("utf-16-le")
    table = [
        (0x80000001, variable),
        (0x80000002, boot),
        (0x80000003, struct.pack("<QQQQ", 1, 2, 3, 4) + b"\x7f\xff\4\0"),
        (0x80000006, bytes(92) + struct.pack("<Q", 1) + bytes(128)),
        (0x80000008, struct.pack("<QQ", 4096, 8192)),
        (0x800000E0, variable),
        (0x80000007, b"Calling EFI Application from Boot Option"),
        (6, tagged),
        (13, "initrd\0".encode("utf-16-le")),
        (3, b"StartupLocality\0\3"),
        (8, "1.0\0".encode("utf-16-le")),
        (4, bytes(4)),
    ]
    return tuple(struct.pack("<I", kind) + data for kind, data in table)


def read_event(data: bytes) -> None:
    """What an event means."""
    (kind,) = struct.unpack("<I", data[:4].ljust(4, b"\0"))
    event = _event(kind, data[4:])
    text = eventlog_events.describe(event)
    assert isinstance(text, str)
    eventlog_events.secure_boot([event])
    eventlog_events.decode_text(event.data)
    eventlog.startup_locality(event)


TARGETS: Final = (
    Target(name="esp-disk", seeds=disks, read=read_esp, repair=gpt, weight=8),
    Target(name="ext-inspect-usr", seeds=usr_images, read=read_image, repair=image, weight=5),
    Target(name="ext-verify-usr", seeds=usr_images, read=verify, repair=image, weight=5),
    Target(name="erofs-attributes", seeds=attributes, read=read_erofs, repair=erofs, weight=15),
    Target(name="x509-extensions", seeds=certificates, read=read_certificate, weight=20),
    Target(name="tar-dialects", seeds=archives, read=read_tar_source, repair=tar, weight=12),
    Target(
        name="policy-facts",
        seeds=lambda: (
            b"root=verity+signed+encrypted:usr=absent\nroot erofs ro\nroot-verity \nusr ext4 ro",
            b"@sysext\nusr squashfs growfs\nhome crypto_LUKS integrity",
        ),
        read=read_policy_facts,
        tokens=(b"root", b"usr-verity", b"\nhome ext4", b"esp", b"unused", b"integrity", b"swap"),
        weight=10,
    ),
    Target(name="event-data", seeds=events, read=read_event, weight=12),
)
