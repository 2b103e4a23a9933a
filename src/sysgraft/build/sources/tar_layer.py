"""A layer from a tar stream: entries, contents where they can be read again, digests checked.

An uncompressed archive on a file is indexed, its contents stay where they are. Anything
compressed is read once; the data of files that may be kept go to the spool. Nothing is unpacked.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob, SubBlob
from sysgraft.base.tree import Inode, printable
from sysgraft.build.sources.model import (
    LINK_MODE,
    SELINUX_NOTE,
    AbsentContent,
    Entry,
    carried_xattrs,
)
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.archive_path import clean_path
from sysgraft.formats.compression import Compression
from sysgraft.formats.layer_stream import LayerStream, compression_of
from sysgraft.formats.stream import CHUNK
from sysgraft.formats.tar import Kind, TarReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.base.blob import Blob
    from sysgraft.build.sources.model import Workspace
    from sysgraft.formats.oci import Digest
    from sysgraft.formats.tar import Member

_TYPE_BITS: Final = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
}
_EMPTY: Final = BytesBlob(b"")
_SELINUX_KEY: Final = b"RHT.security.selinux"  # where GNU tar's --selinux puts labels


@dataclass(frozen=True, slots=True)
class TarBlob:
    """A tar archive, maybe compressed, inside a file.

    Attributes:
        file: the blob that holds it; contents are read from it directly.
        start: its first byte there.
        size: its length.
        digest: of its bytes as they are; None to check none.
        diff_id: of its bytes uncompressed; None to check none.
        is_spooled: whether `file` came out of a decompressor.
    """

    file: Blob
    start: int
    size: int
    digest: Digest | None = None
    diff_id: Digest | None = None
    is_spooled: bool = False

    @property
    def place(self) -> tuple[Blob, int, int]:
        """What tells it from other archives, whatever digests are stated."""
        return self.file, self.start, self.size

    @property
    def blob(self) -> Blob:
        """Its bytes."""
        return SubBlob(self.file, self.start, self.size)

    @property
    def compression(self) -> Compression:
        """How it is compressed, by its first bytes."""
        return compression_of(self.blob)


def _stream(tar: TarBlob, workspace: Workspace) -> LayerStream:
    return LayerStream(
        tar.blob,
        digest=tar.digest,
        diff_id=tar.diff_id,
        allowance=workspace.allowance,
        earns=workspace.is_first_reading(tar.place) and not tar.is_spooled,
        advance=workspace.progress.advance,
    )


def _nothing(_path: bytes) -> bool:
    return False


def read_entries(
    tar: TarBlob, workspace: Workspace, is_hidden: Callable[[bytes], bool] = _nothing
) -> list[Entry]:
    """All entries of a layer, verified.

    Args:
        tar: the layer.
        workspace: shared with other sources.
        is_hidden: whether layers above hide what is at a path, so that its content is not needed.

    Raises:
        FormatError: it breaks the format's rules, or a digest differs.
    """
    left = workspace.xattrs.left

    def is_needed(path: bytes) -> bool:
        return workspace.needs_content(path) and not is_hidden(path)

    entries = _read_once(tar, workspace, is_needed)
    missing = _passed_over_targets(entries, is_needed)
    if missing:
        # Rare: a kept path is a hard link to a file outside, whose data went by. Read again.
        workspace.xattrs.left = left
        entries = _read_once(tar, workspace, lambda path: path in missing or is_needed(path))
    return entries


def count_contents(tar: TarBlob, workspace: Workspace) -> tuple[int, int, int]:
    """Files, directories and bytes of content in a layer that is left out; no digests checked."""
    plain = replace(tar, digest=None, diff_id=None)
    files = directories = size = 0
    for member in TarReader(_stream(plain, workspace).source):
        files += member.kind is not Kind.DIRECTORY
        directories += member.kind is Kind.DIRECTORY
        size += member.size
    return files, directories, size


def _read_once(
    tar: TarBlob, workspace: Workspace, is_needed: Callable[[bytes], bool]
) -> list[Entry]:
    stream = _stream(tar, workspace)
    reader = TarReader(stream.source)
    in_place = tar if stream.compression is Compression.NONE else None
    try:
        contents = _Contents(reader, in_place, workspace, is_needed)
        entries = [_entry(member, contents) for member in reader]
    except LimitError:
        raise
    except FormatError:
        # Where bytes are not the stated ones, that is the cause and the better message.
        stream.check()
        raise
    stream.check()
    _note_losses(reader, workspace)
    return entries


def _passed_over_targets(
    entries: list[Entry], is_needed: Callable[[bytes], bool]
) -> frozenset[bytes]:
    """Paths whose content went by and is needed after all, through hard links to them.

    A link may lead to a link, and be written another way than its target (``lib/x`` for
    ``usr/lib/x``): what has its last name counts then.
    """
    absent = {
        entry.path
        for entry in entries
        if entry.inode is not None and isinstance(entry.inode.content, AbsentContent)
    }
    links = {entry.path: entry.link for entry in entries if entry.inode is None}
    if not absent or not links:
        return frozenset()
    by_name: dict[bytes, set[bytes]] = {}
    for path in (*absent, *links):
        by_name.setdefault(_last(path), set()).add(path)
    pending = [link for path, link in links.items() if is_needed(path)]
    reached: set[bytes] = set()
    while pending:
        target = pending.pop()
        same = {target} if target in absent or target in links else by_name.get(_last(target), ())
        for path in set(same) - reached:
            reached.add(path)
            if path in links:
                pending.append(links[path])
    return frozenset(reached & absent)


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


class _Contents:
    """Turns what belongs to the reader's current entry into blobs and attributes."""

    def __init__(
        self,
        reader: TarReader,
        in_place: TarBlob | None,
        workspace: Workspace,
        is_needed: Callable[[bytes], bool],
    ) -> None:
        self._reader = reader
        self._in_place = in_place
        self.workspace = workspace
        self._is_needed = is_needed

    def of(self, member: Member, path: bytes) -> Blob:
        if not member.size:
            return _EMPTY
        if self._in_place is not None:
            start = self._in_place.start + member.data_offset
            return SubBlob(self._in_place.file, start, member.size)
        if self._is_needed(path):
            return self._spooled(member.size)
        return AbsentContent(member.size)

    def xattrs_of(self, member: Member) -> tuple[tuple[bytes, bytes], ...]:
        values = dict(member.xattrs)
        kept = [(name, values[name]) for name in carried_xattrs(values, self.workspace)]
        for name, value in kept:
            self.workspace.xattrs.spend(name, value)
        return tuple(kept)

    def _spooled(self, size: int) -> Blob:
        spool = self.workspace.spool
        start = spool.append(self._reader.read(CHUNK))
        while data := self._reader.read(CHUNK):
            spool.append(data)
        return spool.blob(start, size)


def _entry(member: Member, contents: _Contents) -> Entry:
    path = clean_path(member.name)
    if member.kind is Kind.HARD_LINK:
        return Entry(path, None, clean_path(member.linkname))
    if not path and member.kind is not Kind.DIRECTORY:
        raise FormatError(f"the archive's root is a {member.kind.value}: {printable(member.name)}")
    return Entry(path, _inode(member, path, contents))


def _inode(member: Member, path: bytes, contents: _Contents) -> Inode:
    options = contents.workspace.options
    mtime, nsec = clamp_time(member.mtime, member.mtime_nsec, options.source_date_epoch)
    to_root = options.owner == "root"
    is_link = member.kind is Kind.SYMLINK
    return Inode(
        mode=LINK_MODE if is_link else _TYPE_BITS[member.kind] | member.mode,
        uid=0 if to_root else member.uid,
        gid=0 if to_root else member.gid,
        mtime=mtime,
        mtime_nsec=nsec,
        xattrs=contents.xattrs_of(member) if member.xattrs else (),
        content=contents.of(member, path) if member.kind is Kind.FILE else None,
        target=member.linkname if is_link else b"",
        rdev=member.rdev,
    )


def clamp_time(seconds: int, nsec: int, epoch: int | None) -> tuple[int, int]:
    """A time between 1970, before which EROFS has none, and `epoch`, where one is given."""
    if seconds < 0:
        return 0, 0
    if epoch is not None and seconds >= epoch:
        return epoch, 0
    return seconds, nsec


def _note_losses(reader: TarReader, workspace: Workspace) -> None:
    """Say what the archive holds that is not carried over."""
    if _SELINUX_KEY in reader.ignored:
        workspace.note(SELINUX_NOTE)
    lost = sorted(reader.ignored - {_SELINUX_KEY})
    if lost:
        names = ", ".join(printable(key) for key in lost)
        workspace.note(f"not carried over from pax headers: {names}")
