"""A file system that is writable only while something is written to it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from sysgraft.errors import OutputError, ToolError
from sysgraft.host.mounts import mount_of, parse_mounts
from sysgraft.host.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.host.mounts import Mount

_TABLE: Final = "/proc/self/mountinfo"


def is_read_only(folder: str) -> bool:
    """Whether the file system that a folder is in is mounted read-only."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


@contextlib.contextmanager
def writable(folder: str) -> Iterator[None]:
    """The file system of `folder` can be written to inside; read-only before, it is so again.

    Raises:
        OutputError: it cannot be made writable.
    """
    if not is_read_only(folder):
        yield
        return
    mount = mount_of_folder(folder)
    if mount is None:
        raise OutputError("it is read-only, and nobody knows where it is mounted", file=folder)
    place = mount.place
    _remount(place, "rw")
    try:
        yield
    finally:
        # Something else may hold a file open for writing: then it stays writable.
        with contextlib.suppress(OutputError):
            _remount(place, "ro")


def mount_of_folder(folder: str) -> Mount | None:
    """The mount that a folder is in; None if nobody knows."""
    try:
        with open(_TABLE, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    return mount_of(os.path.realpath(folder), parse_mounts(lines))


def _remount(place: str, how: str) -> None:
    try:
        run(["mount", "-o", f"remount,{how}", place])
    except ToolError as error:
        raise OutputError(
            f"it is mounted read-only and cannot be made writable: {error.message}", file=place
        ) from error
