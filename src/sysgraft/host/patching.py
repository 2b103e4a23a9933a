"""Bytes written into a disk or image that is there, in an order that a power cut cannot undo.

Each group of writes is on the disk before the next begins. The whole device is locked as systemd
asks for (systemd.io/BLOCK_DEVICE_LOCKING), so that udev waits, and looks again once it is closed.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from sysgraft.errors import OutputError, ToolError
from sysgraft.host.files import cannot_write, pread_into, pwrite_all

if TYPE_CHECKING:
    from collections.abc import Sequence

Piece = tuple[int, bytes]
"""An offset, and the bytes there."""

_POLL: Final = 0.1


def patch(
    path: str,
    groups: Sequence[Sequence[Piece]],
    *,
    expected: Sequence[Piece],
    patience: float = 10.0,
) -> None:
    """Write groups of pieces in place, each group to the disk before the next.

    Args:
        path: a file or block device that is there.
        groups: what to write.
        expected: what has to be there before, or nothing is written.
        patience: seconds to wait for another process that holds the lock.

    Raises:
        OutputError: it cannot be written, or something else is there.
        ToolError: another process does not let go of it.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise cannot_write(error, path) from error
    try:
        _lock(fd, path, patience)
        _refuse_changed(fd, path, expected)
        for group in groups:
            for offset, data in group:
                pwrite_all(fd, offset, data)
            os.fsync(fd)
    except OSError as error:
        raise cannot_write(error, path) from error
    except OutputError as error:
        error.file = error.file or path
        raise
    finally:
        os.close(fd)


def _refuse_changed(fd: int, path: str, expected: Sequence[Piece]) -> None:
    for offset, data in expected:
        if _read(fd, offset, len(data)) != data:
            raise OutputError(
                "it changed meanwhile, nothing was written",
                file=path,
                hint="run this again when nothing else writes to it",
            )


def _lock(fd: int, path: str, patience: float) -> None:
    import fcntl  # noqa: PLC0415  there is none on Windows

    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise ToolError(
                    "another process has locked it", file=path, hint="wait until it has ended"
                ) from error
            time.sleep(_POLL)
        else:
            return


def _read(fd: int, offset: int, length: int) -> bytes:
    data = bytearray(length)
    view, done = memoryview(data), 0
    while done < length:
        count = pread_into(fd, offset + done, view[done:])
        if not count:
            break
        done += count
    return bytes(data[:done])
