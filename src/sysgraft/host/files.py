"""Files as blobs, and small inputs.

Reading goes through ``pread`` where the system has it, so that one open file serves several
worker processes without a shared position. It does not walk folders (see `host.folders`).
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from typing import Final, NamedTuple, Self

from sysgraft.base.blob import check_range
from sysgraft.errors import InputError, OutputError, TruncatedError

_HAS_PREADV: Final = hasattr(os, "preadv")


class Seen(NamedTuple):
    """Which file it was, and in what state.

    Size and modification time alone can be given to any other file by its owner. The device and
    inode numbers tell that another file has the name now, however it got there; the change time
    cannot be set by anybody.

    Attributes:
        device: number of the file system.
        inode: number of the file in it.
        size: bytes.
        mtime_ns: modification time in nanoseconds.
        ctime_ns: time of the last change to file or inode in nanoseconds; where the system has
            no such time, one that never changes.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """What `status` says."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    def is_same_file(self, other: Seen) -> bool:
        """Whether both are one file, in whatever state."""
        return (self.device, self.inode) == (other.device, other.inode)


class OpenFile:
    """A blob on a path.

    The file is opened at its first read. Few files stay open at a time, however many blobs there
    are: the one that was opened longest ago is closed for the next, and opened again if need be.
    What is opened again has to be the same file.

    Args:
        path: the file.
        expected: what was seen earlier; a file that is no longer that is refused before a byte of
            it is used, because an image half of one version and half of another would be signed,
            and because whoever owns the folder may have put a link to a secret there.
        follow: whether the path may be a symbolic link.
    """

    __slots__ = ("_expected", "_first", "_follow", "_path", "_size")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        expected: Seen | None = None,
        follow: bool = True,
    ) -> None:
        self._path = os.fspath(path)
        self._expected = expected
        self._first = expected
        self._follow = follow
        self._size = expected.size if expected else -1

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
            fd = open_quickly(self._path, follow=self._follow)
        except OSError as error:
            if error.errno == errno.ELOOP and not self._follow:
                raise self._changed() from error
            raise InputError(error.strerror or str(error), file=self._path) from error
        try:
            self._check_opened(os.fstat(fd))
        except InputError:
            os.close(fd)
            raise
        return fd

    def _check_opened(self, status: os.stat_result) -> None:
        """Before a byte is read, so that nothing of another file is."""
        now = Seen.of(status)
        if self._expected not in (None, now):
            raise self._changed()
        if self._first is not None and not now.is_same_file(self._first):
            raise self._changed()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISBLK(status.st_mode):
            raise InputError("not a regular file", file=self._path)
        self._first = now

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
        # After the read, so that a change during it is seen too.
        if self._expected not in (None, Seen.of(os.fstat(fd))):
            raise self._changed()

    def _read(self, fd: int, offset: int, view: memoryview) -> int:
        try:
            return pread_into(fd, offset, view)
        except OSError as error:
            raise InputError(error.strerror or str(error), file=self._path) from error

    def _changed(self) -> InputError:
        return InputError(
            "the file changed while it was being read",
            file=self._path,
            hint="run this again when nothing writes to it",
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


def open_quickly(path: str | bytes, *, follow: bool = True) -> int:
    """A descriptor to read from; ``OSError`` if there is none.

    Without O_NONBLOCK, opening a FIFO nobody writes to would never return.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    return os.open(path, flags if follow else flags | os.O_NOFOLLOW)


def pread_into(fd: int, offset: int, view: memoryview) -> int:
    """Read into `view` at `offset` without moving the file position; the number of bytes read."""
    if _HAS_PREADV:
        return os.preadv(fd, [view], offset)
    data = os.pread(fd, len(view), offset)
    view[: len(data)] = data
    return len(data)


def pwrite_all(fd: int, offset: int, data: bytes | memoryview) -> None:
    """Write all of `data` at `offset`.

    Raises:
        OutputError: the system takes no more; whoever knows the file's name adds it.
    """
    view = memoryview(data)
    try:
        while view:
            count = os.pwrite(fd, view, offset)
            view = view[count:]
            offset += count
    except OSError as error:
        raise cannot_write(error) from error


def cannot_write(error: OSError, file: str = "") -> OutputError:
    """The error for what the system will not let us write."""
    return OutputError(f"cannot be written: {error.strerror or error}", file=file)
