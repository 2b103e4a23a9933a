"""Outputs that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import IO, TYPE_CHECKING

from sysgraft.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


def make_folder(path: str) -> None:
    """Make a folder and what is missing above it; one that is there is fine.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder: {error.strerror}", file=path) from error


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str], *, replace: bool) -> Iterator[IO[bytes]]:
    """A new file that appears under `path` whole or not at all.

    It is written beside its place, forced to the disk and renamed. Without `replace`, an
    existing file is refused at the start and at the end.

    Raises:
        OutputError: it exists, or it cannot be written.
    """
    name = os.fspath(path)
    _refuse_existing(name, replace=replace)
    folder = os.path.dirname(name) or "."
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(name)[:200]}.", dir=folder)
    except OSError as error:
        raise OutputError(f"cannot write here: {error.strerror}", file=folder) from error
    try:
        with os.fdopen(fd, "w+b") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            os.fsync(file.fileno())
        _publish(temporary, name, replace=replace)
        _sync_folder(folder)
    except OSError as error:
        raise _no_room(error, name) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _refuse_existing(name: str, *, replace: bool) -> None:
    if not replace and os.path.lexists(name):
        raise OutputError("the file exists", file=name, hint="use --force to replace it")


def _publish(temporary: str, name: str, *, replace: bool) -> None:
    """Give the finished file its name; a link fails where the name was taken meanwhile."""
    if replace:
        os.replace(temporary, name)
        return
    try:
        os.link(temporary, name)
    except FileExistsError:
        _refuse_existing(name, replace=False)
    except OSError:
        # FAT and some network file systems have no links.
        _refuse_existing(name, replace=False)
        os.replace(temporary, name)


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _no_room(error: OSError, name: str) -> OutputError:
    return OutputError(f"cannot be written: {error.strerror or error}", file=name)
