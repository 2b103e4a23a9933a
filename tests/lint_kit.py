"""Extension images with one thing wrong, and kernel modules, made for the tests of ``ext lint``."""

from __future__ import annotations

import lzma
import struct
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from sysgraft.base import ids
from sysgraft.base.blob import BytesBlob
from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import Inode, parent
from sysgraft.build.image import write_image
from sysgraft.formats.erofs import writer
from sysgraft.formats.extension_release import Kind
from sysgraft.formats.extension_release import path as release_path
from sysgraft.formats.module_signature import MARK
from sysgraft.image.dissect import Dissection
from sysgraft.image.lint.lint import lint_images
from sysgraft.image.lint.scene import Subject
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.roothash import sign_root_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from uuid import UUID

    from sysgraft.image.lint.lint import LintOptions, LintReport
    from sysgraft.sign.pair import SigningPair
    from sysgraft.testing.certificates import Identity

FOLDER: Final = Inode(0o40755)
BLOCK: Final = 4096
KERNEL: Final = "6.1.0-test"
MAGIC: Final = f"{KERNEL} SMP preempt mod_unload "


def file(content: bytes | str = b"content\n", mode: int = 0o644, *, uid: int = 0) -> Inode:
    data = content.encode() if isinstance(content, str) else content
    return Inode(0o100000 | mode, uid=uid, content=BytesBlob(data))


def link(target: str) -> Inode:
    return Inode(0o120777, target=target.encode())


WHITEOUT: Final = Inode(0o20000)
OPAQUE: Final = replace(FOLDER, xattrs=((b"trusted.overlay.opaque", b"y"),))

Content = bytes | str | Inode


def tree(files: Mapping[str, Content]) -> dict[bytes, Inode]:
    """A tree of these files and the folders they are in."""
    found = {b"": replace(FOLDER)}
    for name, content in files.items():
        path = name.encode()
        above = parent(path)
        while above and above not in found:
            found[above] = replace(FOLDER)
            above = parent(above)
        found[path] = replace(content) if isinstance(content, Inode) else file(content)
    return dict(sorted(found.items()))


def subject(name: str, files: Mapping[str, Content]) -> Subject:
    """A system extension that is not in a file."""
    return Subject(
        file=name,
        name=name,
        kind=Kind.SYSEXT,
        tree=tree(files),
        choice=None,
        release=None,
        kinds=frozenset(),
        dissection=Dissection(None, ()),
    )


@dataclass(frozen=True)
class Maker:
    """Writes images into a folder.

    Attributes:
        folder: where they go.
    """

    folder: Path

    def image(
        self,
        name: str,
        files: Mapping[str, Content],
        *,
        kind: Kind = Kind.SYSEXT,
        release: str = "ID=_any\nARCHITECTURE=x86-64\n",
        called: str = "",
        file_name: str = "",
        signing: SigningPair | None = None,
        architecture: str = "x86-64",
    ) -> Path:
        """An image of these files; its release file is for `called`, or for `name`."""
        content = self._plan(name, files, kind, release or "", called or name)
        path = self.folder / (file_name or f"{name}.{kind}.raw")
        with path.open("w+b") as target:
            write_image(
                target,
                content,
                seed=ids.default_seed(name),
                architecture=architecture,
                sign=signing.signature_partition if signing else None,
                progress=NoProgress(),
            )
        return path

    def bare(
        self,
        name: str,
        files: Mapping[str, Content],
        *,
        kind: Kind = Kind.SYSEXT,
        release: str = "ID=_any\n",
        called: str = "",
    ) -> Path:
        """A file system without a partition table."""
        content = self._plan(name, files, kind, release, called or name)
        path = self.folder / f"{name}.{kind}.raw"
        data = bytearray(content.block_count * BLOCK)
        content.fill(0, memoryview(data))
        path.write_bytes(data)
        return path

    def _plan(
        self, name: str, files: Mapping[str, Content], kind: Kind, release: str, called: str
    ) -> writer.Image:
        more = {release_path(kind, called).decode(): release} if release else {}
        seed: UUID = ids.default_seed(name)
        return writer.plan(tree({**files, **more}), uuid=seed, build_time=0)

    def folder_of(self, name: str, files: Mapping[str, bytes | str]) -> str:
        """A folder with these files: a base, or a kernel's modules."""
        for path, content in files.items():
            place = self.folder / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(self.folder / name)


def lint(*images: Path, options: LintOptions | None = None) -> LintReport:
    return lint_images(images, options)


def codes(report: LintReport) -> dict[str, list[str]]:
    """The paths of each finding, by its name; those of several of one name together."""
    listed: dict[str, list[str]] = {}
    for each in report.findings:
        listed.setdefault(each.code, []).extend(f"/{path.decode()}" for path in each.paths)
    return {code: sorted(paths) for code, paths in listed.items()}


def unchecked(report: LintReport) -> list[str]:
    return [each.reason for each in report.not_checked]


# --- Units and compressed files -------------------------------------------------------------------

UNITS: Final = "usr/lib/systemd/system"
MODULES: Final = f"usr/lib/modules/{KERNEL}"
RELOADED: Final = "ID=_any\nARCHITECTURE=x86-64\nEXTENSION_RELOAD_MANAGER=1\n"
SERVICE: Final = "[Service]\nExecStart=/usr/bin/demo\n"
INSTALLED: Final = SERVICE + "[Install]\nWantedBy=multi-user.target\n"
UPHOLDS: Final = "[Unit]\nUpholds=demo.service\n"
FIRMWARE: Final = b"firmware of a device " * 200


def running(*commands: str) -> dict[str, Content]:
    """A unit that runs commands."""
    lines = "".join(f"ExecStart={command}\n" for command in commands)
    return {f"{UNITS}/again.service": f"[Service]\nType=oneshot\n{lines}"}


def zstd(data: bytes, *, with_size: bool = True) -> bytes:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    codec: Any = import_module(name)
    options = {codec.CompressionParameter.content_size_flag: with_size}
    return bytes(codec.compress(data, options=options))


def xz(data: bytes, check: int = lzma.CHECK_CRC32) -> bytes:
    return lzma.compress(data, check=check)


# --- Kernel modules ------------------------------------------------------------------------------


def module(
    name: str = "demo",
    *,
    magic: str = MAGIC,
    depends: Iterable[str] = (),
    signer: Identity | None = None,
    bits: int = 64,
    order: str = "<",
) -> bytes:
    """A kernel module with no code in it."""
    fields = {"name": name, "vermagic": magic, "depends": ",".join(depends)}
    section = b"".join(f"{key}={value}\0".encode() for key, value in fields.items())
    data = elf({b".text": b"\0" * 16, b".modinfo": section}, bits=bits, order=order)
    return data + signature(signer) if signer else data


def elf(sections: Mapping[bytes, bytes], *, bits: int = 64, order: str = "<") -> bytes:
    """A relocatable ELF file of these sections (System V ABI, chapter 4)."""
    names = b"\0" + b"".join(name + b"\0" for name in sections) + b".shstrtab\0"
    header_size, record = (64, "IIQQQQIIQQ") if bits == 64 else (52, "IIIIIIIIII")
    body = b""
    records = [struct.pack(order + record, *[0] * 10)]
    for name, content in {**sections, b".shstrtab": names}.items():
        place = header_size + len(body)
        start = names.index(b"\0" + name + b"\0") + 1
        where = (start, 1, 0, 0, place, len(content), 0, 0, 1, 0)
        records.append(struct.pack(order + record, *where))
        body += content
    table = header_size + len(body)
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "<" else 2, 1]).ljust(12, b"\0")
    layout = "HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH"
    size = len(records[0])
    fields = (1, 62, 1, 0, 0, table, 0, header_size, 0, 0, size, len(records), len(records) - 1)
    return ident + struct.pack(order + layout, *fields) + body + b"".join(records)


def signature(signer: Identity) -> bytes:
    """What is behind a signed module; nothing verifies it."""
    key = load_private_key(signer.key_pem)
    pkcs7 = sign_root_hash(b"\1" * 32, key, signer.certificate, include_certificate=False)
    return pkcs7 + struct.pack(">5B3xI", 0, 0, 2, 0, 0, len(pkcs7)) + MARK


EVERYTHING: Final[dict[str, Content]] = {
    f"{MODULES}/updates/demo.ko": module(),
    f"{MODULES}/updates/demo.ko.zst": zstd(module("packed")),
    f"{MODULES}/updates/demo.ko.xz": xz(module("other")),
    f"{MODULES}/modules.dep": "updates/demo.ko:\n",
    f"{UNITS}/demo.service": "[Service]\nExecStart=/usr/bin/script\n[Install]\nWantedBy=x\n",
    "usr/bin/script": "#!/bin/sh\nudevadm control --reload\n",
    "usr/lib/firmware/a.bin": b"a" * 5000,
    "usr/lib/firmware/a.bin.zst": zstd(b"a" * 5000),
    "usr/lib/firmware/link.bin": link("a.bin"),
    **running("udevadm trigger"),
}
"""Something for every family of checks."""
