"""An initrd without firmware: the same archives, and the same compression where we have it.

Plain archives at the front, such as microcode, stay as they are if nothing in them goes. What is
behind them is one compressed archive or several; they become one. LZ4, LZO and bzip2 are read, or
not, as everywhere here, and written as zstd, which the kernel has to know then.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import Blob, SubBlob
from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import Inode, parent, printable
from sysgraft.build.sources.model import Options, Workspace
from sysgraft.build.strip.report import Decision, Keeping, StripReport, make_report
from sysgraft.errors import FormatError, LimitError, in_file
from sysgraft.formats import cpio, cpio_reader
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.stream import CHUNK, BlobSource
from sysgraft.host.files import OpenFile
from sysgraft.host.output import atomic_output
from sysgraft.host.spool import Spool
from sysgraft.host.zstd import compress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sysgraft.base.progress import Progress

ZSTD_LEVEL: Final = 9
"""As for root file systems that become initrds."""

_ALIGNMENT: Final = 4
_Key = tuple[int, int]  # of the archive, and of the inode in it


def is_initrd(path: str) -> bool:
    """Whether a file is a cpio archive, or compressed and one inside."""
    with in_file(path), OpenFile(path) as file:
        head = file.read_at(0, min(file.size, HEAD_SIZE))
        kind = detect(head)
        if kind is not Compression.NONE:
            head = Decompressor(BlobSource(file), kind).read(HEAD_SIZE)
    return head.startswith((cpio.MAGIC, b"070702"))


def strip_initrd(
    path: str,
    output: str,
    keeping: Keeping,
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> StripReport:
    """Write an initrd without the firmware that need not stay.

    Args:
        path: of the initrd.
        output: the new one.
        keeping: what stays.
        replace: whether an existing file is replaced.
        progress: told of reading and writing.

    Raises:
        InputError: it cannot be read.
        FormatError: it is no initrd.
        OutputError: the result exists or cannot be written.
    """
    with in_file(path), OpenFile(path) as file, Spool() as spool:
        workspace = Workspace(Options(kind="root"), spool, (b"",), progress or NoProgress())
        front, kind, behind = _parts(file, workspace)
        tree = {**_tree(front), **_tree(behind)}
        decision = Decision(tree, keeping)
        with atomic_output(output, replace=replace) as out:
            size = 0
            for piece in _pieces((front, behind), kind, decision, workspace):
                out.write(piece)
                size += len(piece)
        return make_report(output, decision, sizes=(file.size, size), notes=workspace.notes)


def _parts(file: Blob, workspace: Workspace) -> tuple[Blob, Compression, Blob]:
    """The plain front, and what is behind it, decompressed."""
    end = cpio_reader.plain_size(file)
    rest = SubBlob(file, end, file.size - end)
    kind = detect(rest.read_at(0, min(rest.size, HEAD_SIZE)))
    if not rest.size:
        return file, kind, rest
    if kind is Compression.NONE:
        raise FormatError("not an initrd: no cpio archive, and not compressed as is known here")
    workspace.progress.start("decompressing the initrd", rest.size)
    source = Decompressor(BlobSource(rest, workspace.progress.advance), kind, workspace.allowance)
    start = workspace.spool.append(b"")
    size = 0
    while data := source.read(CHUNK):
        workspace.spool.append(data)
        size += len(data)
    workspace.progress.finish()
    return SubBlob(file, 0, end), kind, workspace.spool.blob(start, size)


def _tree(blob: Blob) -> dict[str, Inode]:
    """What the kernel unpacks: of equal paths the last one's, hard links one file."""
    tree: dict[str, Inode | _Key] = {}
    files: dict[_Key, Inode] = {}
    for entry in cpio_reader.entries(blob):
        path = _clean(entry.name)
        key = (entry.archive, entry.number)
        is_linked = stat.S_ISREG(entry.mode) and entry.links > 1
        # The data of hard links comes with one of them.
        if is_linked and (entry.data.size or key not in files):
            files[key] = _inode(entry)
        if path:
            tree[path] = key if is_linked else _inode(entry)
    return {path: files[it] if isinstance(it, tuple) else it for path, it in tree.items()}


def _inode(entry: cpio_reader.Entry) -> Inode:
    is_link = stat.S_ISLNK(entry.mode)
    if is_link and entry.data.size > cpio.MAX_TARGET:
        raise LimitError(f"a link's target of {entry.data.size} bytes: {printable(entry.name)}")
    return Inode(
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        mtime=entry.mtime,
        content=entry.data if stat.S_ISREG(entry.mode) else None,
        target=entry.data.read_at(0, entry.data.size) if is_link else b"",
        rdev=entry.device,
    )


def _clean(name: bytes) -> str:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise FormatError("a path in the initrd leads out of it")
    return b"/".join(parts).decode("utf-8", "surrogateescape")


def _pieces(
    parts: tuple[Blob, Blob], kind: Compression, decision: Decision, workspace: Workspace
) -> Iterator[bytes]:
    front, behind = parts
    size = 0
    for piece in _plain_pieces(front, decision):
        size += len(piece)
        yield piece
    if behind.size:
        yield bytes(-size % _ALIGNMENT)
        yield from _compressed(_archive(_tree(behind), decision), kind, workspace)


def _plain_pieces(front: Blob, decision: Decision) -> Iterator[bytes]:
    tree = _tree(front)
    if decision.removed.isdisjoint(tree):
        for start in range(0, front.size, CHUNK):
            yield front.read_at(start, min(CHUNK, front.size - start))
    else:
        yield from _archive(tree, decision)


def _archive(tree: Mapping[str, Inode], decision: Decision) -> Iterator[bytes]:
    left = {
        path.encode("utf-8", "surrogateescape"): inode
        for path, inode in tree.items()
        if path not in decision.removed
    }
    for path in list(left):
        above = parent(path)
        while above not in left:
            left[above] = Inode(mode=stat.S_IFDIR | 0o755)
            above = parent(above)
    return iter(cpio.plan(left).chunks())


def _compressed(
    pieces: Iterable[bytes], kind: Compression, workspace: Workspace
) -> Iterator[bytes]:
    if kind is Compression.GZIP:
        return _gzip(pieces)
    if kind is Compression.XZ:
        return _xz(pieces)
    if kind is not Compression.ZSTD:
        workspace.note(f"it was compressed with {kind.value}, and is with zstd now")
    return compress(pieces, ZSTD_LEVEL)


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packer:
        for piece in pieces:
            packer.write(piece)
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _xz(pieces: Iterable[bytes]) -> Iterator[bytes]:
    # The kernel's decompressor has no other check.
    packer = lzma.LZMACompressor(check=lzma.CHECK_CRC32)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()
