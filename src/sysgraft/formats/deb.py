"""Debian binary packages: where their file tree is and what their control file says.

Format: deb(5), version 2.0; deb-control(5). A package is an ``ar`` archive of ``debian-binary``,
``control.tar`` and ``data.tar``, the last two maybe compressed. Maintainer scripts are not run,
and nothing reads conffiles, dependencies or signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats import ar
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.stream import BlobSource
from sysgraft.formats.tar import Kind, TarReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.formats.stream import ByteSource

MAX_CONTROL: Final = 1 << 20
"""Bytes of a control file: the largest in Debian have some tens of kilobytes."""

CONTROL_LIMITS: Final = Limits(output=256 << 20)
"""For ``control.tar``: scripts and checksum lists, a few megabytes at most."""

_VERSION: Final = b"debian-binary"
_MAX_VERSION: Final = 64
# Suffixes of deb(5), and what must lie behind them; "lzma" and "bz2" are from old packages.
_SUFFIXES: Final = {
    b"": Compression.NONE,
    b".gz": Compression.GZIP,
    b".xz": Compression.XZ,
    b".zst": Compression.ZSTD,
    b".bz2": Compression.BZIP2,
    b".lzma": Compression.LZMA,
}


@dataclass(frozen=True, slots=True)
class Package:
    """A package.

    Attributes:
        name: its ``Package`` field.
        version: its ``Version`` field.
        architecture: its ``Architecture`` field, Debian's spelling.
        data: the archive of its file tree.
        compression: how `data` is compressed.
    """

    name: str
    version: str
    architecture: str
    data: Blob
    compression: Compression


def read_package(blob: Blob) -> Package:
    """Read a package's structure and control file.

    Raises:
        FormatError: it breaks the rules of deb(5).
    """
    # deb(5): later versions may add members whose names begin with "_" anywhere but first.
    members = [m for m in ar.read_members(blob) if not m.name.startswith(b"_")]
    _check_version(members)
    control, control_kind = _part(members, 1, b"control.tar")
    data, data_kind = _part(members, 2, b"data.tar")
    fields = parse_control(_control_file(control, control_kind))
    return Package(
        name=_required(fields, "package"),
        version=_required(fields, "version"),
        architecture=_required(fields, "architecture"),
        data=data,
        compression=data_kind,
    )


def _check_version(members: Sequence[ar.Member]) -> None:
    if not members or members[0].name != _VERSION:
        raise FormatError("not a Debian package: debian-binary is not its first member")
    content = members[0].content
    line = content.read_at(0, min(content.size, _MAX_VERSION)).partition(b"\n")[0]
    if not line.startswith(b"2."):
        raise UnsupportedError(f"a Debian package of version {printable(line)}, 2.0 is read")


def _part(members: Sequence[ar.Member], index: int, stem: bytes) -> tuple[Blob, Compression]:
    name = members[index].name if index < len(members) else b""
    if not name.startswith(stem):
        raise FormatError(f"the Debian package has no {stem.decode()} where it must be")
    stated = _SUFFIXES.get(name.removeprefix(stem))
    if stated is None:
        raise UnsupportedError(f"unknown compression: {printable(name)}")
    content = members[index].content
    found = detect(content.read_at(0, min(content.size, HEAD_SIZE)))
    if found is not stated:
        raise FormatError(f"{printable(name)} is not compressed as its name says")
    return content, stated


def _control_file(blob: Blob, kind: Compression) -> bytes:
    source: ByteSource = BlobSource(blob)
    if kind is not Compression.NONE:
        source = Decompressor(source, kind, Allowance(CONTROL_LIMITS))
    reader = TarReader(source)
    for member in reader:
        if member.name.removeprefix(b"./") == b"control" and member.kind is Kind.FILE:
            if member.size > MAX_CONTROL:
                raise LimitError(
                    f"a control file of {member.size} bytes, {MAX_CONTROL} are allowed"
                )
            return reader.read(member.size)
    raise FormatError("the Debian package has no control file")


def parse_control(data: bytes) -> dict[str, str]:
    """The fields of a control file's one paragraph; names in lower case, first lines only.

    Raises:
        FormatError: a line is no field, or a field comes twice.
    """
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "backslashreplace").strip("\n").split("\n"):
        if line.startswith((" ", "\t", "#")):
            continue  # a continuation or a comment
        name, colon, value = line.partition(":")
        key = name.lower()
        if not colon or not key or key in fields:
            raise FormatError(f"not a field of a control file: {printable(line[:80].encode())}")
        fields[key] = value.strip()
    return fields


def _required(fields: dict[str, str], key: str) -> str:
    value = fields.get(key)
    if not value:
        raise FormatError(f"the control file has no {key.capitalize()} field")
    return value
