"""Targets: archives, Debian packages and compressed data."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import stat
import sys
import tarfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from image_kit import tar_of
from repair import cpio as repair_cpio
from repair import tar as repair_tar
from seeds import FILES, OS_RELEASE
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode, check_tree
from sysgraft.build.collect import open_tree
from sysgraft.build.rootfs import open_rootfs, pack
from sysgraft.build.sources.model import Options, Workspace
from sysgraft.build.sources.spec import resolve
from sysgraft.errors import SysgraftError
from sysgraft.formats import ar, cpio, cpio_reader, deb
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.stream import BlobSource
from sysgraft.formats.tar import TarReader
from sysgraft.host.spool import Spool
from sysgraft.image.initrd_sizes import sizes_of
from target import File, Target, drain

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Sequence

_MIB: Final = 1 << 20


_SMALL: Final = Limits(output=8 * _MIB, free=_MIB, ratio=200)


# --- Archives ------------------------------------------------------------------------------------


def _member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), 1_700_000_000, 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(data)


def make_tar(form: int, *, links: bool = True, prefix: str = "") -> bytes:
    """An archive with one of each kind."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        archive.addfile(*_member(f"{prefix}usr", type=tarfile.DIRTYPE, mode=0o755))
        for name, data in FILES.items():
            archive.addfile(*_member(prefix + name, data[:700]))
        archive.addfile(*_member(f"{prefix}usr/{'long/' * 45}name", b"x"))
        if form == tarfile.PAX_FORMAT:
            headers = {
                "SCHILY.xattr.user.one": "value",
                "mtime": "1700000000.123456789",
                "path": f"{prefix}usr/é",
                "uid": "70000",
            }
            archive.addfile(*_member("usr/e", b"pax", pax_headers=headers))
        if links:
            target = f"{prefix}usr/lib/firmware/two.bin"
            archive.addfile(*_member(f"{prefix}usr/hard", type=tarfile.LNKTYPE, linkname=target))
            archive.addfile(*_member(f"{prefix}usr/soft", type=tarfile.SYMTYPE, linkname="t" * 120))
            archive.addfile(*_member(f"{prefix}lib", type=tarfile.SYMTYPE, linkname="usr/lib"))
            archive.addfile(*_member(f"{prefix}usr/.wh.gone"))
            archive.addfile(*_member(f"{prefix}usr/lib/.wh..wh..opq"))
    return out.getvalue()


@functools.cache
def tars() -> Sequence[bytes]:
    """Archives of three dialects."""
    forms = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    few = tar_of({"usr/a": b"a", "usr/b": "->a", "usr/c": "=usr/a"})
    return (*map(make_tar, forms[1:]), few)


def read_tar(data: bytes) -> None:
    """An archive, member by member."""
    reader = TarReader(BlobSource(BytesBlob(data)))
    for member in reader:
        assert len(reader.read(member.size)) == member.size


TAR: Final = File("layer.tar")


def _collect(path: str, options: Options) -> None:
    with open_tree([path], options) as found:
        check_tree(found.tree)
        for place, inode in found.tree.items():
            assert place == b"" or place.split(b"/")[0] == b"usr", place
            assert b".." not in place.split(b"/")
            if inode.content is not None:
                drain(inode.content)


def read_tar_source(data: bytes) -> None:
    """An archive as what an extension is made of."""
    _collect(TAR.put(data), Options(whiteouts="keep", layers="all"))


def read_rootfs(data: bytes) -> None:
    """An archive as a root file system that becomes an initrd."""
    path = TAR.put(data)
    with Spool() as spool, ExitStack() as stack:
        workspace = Workspace(Options(kind="root", layers="all"), spool, (b"",))
        found = open_rootfs(resolve(path), workspace, stack)
        drain(pack(found, workspace, level=1))


@functools.cache
def roots() -> Sequence[bytes]:
    """Root file systems."""
    files: dict[str, bytes | str] = {
        "usr/lib/systemd/systemd": b"\x7fELF",
        "usr/lib/os-release": OS_RELEASE,
        "etc/os-release": "->../usr/lib/os-release",
        "boot/vmlinuz-6": b"MZ" + bytes(600),
        "usr/lib/modules/6/vmlinuz": b"MZ" + bytes(600),
        "dev/x": b"",
        ".dockerenv": b"",
        "sbin": "->usr/sbin",
    }
    return (tar_of(files), gzip.compress(tar_of(files), 1, mtime=0))


@functools.cache
def cpios() -> Sequence[bytes]:
    """Archives of an initrd, one behind the other."""
    one = b"".join(
        cpio.plan(
            {
                b"": Inode(stat.S_IFDIR | 0o755),
                b"d": Inode(stat.S_IFDIR | 0o755),
                b"d/f": Inode(stat.S_IFREG | 0o644, content=BytesBlob(b"hello" * 30)),
                b"l": Inode(stat.S_IFLNK | 0o777, target=b"d/f"),
                b"n": Inode(stat.S_IFCHR | 0o600, rdev=(1, 3)),
            }
        ).chunks()
    )
    return (one, one + bytes(12) + one, one.replace(b"070701", b"070702"))


def read_cpio(data: bytes) -> None:
    """Archives behind one another."""
    blob = BytesBlob(data)
    assert 0 <= cpio_reader.plain_size(blob) <= len(data)
    for entry in cpio_reader.entries(blob):
        assert b"\0" not in entry.name
        drain(entry.data)


@functools.cache
def initrds() -> Sequence[bytes]:
    """Initrds of several parts."""
    one, _, checked = cpios()
    return (
        one + bytes(12) + gzip.compress(checked, mtime=0),
        lzma.compress(one, check=lzma.CHECK_CRC32),
        zstd.compress(one) + zstd.compress(bytes(8) + checked),
    )


def read_initrd(data: bytes) -> None:
    """What takes the room in an initrd."""
    found = sizes_of(BytesBlob(data), Allowance(_SMALL))
    assert sum(part.size for part in found.parts) == len(data)
    assert sum(share.size for share in found.shares) == found.unpacked


# --- Packages ------------------------------------------------------------------------------------


def make_deb(pack: str) -> bytes:
    """A Debian package whose data is compressed so."""
    control = b"Package: fuzz\nVersion: 1:2.3-4\nArchitecture: amd64\nDescription: one\n two\n .\n"
    data = make_tar(tarfile.GNU_FORMAT, prefix="./")
    packed = {"gz": lambda d: gzip.compress(d, 1, mtime=0), "xz": lzma.compress}[pack](data)
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": gzip.compress(tar_of({"./control": control}), 1, mtime=0),
        f"data.tar.{pack}": packed,
    }
    out = b"!<arch>\n"
    for name, part in parts.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode()
        out += part + b"\n" * (len(part) % 2)
    return out


DEB: Final = File("fuzz.deb")


def read_deb(data: bytes) -> None:
    """A package, and the tree that is made of it."""
    blob = BytesBlob(data)
    for member in ar.read_members(blob):
        assert member.name
    assert deb.read_package(blob).data.size >= 0
    _collect(DEB.put(data), Options(whiteouts="drop"))


def read_control(data: bytes) -> None:
    """The control file of a package."""
    deb.parse_control(data)


# --- Compressed data -----------------------------------------------------------------------------


@functools.cache
def streams() -> Sequence[bytes]:
    """Something, compressed in each way."""
    data = b"".join(b"%d and some text\n" % number for number in range(200))
    checked = {int(zstd.CompressionParameter.checksum_flag): 1}
    return (
        gzip.compress(data, mtime=0) * 2,
        lzma.compress(data),
        lzma.compress(data, check=lzma.CHECK_SHA256) + bytes(4),
        lzma.compress(data, lzma.FORMAT_ALONE),
        bz2.compress(data),
        zstd.compress(data, options=checked),
        zstd.compress(data) + b"\x50\x2a\x4d\x18\4\0\0\0skip" + zstd.compress(b"more"),
    )


def read_stream(data: bytes) -> None:
    """A compressed stream, in pieces and over stretches that are passed over."""
    kind = detect(data[:HEAD_SIZE])
    if kind is Compression.NONE:
        raise SysgraftError("not compressed")
    for step in (1 << 16, 7000):
        stream = Decompressor(BlobSource(BytesBlob(data)), kind, Allowance(_SMALL))
        total = 0
        while piece := stream.read(step):
            total += len(piece) + stream.skip(100)
        assert total <= _SMALL.output


@functools.cache
def bombs() -> Sequence[bytes]:
    """A little that becomes very much."""
    zeros = bytes(16 * _MIB)
    packers = (lzma.compress, bz2.compress, zstd.compress, lambda d: gzip.compress(d, mtime=0))
    return tuple(pack(zeros) * 25 for pack in packers)


def read_bomb(data: bytes) -> None:
    """A bomb, as the layer that it might be."""
    read_tar_source(data)


TARGETS: Final = (
    Target(name="tar", seeds=tars, read=read_tar, repair=repair_tar, weight=30),
    Target(name="tar-source", seeds=tars, read=read_tar_source, repair=repair_tar, weight=15),
    Target(name="rootfs", seeds=roots, read=read_rootfs, repair=repair_tar, weight=8),
    Target(name="cpio", seeds=cpios, read=read_cpio, repair=repair_cpio, weight=30),
    Target(name="initrd", seeds=initrds, read=read_initrd, repair=repair_cpio, weight=15),
    Target(
        name="deb",
        seeds=lambda: (make_deb("gz"), make_deb("xz")),
        read=read_deb,
        tokens=(b"debian-binary", b"control.tar", b"data.tar.zst", b"`\n", b"2.1\n"),
        weight=10,
    ),
    Target(
        name="deb-control",
        seeds=lambda: (b"Package: a\nVersion: 1\nArchitecture: all\nX-More: a\n b\n",),
        read=read_control,
        tokens=(b"Package:", b"Architecture: ", b"\n ", b"\n\n"),
        weight=10,
    ),
    Target(name="compression", seeds=streams, read=read_stream, weight=25),
    Target(name="bombs", seeds=bombs, read=read_bomb, weight=0.01),
)
