"""Targets: RPM packages, squashfs file systems and the process that reads them."""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import stat
import struct
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from rpm_kit import F, Kit, archive, string, without_digests
from sysgraft.base.blob import BytesBlob
from sysgraft.build.collect import open_tree
from sysgraft.build.sources.model import Options
from sysgraft.errors import SysgraftError
from sysgraft.formats import file_capabilities, rpm
from sysgraft.host import squashfs as process
from sysgraft.host.squashfs_image import SquashfsImage
from sysgraft.image.squashfs import SquashfsReader
from target import File, Target, as_text, drain
from targets_images import first_partition, foreign_images

if TYPE_CHECKING:
    from collections.abc import Sequence

RPM: Final = File("fuzz.rpm")
_FILES: Final = [
    F("/usr/lib/a", b"shared", inode=7),
    F("/usr/lib/b", b"x" * 700, caps=b"cap_net_raw=ep"),
    F("/usr/lib/c", b"shared", inode=7),
    F("/usr/lib/d", mode=stat.S_IFLNK | 0o777, target=b"a"),
    F("/usr/share", mode=stat.S_IFDIR | 0o755),
]


@functools.cache
def packages() -> Sequence[bytes]:
    """Packages with digests and, so that damage reaches the parsers, more without."""
    packed = gzip.compress(archive(_FILES), mtime=0)
    kits = [
        Kit(_FILES),
        Kit(_FILES, is_short=True),
        Kit(_FILES, packed, values={1125: string(b"gzip")}),
    ]
    bare = [*map(without_digests, kits)]
    return tuple(kit.bytes() for kit in (kits[0], *bare, *bare, *bare))


def read_package(data: bytes) -> None:
    """A package, and the tree that is made of it."""
    rpm.read_package(BytesBlob(data))
    options = Options(kind="root", whiteouts="drop")
    with open_tree([f"rpm:{RPM.put(data)}"], options) as found:
        for inode in found.tree.values():
            if inode.content is not None:
                drain(inode.content)


def read_capabilities(data: bytes) -> None:
    """Capabilities of a file, as packages have them."""
    file_capabilities.from_text(as_text(data))


# --- squashfs ------------------------------------------------------------------------------------


@functools.cache
def volumes() -> Sequence[bytes]:
    """The file system of an image that systemd-repart made."""
    partition = first_partition(foreign_images()[3])
    # The superblock's bytes_used.
    return (partition[: int.from_bytes(partition[40:48], "little")],)


def read_volume(data: bytes) -> None:
    """A file system, by a process of its own."""
    reader = SquashfsReader(BytesBlob(data))
    for inode in list(reader.read_tree().values())[:50]:
        if inode.content is not None:
            drain(inode.content)


def read_in_child(data: bytes) -> None:
    """What that process does; there, whatever is raised becomes an answer."""
    try:
        _read_in_child(SquashfsImage(io.BytesIO(data)))
    except MemoryError:
        raise
    except Exception as error:
        raise SysgraftError(f"damaged: {type(error).__name__}") from error


def _read_in_child(image: SquashfsImage) -> None:
    waiting, seen = [process.ROOT], 0
    while waiting and seen < 60:
        seen += 1
        listing = image.listing(waiting.pop())
        for entry in listing["entries"][:60]:
            if stat.S_ISDIR(entry["mode"]):
                waiting.append(entry["ref"])
            elif stat.S_ISREG(entry["mode"]):
                image.read(entry["ref"], 0, min(entry["size"], 1 << 16))


class _Said:
    """A process that has said everything already."""

    returncode = 0

    def __init__(self, data: bytes) -> None:
        number = os.memfd_create("answers")
        self.stdout = os.fdopen(number, "r+b", buffering=0)
        os.write(number, data)
        os.lseek(number, 0, os.SEEK_SET)
        self.stdin = open(os.devnull, "wb", buffering=0)  # noqa: SIM115  closed with the process

    def wait(self, _seconds: float = 0) -> int:
        """It has ended."""
        return 0

    def kill(self) -> None:
        """As `wait`."""


def read_answers(data: bytes) -> None:
    """What that process may answer, if the library in it was taken over."""

    def start(_argv: object) -> Any:  # noqa: ANN401  as much of a process as is used
        return _Said(data)

    with mock.patch.object(process, "_start", start):
        child = process.SquashfsProcess(BytesBlob(bytes(4096)), argv=["nobody"])
        try:
            reader = SquashfsReader(BytesBlob(bytes(4096)), child)
            for inode in reader.read_tree().values():
                if inode.content is not None and inode.content.size < 1 << 20:
                    drain(inode.content)
        finally:
            child.close()


def _message(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I1s", len(content), kind) + content


def _described(ref: int, mode: int, name: str = "", **more: object) -> dict[str, object]:
    fields = {"uid": 0, "gid": 0, "mtime": 5, "size": 0, "target": "", "device": 0, "xattrs": []}
    return {"ref": ref, "mode": mode, "name": name, **fields, **more}


def conversations() -> Sequence[bytes]:
    """What it answers about two small images, and an error."""
    root, folder = _described(1, 0o040755), _described(2, 0o040755, "d")
    file = _described(3, 0o100644, "f", size=5, xattrs=[["user.a", "b"]])
    link = _described(4, 0o120777, "l", target="f")

    def listing(inode: dict[str, object], *entries: dict[str, object]) -> bytes:
        return _message(b"J", json.dumps({"inode": inode, "entries": entries}).encode())

    need = _message(b"N", struct.pack(">QI", 96, 40))
    whole = need + listing(root, folder, file, link) + listing(folder) + _message(b"D", b"hello")
    failure = _message(b"E", b'{"kind": "damaged", "message": "a block"}')
    return (whole, listing(root, file) + failure, failure)


TARGETS: Final = (
    Target(name="rpm", seeds=packages, read=read_package, weight=20),
    Target(
        name="file-capabilities",
        seeds=lambda: (b"cap_net_raw,cap_sys_admin=ep", b"cap_chown=ei", b"=ep"),
        read=read_capabilities,
        tokens=(b"cap_", b"all", b"=", b"+eip", b"-p", b","),
        weight=5,
    ),
    Target(name="squashfs", seeds=volumes, read=read_volume, weight=0.2),
    Target(name="squashfs-library", seeds=volumes, read=read_in_child, weight=5),
    Target(
        name="squashfs-answers",
        seeds=conversations,
        read=read_answers,
        tokens=(b'"ref"', b'"mode"', b'"entries"', b"\0\0\0\5D", b"\0\0\0\14N", b'"..":', b'"a/b"'),
        weight=10,
    ),
)
