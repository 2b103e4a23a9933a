"""What a kernel's modules ask for and what firmware there is: the index plans are made from.

One file: a line that tells what it is, and a zstd frame of MessagePack. It depends on nothing but
what was indexed, so that the same kernel and firmware give the same bytes anywhere: it holds no
times, no owners and no paths outside of the trees. Making one is `sysgraft.firmware.index_kernel`'s
and `sysgraft.firmware.index_tree`'s; this module says what it holds, and reads and writes it.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError
from sysgraft.firmware.plan_document import is_inside
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import Compression, Decompressor
from sysgraft.formats.stream import BlobSource
from sysgraft.host import zstd

MAGIC: Final = b"sysgraft firmware index 1\n"
"""First bytes; the number changes with every change of what is behind it."""

MAX_SIZE: Final = 64 << 20
"""Bytes of an index; that of Debian's kernel and firmware has under one megabyte."""
MAX_PLAIN: Final = 256 << 20
"""Bytes of it, decompressed."""
MAX_MODULES: Final = 100_000
"""Modules of a kernel."""
MAX_ENTRIES: Final = 200_000
"""Files and links of all firmware trees."""

_LEVEL: Final = 6  # of zstd: nine tenths of what the highest saves, in a tenth of a second


Names: TypeAlias = tuple[str, tuple[str, ...]]
"""A module, and others."""


class Module(msgspec.Struct, frozen=True, array_like=True):
    """A module.

    Attributes:
        name: with ``_`` for ``-``.
        path: relative to the kernel's folder; empty for one that is built in.
        digest: SHA-256 of the file as it is stored; empty for one that is built in.
        aliases: patterns it wants to be loaded for.
        depends: modules whose symbols it uses.
        soft: modules that are loaded along with it if they are there.
        weak: modules it may load itself.
        firmware: names it declares, globs among them.
        architecture: systemd's name of what it is for; empty where nobody knows.
    """

    name: str
    path: str
    digest: bytes
    aliases: tuple[str, ...]
    depends: tuple[str, ...]
    soft: tuple[str, ...]
    weak: tuple[str, ...]
    firmware: tuple[str, ...]
    architecture: str


class Kernel(msgspec.Struct, frozen=True, array_like=True):
    """A kernel's folder of modules.

    Attributes:
        release: as ``uname -r``.
        architecture: systemd's name of it; empty where no module tells.
        modules: sorted by name, those built in among them.
        aliases: patterns and modules that only ``modules.alias`` has.
        depends: what ``modules.dep`` says beyond what modules say of themselves, by module.
        soft: likewise of ``modules.softdep``.
        weak: likewise of ``modules.weakdep``.
        problems: modules that could not be read, and why.
    """

    release: str
    architecture: str
    modules: tuple[Module, ...]
    aliases: tuple[tuple[str, str], ...]
    depends: tuple[Names, ...]
    soft: tuple[Names, ...]
    weak: tuple[Names, ...]
    problems: tuple[str, ...]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A firmware file or link.

    Attributes:
        path: relative to the firmware folder.
        size: bytes as stored; 0 for a link.
        target: where a link points; empty for a file.
        tree: number of the tree it is from.
        sha256: of a file as stored; empty where digests were not asked for.
    """

    path: str
    size: int
    target: str
    tree: int
    sha256: bytes


class Package(msgspec.Struct, frozen=True, array_like=True):
    """What the metainfo of a package says.

    Attributes:
        name: of the package.
        modaliases: patterns of devices it is for.
        firmware: names of its files.
        copyright: where its licence is, relative to the root of the tree; empty for nowhere.
    """

    name: str
    modaliases: tuple[str, ...]
    firmware: tuple[str, ...]
    copyright: str


class License(msgspec.Struct, frozen=True, array_like=True):
    """What one record of WHENCE says.

    Attributes:
        drivers: its ``Driver:``.
        paths: files and links of the record.
        text: the first line of its terms.
        files: licence files it names, as far as the tree has them.
    """

    drivers: tuple[str, ...]
    paths: tuple[str, ...]
    text: str
    files: tuple[str, ...]


class Index(msgspec.Struct, frozen=True, array_like=True):
    """An index.

    Attributes:
        kernels: sorted by release.
        entries: sorted by path; of trees that have the same path the last one's.
        packages: sorted by name.
        licenses: in the order of WHENCE, tree after tree.
        problems: what could not be read of the firmware trees, and why.
    """

    kernels: tuple[Kernel, ...]
    entries: tuple[Entry, ...]
    packages: tuple[Package, ...]
    licenses: tuple[License, ...]
    problems: tuple[str, ...]


def render_index(index: Index) -> bytes:
    """The file, the same for the same index and the same release of libzstd."""
    plain = msgspec.msgpack.encode(index)
    return MAGIC + b"".join(zstd.compress([plain], _LEVEL))


def parse_index(data: bytes) -> Index:
    """Read an index.

    Raises:
        LimitError: it is larger than the limits of this module.
        FormatError: it is none, of another version, damaged, or leads out of its folders.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a firmware index of more than {MAX_SIZE} bytes")
    if not data.startswith(MAGIC):
        raise FormatError(_not_ours(data), hint="make it anew: sysgraft firmware index")
    index = _decoded(data[len(MAGIC) :])
    if len(index.entries) > MAX_ENTRIES:
        raise LimitError(f"a firmware index of more than {MAX_ENTRIES} files")
    if any(len(kernel.modules) > MAX_MODULES for kernel in index.kernels):
        raise LimitError(f"a firmware index with more than {MAX_MODULES} modules of a kernel")
    for entry in index.entries:
        if not is_inside(entry.path) or entry.size < 0:
            raise FormatError(f"a firmware index with a file {entry.path[:80]!r}")
    return index


def _not_ours(data: bytes) -> str:
    if data.startswith(MAGIC.rpartition(b" ")[0]):
        return "a firmware index of another version of sysgraft"
    return "not a firmware index"


def _decoded(packed: bytes) -> Index:
    limits = Limits(output=MAX_PLAIN + 1, free=MAX_PLAIN + 1)
    source = Decompressor(BlobSource(BytesBlob(packed)), Compression.ZSTD, Allowance(limits))
    plain = source.read(MAX_PLAIN + 1)
    if len(plain) > MAX_PLAIN:
        raise LimitError(f"a firmware index of more than {MAX_PLAIN} bytes, decompressed")
    try:
        return msgspec.msgpack.decode(plain, type=Index)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"a damaged firmware index: {str(error)[:120]}") from error
