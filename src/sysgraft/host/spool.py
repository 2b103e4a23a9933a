"""One temporary file for data that arrives in an order nobody can use."""

from __future__ import annotations

import os
import tempfile
from typing import IO, TYPE_CHECKING, Self

from sysgraft.base.blob import SubBlob, collect
from sysgraft.errors import OutputError, TruncatedError
from sysgraft.host.files import cannot_write, pread_into, pwrite_all

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob


class Spool:
    """One temporary file without a name, for data that arrives in an order nobody can use.

    It is made at the first write, in ``$TMPDIR`` or where large temporary files belong
    (``/var/tmp``), and disappears with the process, whatever ends it. Blobs on it can be read
    from forked workers, which share the descriptor.

    Args:
        folder: where it lies instead.

    Attributes:
        folder: where it lies.
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = folder or spool_folder()
        self._file: IO[bytes] | None = None
        self._end = 0

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            # Held open for the life of the object on purpose: closing it deletes the data.
            self._file = tempfile.TemporaryFile(  # noqa: SIM115
                prefix=".sysgraft-", dir=self.folder
            )
        return self._file

    def append(self, data: bytes | memoryview) -> int:
        """Add `data` at the end; the offset where it begins."""
        start = self._end
        try:
            pwrite_all(self._opened().fileno(), start, data)
        except OSError as error:
            raise cannot_write(error, self.folder) from error
        except OutputError as error:
            error.file = self.folder
            raise
        self._end += len(data)
        return start

    def reserve(self, size: int) -> Region:
        """Room for `size` bytes that come later, perhaps from another thread."""
        region = Region(self._opened(), self.folder, self._end, size)
        self._end += size
        return region

    def blob(self, offset: int, size: int) -> Blob:
        """The part of the spool that holds one content."""
        return SubBlob(_Descriptor(self._opened().fileno(), self._end), offset, size)

    def close(self) -> None:
        """Give the space back; blobs on the spool end here."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Region:
    """A part of a spool that is filled on its own, by forked workers too; a blob of what is there.

    What nobody fills takes no space.

    Attributes:
        size: in bytes.
    """

    def __init__(self, file: IO[bytes], folder: str, start: int, size: int) -> None:
        self._file = file
        self._folder = folder
        self._start = start
        self.size = size

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset` of the region; raises `OutputError`."""
        if offset + len(data) > self.size:
            raise ValueError(f"{len(data)} bytes at {offset} of {self.size}")
        try:
            pwrite_all(self._file.fileno(), self._start + offset, data)
        except OutputError as error:
            error.file = self._folder
            raise

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        return collect(self, offset, length)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`; what was not written yet is not waited for."""
        _Descriptor(self._file.fileno(), self._start + self.size).readinto_at(
            self._start + offset, view
        )


def spool_folder() -> str:
    """Where large temporary files go: /tmp is often memory, and too small for a layer."""
    large = "/var/tmp"  # noqa: S108  the file has no name there
    if "TMPDIR" not in os.environ and os.access(large, os.W_OK):
        return large
    return tempfile.gettempdir()


class _Descriptor:
    """A blob on an open descriptor."""

    __slots__ = ("_fd", "size")

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        if len(data) != length:
            raise TruncatedError(f"the spool holds no {length} bytes at {offset}")
        return data

    def readinto_at(self, offset: int, view: memoryview) -> None:
        if pread_into(self._fd, offset, view) != len(view):
            raise TruncatedError(f"the spool holds no {len(view)} bytes at {offset}")
