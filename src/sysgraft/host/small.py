"""Small files, read whole: keys, certificates, lists."""

from __future__ import annotations

import os
import stat
import sys

from sysgraft.errors import InputError, LimitError
from sysgraft.host.files import open_quickly


def read_small(
    path: str | os.PathLike[str], limit: int, what: str, *, follow: bool = True
) -> bytes:
    """The whole of a small file.

    Args:
        path: the file.
        limit: the most bytes it may have.
        what: what it should be, for the message ("certificate").
        follow: whether the path may be a symbolic link.

    Raises:
        InputError: it cannot be read, or is a folder, pipe or device.
        LimitError: it is larger than `limit`.
    """
    name = os.fspath(path)
    try:
        data = _read_regular(name, limit + 1, follow=follow)
    except OSError as error:
        raise InputError(f"cannot read the {what}: {error.strerror}", file=name) from error
    if data is None:
        raise InputError(
            f"cannot read the {what}: it is not a regular file",
            file=name,
            hint="folders, pipes and devices are not read: give a file",
        )
    if len(data) > limit:
        raise LimitError(f"too large for a {what}: more than {limit} bytes", file=name)
    return data


def read_secret(path: str, limit: int, what: str) -> bytes:
    """As `read_small`, also from a pipe: ``<(pass show key)`` keeps a secret off the disk.

    Waits for whoever writes into the pipe.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read the {what}: {error.strerror}", file=path) from error
    if len(data) > limit:
        raise LimitError(f"too large for a {what}: more than {limit} bytes", file=path)
    return data


def _read_regular(name: str, length: int, *, follow: bool) -> bytes | None:
    """The first bytes of a regular file, None if it is something else."""
    fd = open_quickly(name, follow=follow)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(length)


def read_small_or_stdin(path: str, limit: int, what: str) -> bytes:
    """As `read_small`, also from standard input (``-``) and from a pipe (``<(journalctl -k)``).

    Waits for whoever writes there.
    """
    if path == "-":
        data = sys.stdin.buffer.read(limit + 1)
    elif _is_pipe(path):
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    else:
        return read_small(path, limit, what)
    if len(data) > limit:
        raise LimitError(f"too large for a {what}: more than {limit} bytes", file=path)
    return data


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
