"""How firmware files are stored: as they are, each compressed with zstd, or plain.

Linux' loader tries a name as it is, then with ``.zst``, then with ``.xz``; a zstd frame has to
state its size. Links follow ``copy-firmware.sh`` of linux-firmware: ``NAME.zst -> TARGET.zst``,
where what they lead to is compressed. Files that WHENCE calls raw stay plain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from sysgraft.base.blob import chunks
from sysgraft.base.text import one_line
from sysgraft.errors import FormatError, InputError
from sysgraft.formats import firmware_file
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.stream import CHUNK, BlobSource
from sysgraft.host.zstd import compress_sized

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.build.firmware_set.choosing import Chosen
    from sysgraft.build.sources.model import Workspace

Packing = Literal["keep", "zstd", "plain"]

LEVEL: Final = 19
"""Of zstd, as ``copy-firmware.sh`` compresses: the highest whose windows need no option."""

MAX_FILE: Final = 1 << 30
"""Bytes of one firmware file, uncompressed; the largest of linux-firmware has 60 MB."""

# In the order of firmware_file.SUFFIXES.
_COMPRESSIONS: Final = (None, Compression.ZSTD, Compression.XZ)


@dataclass(frozen=True, slots=True)
class Packed:
    """A file or link as it will be stored.

    Attributes:
        path: below the firmware folder, with the suffix it has now.
        chosen: what it is made of; its inode has the new content or target.
        plain: what a driver gets; None for links.
    """

    path: str
    chosen: Chosen
    plain: Blob | None = None

    @property
    def plain_size(self) -> int:
        """Bytes a driver gets; 0 for links."""
        return self.plain.size if self.plain else 0


def pack(
    chosen: Mapping[str, Chosen],
    workspace: Workspace,
    *,
    packing: Packing,
    raw: Collection[str] = (),
) -> list[Packed]:
    """All of `chosen` as it will be stored, sorted by path.

    Args:
        chosen: by path.
        workspace: gives the spool, and is told what is left out.
        packing: see `Packing`.
        raw: names, without suffixes, that have to stay plain.

    Raises:
        FormatError: a file is not what its suffix says.
    """
    packer = _Packer(workspace, packing, frozenset(raw))
    found: dict[str, Packed] = {}
    workspace.progress.start("packing firmware", sum(map(_size, chosen.values())))
    # By the kernel's order of suffixes: of several forms of one file, the first is what it loads.
    for path in sorted(chosen, key=firmware_file.split_text):
        if packing != "keep" and _is_other_form(path, chosen[path]):
            continue
        packed = packer.pack(path, chosen[path])
        if packed.path in found:
            workspace.note(
                f"{one_line(path)} is left out: {one_line(packed.path)} is the same name"
            )
            packed = _in_place_of(found[packed.path], packed.chosen)
        found[packed.path] = packed
    workspace.progress.finish()
    return [found[path] for path in sorted(found)]


def _is_other_form(path: str, chosen: Chosen) -> bool:
    """Whether it is a link to another form of its own name: in one form it would be itself."""
    return bool(chosen.final) and plain_name(chosen.final) == plain_name(path)


def _in_place_of(kept: Packed, other: Chosen) -> Packed:
    """What was said of the one that is left out holds for the one that stays."""
    chosen = replace(
        kept.chosen,
        is_early=kept.chosen.is_early or other.is_early,
        planned=kept.chosen.planned or other.planned,
    )
    return replace(kept, chosen=chosen)


class _Packer:
    """Makes one thing after the other."""

    def __init__(self, workspace: Workspace, packing: Packing, raw: frozenset[str]) -> None:
        self._workspace = workspace
        self._packing = packing
        self._raw = raw

    def pack(self, path: str, chosen: Chosen) -> Packed:
        if chosen.inode.content is None:
            return self._link(path, chosen)
        content = chosen.inode.content
        self._workspace.progress.advance(content.size)
        plain = self._plain(path, content)
        if self._packing == "keep":
            return Packed(path, chosen, plain)
        if self._packing == "plain" or plain_name(path) in self._raw:
            return self._file(plain_name(path), chosen, plain, plain)
        packed = self._spooled(compress_sized(chunks(plain, CHUNK), LEVEL, plain.size))
        return self._file(plain_name(path) + ".zst", chosen, packed, plain)

    def _file(self, path: str, chosen: Chosen, content: Blob, plain: Blob) -> Packed:
        return Packed(path, replace(chosen, inode=replace(chosen.inode, content=content)), plain)

    def _link(self, path: str, chosen: Chosen) -> Packed:
        """The same suffix at both ends as the file has in the end; links to folders stay."""
        if self._packing == "keep" or not chosen.final:
            return Packed(path, chosen)
        is_plain = self._packing == "plain" or plain_name(chosen.final) in self._raw
        suffix = "" if is_plain else ".zst"
        target = chosen.inode.target.decode("utf-8", "surrogateescape")
        new = (plain_name(target) + suffix).encode("utf-8", "surrogateescape")
        return Packed(
            plain_name(path) + suffix, replace(chosen, inode=replace(chosen.inode, target=new))
        )

    def _plain(self, path: str, content: Blob) -> Blob:
        """The content as a driver gets it."""
        expected = _COMPRESSIONS[firmware_file.split_text(path)[1]]
        if expected is None:
            return content
        found = detect(content.read_at(0, min(content.size, HEAD_SIZE)))
        if found is not expected:
            raise FormatError(f"not compressed as its name says: {one_line(path)}")
        source = Decompressor(BlobSource(content), found, self._workspace.allowance)
        return self._spooled(_limited(source, path))

    def _spooled(self, pieces: Iterator[bytes]) -> Blob:
        spool = self._workspace.spool
        start = spool.append(b"")
        end = start
        for piece in pieces:
            end = spool.append(piece) + len(piece)
        return spool.blob(start, end - start)


def _limited(source: Decompressor, path: str) -> Iterator[bytes]:
    size = 0
    while data := source.read(CHUNK):
        size += len(data)
        if size > MAX_FILE:
            raise InputError(f"more than {MAX_FILE} bytes of firmware: {one_line(path)}")
        yield data


def _size(chosen: Chosen) -> int:
    return chosen.inode.content.size if chosen.inode.content else 0


def plain_name(path: str) -> str:
    """A path without the suffix of a compressed file."""
    return firmware_file.split_text(path)[0]
