"""Names changed so that a reader sees the old state or the new one: exchanged, or replaced.

Linux' ``renameat2`` with ``RENAME_EXCHANGE`` (renameat2(2)) gives two names to each other's files
or folders. FAT knows it since Linux 6.0; libc's function is there since glibc 2.28 and musl 1.2.6.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

from sysgraft.host.drafts import temporary_name

_EXCHANGE: Final = 1 << 1
"""``RENAME_EXCHANGE``, linux/fs.h."""
_AT_FDCWD: Final = -100
_NOT_HERE: Final = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
"""How kernels and file systems answer that cannot exchange."""


def exchange(one: str, other: str) -> bool:
    """Give two names in one file system to each other's content; both have to be there.

    Returns:
        Whether it was done; not, where kernel, libc or file system cannot.

    Raises:
        OSError: it could be, and failed.
    """
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    ctypes.set_errno(0)
    paths = os.fsencode(one), os.fsencode(other)
    if function(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], ctypes.c_uint(_EXCHANGE)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), one)


def replace_link(path: str, target: str) -> None:
    """Make `path` a symbolic link to `target`; what has the name, if it is no folder, goes.

    Raises:
        OSError: it cannot be.
    """
    temporary = temporary_name(os.path.dirname(path))
    os.symlink(target, temporary)
    try:
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def sync_all(folder: str) -> None:
    """Have the whole file system that a folder is in written to its disk (syncfs(2)).

    Raises:
        OSError: it cannot be.
    """
    function = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if function is None:
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if function(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), folder)
    finally:
        os.close(descriptor)
