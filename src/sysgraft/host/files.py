"""Files as blobs, and small inputs.

Reading goes through ``pread`` where the system has it, so that one open file serves several
worker processes without a shared position. It does not walk folders (see `host.folders`).
"""

from __future__ import annotations

import os
import stat
import threading
from typing import Final, Self

from sysgraft.base.blob import check_range
from sysgraft.errors import InputError, LimitError, TruncatedError

_HAS_PREADV: Final = hasattr(os, "preadv")
# More files than this in a folder that is read whole are a mistake, not a trust store.
FOLDER_MAX: Final = 4096


class OpenFile:
    """A blob on a path.

    The file is opened at its first read. Few files stay open at a time, however many blobs there
    are: the one that was opened longest ago is closed for the next, and opened again if need be.

    Args:
        path: the file.
        expected: size in bytes and modification time in nanoseconds seen earlier; a file that
            no longer has them is refused, because an image half of one version and half of
            another would be signed.
    """

    __slots__ = ("_expected", "_path", "_size")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        expected: tuple[int, int] | None = None,
    ) -> None:
        self._path = os.fspath(path)
        self._expected = expected
        self._size = expected[0] if expected else -1

    @property
    def path(self) -> str:
        """The path as given."""
        return self._path

    @property
    def size(self) -> int:
        """Length in bytes."""
        if self._size < 0:
            self._size = os.lseek(self._descriptor(), 0, os.SEEK_END)
        return self._size

    def _descriptor(self) -> int:
        files = _open_here.files
        held = files.get(self)
        if held is None:
            held = files[self] = _Held(self._open())
            if len(files) > _OPEN_MAX:
                files.pop(next(iter(files))).close()
        return held.fd

    def _open(self) -> int:
        try:
            # Without O_NONBLOCK, opening a FIFO nobody writes to would never return.
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(error.strerror or str(error), file=self._path) from error
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            os.close(fd)
            raise InputError("not a regular file", file=self._path)
        return fd

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        check_range(self, offset, length)
        data = bytearray(length)
        self._fill(offset, memoryview(data))
        return bytes(data)

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        check_range(self, offset, len(view))
        self._fill(offset, view)

    def _fill(self, offset: int, view: memoryview) -> None:
        fd = self._descriptor()
        done = 0
        while done < len(view):
            count = self._read(fd, offset + done, view[done:])
            if not count:
                raise TruncatedError("the file shrank while it was being read", file=self._path)
            done += count
        if self._expected is not None:
            self._check_unchanged(fd, self._expected)

    def _read(self, fd: int, offset: int, view: memoryview) -> int:
        try:
            return pread_into(fd, offset, view)
        except OSError as error:
            raise InputError(error.strerror or str(error), file=self._path) from error

    def _check_unchanged(self, fd: int, expected: tuple[int, int]) -> None:
        """After the read, so that a change during it is seen too."""
        now = os.fstat(fd)
        if (now.st_size, now.st_mtime_ns) != expected:
            raise InputError(
                "the file changed while it was being read",
                file=self._path,
                hint="build again when nothing writes to it",
            )

    def close(self) -> None:
        """Close the file; the blob opens it again if it is read again."""
        held = _open_here.files.pop(self, None)
        if held is not None:
            held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Open files per thread: a handful, since contents are read one after the other.
_OPEN_MAX: Final = 16


class _Held:
    """An open descriptor that closes with its owner."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    __del__ = close


class _OpenHere(threading.local):
    """The files a thread has open, oldest first.

    Each thread has its own, so that none closes what another reads. A forked worker inherits its
    parent's: reading at an offset moves nothing, so the two do not disturb each other.
    """

    def __init__(self) -> None:
        self.files: dict[OpenFile, _Held] = {}


_open_here: Final = _OpenHere()


def close_files() -> None:
    """Close what this thread has open; every blob opens again if it is read again."""
    while _open_here.files:
        _open_here.files.popitem()[1].close()


def pread_into(fd: int, offset: int, view: memoryview) -> int:
    """Read into `view` at `offset` without moving the file position; the number of bytes read."""
    if _HAS_PREADV:
        return os.preadv(fd, [view], offset)
    data = os.pread(fd, len(view), offset)
    view[: len(data)] = data
    return len(data)


def pwrite_all(fd: int, offset: int, data: bytes | memoryview) -> None:
    """Write all of `data` at `offset`; ``OSError`` where the disk is full."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view = view[count:]
        offset += count


def read_small(path: str | os.PathLike[str], limit: int, what: str) -> bytes:
    """The whole of a small file.

    Args:
        path: the file.
        limit: the most bytes it may have.
        what: what it should be, for the message ("certificate").

    Raises:
        InputError: it cannot be read.
        LimitError: it is larger than `limit`.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read the {what}: {error.strerror}", file=name) from error
    if len(data) > limit:
        raise LimitError(f"too large for a {what}: more than {limit} bytes", file=name)
    return data


def read_folder(path: str, *, suffix: str, limit: int, what: str) -> dict[str, bytes]:
    """The small files of a folder whose names end in `suffix`, by name.

    Raises:
        InputError: the folder or a file cannot be read.
        LimitError: a file is larger than `limit`, or there are more than `FOLDER_MAX`.
    """
    try:
        with os.scandir(path) as entries:
            found = sorted(e.name for e in entries if e.name.endswith(suffix) and e.is_file())
    except OSError as error:
        raise InputError(error.strerror or str(error), file=path) from error
    if len(found) > FOLDER_MAX:
        raise LimitError(f"more than {FOLDER_MAX} files", file=path)
    return {name: read_small(os.path.join(path, name), limit, what) for name in found}
