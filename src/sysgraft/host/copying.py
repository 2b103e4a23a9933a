"""Whole files copied, with their blocks shared where the file system can share them."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from sysgraft.errors import InputError
from sysgraft.host.files import Seen, cannot_write, open_quickly

_STEP: Final = 1 << 30
_CHUNK: Final = 1 << 20
# How kernels answer that cannot copy between these two files (copy_file_range(2)).
_CANNOT: Final = (errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP)


def seen(path: str) -> Seen:
    """The file as it is now, so that a later `copy_file` can tell whether it changed.

    Raises:
        InputError: there is no such file, or it is not a regular one.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(reason, file=path) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError("not a regular file", file=path)
    return Seen.of(status)


def copy_file(source: str, expected: Seen, target: str, *, mode: int) -> None:
    """Copy a file to a new one.

    Nothing of it is held in memory but one piece. Where both are on a file system that can (XFS,
    Btrfs), they share their blocks.

    Args:
        source: what is copied.
        expected: what `seen` said; a file that has changed since is refused.
        target: the new file, which must not be there.
        mode: its permissions.

    Raises:
        InputError: the source cannot be read, or changed.
        OutputError: the target cannot be written.
    """
    try:
        reading = open_quickly(source)
    except OSError as error:
        raise InputError(error.strerror or str(error), file=source) from error
    try:
        _check(reading, expected, source)
        _write(reading, expected.size, target, mode)
        _check(reading, expected, source)
    finally:
        os.close(reading)


def _check(descriptor: int, expected: Seen, name: str) -> None:
    if Seen.of(os.fstat(descriptor)) != expected:
        raise InputError(
            "the file changed while it was being read",
            file=name,
            hint="run this again when nothing writes to it",
        )


def _write(reading: int, size: int, target: str, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        writing = os.open(target, flags, 0o600)
        try:
            if not _copied_by_kernel(reading, writing, size):
                _copy_in_pieces(reading, writing)
            os.fchmod(writing, mode)
        finally:
            os.close(writing)
    except OSError as error:
        raise cannot_write(error, target) from error


def _copied_by_kernel(reading: int, writing: int, size: int) -> bool:
    """Whether the kernel copied all of it; if not, both files are where the rest begins."""
    copy = getattr(os, "copy_file_range", None)
    done = 0
    while copy is not None and done < size:
        try:
            count = copy(reading, writing, min(_STEP, size - done))
        except OSError as error:
            if error.errno in _CANNOT:
                return False
            raise
        # Some file systems say that there is nothing left where there is.
        if not count:
            return False
        done += count
    return done == size


def _copy_in_pieces(reading: int, writing: int) -> None:
    while data := os.read(reading, _CHUNK):
        view = memoryview(data)
        while view:
            view = view[os.write(writing, view) :]
