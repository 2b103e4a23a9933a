"""An initrd without firmware: the same archives, and the same compression where we have it.

An initrd is any number of parts, plain archives such as microcode and compressed ones. Those that
nothing goes from stay as they are. Compressed archives of one kind behind one another become one
where something goes. LZ4 and LZO are not read; bzip2 and lzma are written as zstd, which the kernel
has to know then.
"""

from __future__ import annotations

import gzip
import io
import lzma
import stat
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.blob import Blob, SubBlob, chunks
from sysgraft.base.progress import NoProgress
from sysgraft.base.text import one_line
from sysgraft.base.tree import Inode, parent, printable
from sysgraft.build.firmware_set.links import follow
from sysgraft.build.sources.model import Options, Workspace
from sysgraft.build.strip.report import Decision, Keeping, StripReport, make_report
from sysgraft.errors import FormatError, LimitError, UnsupportedError, in_file
from sysgraft.formats import cpio, cpio_reader
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.initrd import ALIGNMENT, MAX_PARTS, unknown
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
        parts = list(_parts(file, workspace))
        whole = {path: inode for part in parts for path, inode in part.tree.items()}
        decision = Decision(whole, keeping)
        with atomic_output(output, replace=replace) as out:
            size = 0
            for part in parts:
                # The kernel looks for plain archives at multiples of this.
                size += out.write(bytes(-size % ALIGNMENT))
                for piece in _pieces(part, whole, decision, workspace):
                    size += out.write(piece)
        return make_report(output, decision, sizes=(file.size, size), notes=workspace.notes)


class _Part(NamedTuple):
    """One archive, or several of one kind.

    Attributes:
        raw: as it is in the initrd, zeros behind it too.
        kind: how it is compressed.
        tree: what is in it.
    """

    raw: Blob
    kind: Compression
    tree: dict[str, Inode]


def _parts(file: Blob, workspace: Workspace) -> Iterator[_Part]:
    position = count = 0
    links = _Links()
    while position < file.size:
        rest = SubBlob(file, position, file.size - position)
        count += 1
        if count > MAX_PARTS:
            raise LimitError(f"an initrd of more than {MAX_PARTS} parts")
        kind = detect(rest.read_at(0, min(rest.size, HEAD_SIZE)))
        if kind is Compression.NONE:
            part = _plain_part(rest, position, links)
        else:
            raw, plain = _decompressed(rest, kind, workspace)
            part = _Part(raw, kind, _packed_tree(plain, position, links))
        yield part
        position += part.raw.size
    if not count:
        raise FormatError("not an initrd: it is empty")


def _plain_part(rest: Blob, position: int, links: _Links) -> _Part:
    size = cpio_reader.plain_size(rest)
    if not size or position % ALIGNMENT:
        raise unknown(rest.read_at(0, min(rest.size, HEAD_SIZE)), position)
    raw = SubBlob(rest, 0, size)
    return _Part(raw, Compression.NONE, _tree(raw, links))


def _decompressed(rest: Blob, kind: Compression, workspace: Workspace) -> tuple[Blob, Blob]:
    """The compressed part at the beginning of `rest`, and what is in it."""
    progress, spool = workspace.progress, workspace.spool
    progress.start("decompressing the initrd", rest.size)
    source = BlobSource(rest, progress.advance)
    plain = Decompressor(source, kind, workspace.allowance, alone=True)
    start = spool.append(b"")
    size = 0
    while data := plain.read(CHUNK):
        spool.append(data)
        size += len(data)
    progress.finish()
    return SubBlob(rest, 0, plain.consumed), spool.blob(start, size)


def _packed_tree(plain: Blob, position: int, links: _Links) -> dict[str, Inode]:
    try:
        return _tree(plain, links)
    except UnsupportedError:
        raise FormatError(f"what is compressed from byte {position} on is no initrd") from None


def _tree(blob: Blob, links: _Links) -> dict[str, Inode]:
    """What the kernel unpacks: of equal paths the last one's, hard links one file."""
    tree: dict[str, Inode | _Key] = {}
    files: dict[_Key, Inode] = {}
    for entry in cpio_reader.entries(blob):
        path = links.place(_clean(entry.name))
        key = (entry.archive, entry.number)
        is_linked = stat.S_ISREG(entry.mode) and entry.links > 1
        # The data of hard links comes with one of them.
        if is_linked and (entry.data.size or key not in files):
            files[key] = _inode(entry)
        if path:
            tree[path] = it = key if is_linked else _inode(entry)
            links.note(path, it if isinstance(it, Inode) else None)
    return {path: files[it] if isinstance(it, tuple) else it for path, it in tree.items()}


class _Links:
    """The symbolic links that were unpacked: what comes later goes to where they lead."""

    def __init__(self) -> None:
        self._links: dict[str, Inode] = {}
        self._folders: dict[str, str] = {}

    def place(self, path: str) -> str:
        """Where the kernel puts what is called `path`: its folder without links."""
        folder, slash, name = path.rpartition("/")
        if not (slash and self._links):
            return path
        if folder not in self._folders:
            self._folders[folder] = follow(self._links, folder, merged=False).end
        if not (real := self._folders[folder]):
            raise FormatError(f"links lead in circles: {one_line(folder)}")
        return f"{real}/{name}"

    def note(self, path: str, inode: Inode | None) -> None:
        """There is a file at `path` now; None for one that is no link."""
        if inode is not None and inode.is_symlink:
            self._links[path] = inode
        elif path not in self._links:
            return
        else:
            del self._links[path]
        self._folders.clear()


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
    part: _Part, whole: Mapping[str, Inode], decision: Decision, workspace: Workspace
) -> Iterator[bytes]:
    if decision.removed.isdisjoint(part.tree):
        return chunks(part.raw, CHUNK)
    archive = _archive(part.tree, whole, decision)
    if part.kind is Compression.NONE:
        return archive
    return _compressed(archive, part.kind, workspace)


def _archive(
    tree: Mapping[str, Inode], whole: Mapping[str, Inode], decision: Decision
) -> Iterator[bytes]:
    left = {
        path.encode("utf-8", "surrogateescape"): inode
        for path, inode in tree.items()
        if path not in decision.removed
    }
    for path in list(left):
        above = parent(path)
        while above not in left:
            # What an earlier part made is made again, and must not change.
            known = whole.get(above.decode("utf-8", "surrogateescape"))
            left[above] = known if known and known.is_dir else Inode(mode=stat.S_IFDIR | 0o755)
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
