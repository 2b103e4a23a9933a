"""The files of a saved container image: inside an archive, or in a folder.

Both give parts of some blob by name, so that layers can be read where they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sysgraft.build.sources.tar_layer import TarBlob
from sysgraft.errors import FormatError
from sysgraft.formats.archive_index import ArchiveIndex, shown_name, whole_document
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.stream import CHUNK, BlobSource
from sysgraft.host.files import OpenFile, Seen

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.build.sources.model import Workspace


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
        self._index = ArchiveIndex(self._blob)

    def has(self, name: str) -> bool:
        """See `ImageFiles.has`."""
        return self._index.has(name)

    def find(self, name: str) -> TarBlob:
        """See `ImageFiles.find`."""
        member = self._index.find(name)
        return TarBlob(self._blob, member.data_offset, member.size, is_spooled=self._is_spooled)


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
            raise FormatError(f"the layout has no file {shown_name(name)}")
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
    return whole_document(files.find(name).blob, name)


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
