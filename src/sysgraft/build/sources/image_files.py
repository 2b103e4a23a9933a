"""The files of a saved container image: inside an archive, or in a folder.

Both give parts of some blob by name, so that layers can be read where they are. Names inside
archives may be symbolic links, which Docker writes for layers that occur twice.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from sysgraft.base.tree import printable
from sysgraft.build.sources.model import clean_path
from sysgraft.build.sources.tar_layer import TarBlob
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.oci import MAX_DOCUMENT
from sysgraft.formats.stream import CHUNK, BlobSource
from sysgraft.formats.tar import Kind, TarReader
from sysgraft.host.files import OpenFile, Seen

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.build.sources.model import Workspace
    from sysgraft.formats.tar import Member

MAX_FILES: Final = 100_000
"""Files of one saved image: two or three for each layer, of which there are at most 1000."""

_MAX_LINKS: Final = 8


class ImageFiles(Protocol):
    """Named parts of blobs."""

    def find(self, name: str) -> TarBlob:
        """Where the file `name` lies.

        Raises:
            FormatError: there is none.
        """

    def has(self, name: str) -> bool:
        """Whether there is a file `name`."""


class ArchiveFiles:
    """The files of an image saved as one archive.

    A compressed archive is decompressed into the spool first: what leads to the layers may
    stand behind them.
    """

    def __init__(self, file: Blob, workspace: Workspace) -> None:
        self._blob = _uncompressed(file, workspace)
        self._is_spooled = self._blob is not file
        self._members: dict[str, Member] = {}
        for member in TarReader(BlobSource(self._blob)):
            self._members[clean_path(member.name).decode("utf-8", "surrogateescape")] = member
            if len(self._members) > MAX_FILES:
                raise LimitError(f"more than {MAX_FILES} files, too many for a saved image")

    def has(self, name: str) -> bool:
        """See `ImageFiles.has`."""
        return name in self._members

    def find(self, name: str) -> TarBlob:
        """See `ImageFiles.find`."""
        target = name
        for _ in range(_MAX_LINKS):
            member = self._members.get(target)
            if member is None:
                break
            if member.kind is Kind.FILE:
                return TarBlob(
                    self._blob, member.data_offset, member.size, is_spooled=self._is_spooled
                )
            target = _link_target(target, member)
        raise FormatError(f"the image has no file {_shown(name)}")


class FolderFiles:
    """The files of an OCI layout folder."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._found: dict[str, TarBlob] = {}

    def has(self, name: str) -> bool:
        """See `ImageFiles.has`."""
        return (self._path / name).is_file()

    def find(self, name: str) -> TarBlob:
        """See `ImageFiles.find`; `name` comes from a digest or is fixed."""
        if not self.has(name):
            raise FormatError(f"the layout has no file {_shown(name)}")
        if name not in self._found:
            file = open_unchanged(self._path / name)
            self._found[name] = TarBlob(file, 0, file.size)
        return self._found[name]


def open_unchanged(path: str | Path) -> OpenFile:
    """The file, held to the state it has now; raises ``OSError``."""
    return OpenFile(path, expected=Seen.of(Path(path).stat()))


def read_document(files: ImageFiles, name: str) -> bytes:
    """A JSON document of an image.

    Raises:
        FormatError: there is none.
        LimitError: it is larger than `MAX_DOCUMENT`.
    """
    found = files.find(name)
    if found.size > MAX_DOCUMENT:
        raise LimitError(f"{_shown(name)} has more than {MAX_DOCUMENT} bytes")
    return found.blob.read_at(0, found.size)


def _link_target(name: str, member: Member) -> str:
    target = member.linkname.decode("utf-8", "surrogateescape")
    if member.kind is Kind.SYMLINK:
        target = posixpath.join(posixpath.dirname(name), target)
    return posixpath.normpath(target).lstrip("/")


def _uncompressed(file: Blob, workspace: Workspace) -> Blob:
    kind = detect(file.read_at(0, min(file.size, HEAD_SIZE)))
    if kind is Compression.NONE:
        return file
    workspace.progress.start("Decompressing the archive", file.size)
    source = Decompressor(BlobSource(file, workspace.progress.advance), kind, workspace.allowance)
    start = workspace.spool.append(b"")
    end = start
    while data := source.read(CHUNK):
        end = workspace.spool.append(data) + len(data)
    workspace.progress.finish()
    return workspace.spool.blob(start, end - start)


def _shown(name: str) -> str:
    return printable(name[:200].encode("utf-8", "surrogateescape"))
