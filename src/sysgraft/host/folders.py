"""Walk a folder as it is on this machine: entries with their status, links never followed.

Extended attributes exist where the system's Python has them (Linux); elsewhere files have none.
"""

from __future__ import annotations

import os
import stat
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_FILES: Final = 500_000
"""Files and folders in one walk, as many as an image's reader takes."""

# macOS' Python has neither.
_list_xattrs: Final[Callable[..., list[str]] | None] = getattr(os, "listxattr", None)
_get_xattr: Final[Callable[..., bytes] | None] = getattr(os, "getxattr", None)


class Found(NamedTuple):
    """One thing in a folder.

    Attributes:
        path: relative to the folder that is walked.
        place: where to reach it.
        status: as ``lstat`` gives it.
    """

    path: bytes
    place: bytes
    status: os.stat_result


def walk(root: str) -> Iterator[Found]:
    """Everything below `root`, each folder before what it holds, names in byte order.

    Raises:
        InputError: something cannot be read.
        LimitError: there are more than `MAX_FILES`.
    """
    count = 0
    pending = [(b"", os.fsencode(root))]
    while pending:
        above, folder = pending.pop()
        items = _items(folder)
        count += len(items)
        if count > MAX_FILES:
            raise LimitError(f"more than {MAX_FILES} files", file=root)
        for item in items:
            path = above + b"/" + item.name if above else item.name
            status = _status(item)
            if stat.S_ISDIR(status.st_mode):
                pending.append((path, item.path))
            yield Found(path, item.path, status)


def _items(folder: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=attrgetter("name"))
    except OSError as error:
        raise cannot_read(folder, error) from error


def _status(item: os.DirEntry[bytes]) -> os.stat_result:
    try:
        return item.stat(follow_symlinks=False)
    except OSError as error:
        raise cannot_read(item.path, error) from error


def read_link(place: bytes) -> bytes:
    """Where a symbolic link points.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return os.readlink(place)
    except OSError as error:
        raise cannot_read(place, error) from error


def xattr_names(place: bytes) -> list[bytes]:
    """The full names of a file's extended attributes; those of a link, not of its target.

    Raises:
        InputError: they cannot be read.
    """
    if _list_xattrs is None:
        return []
    try:
        return [os.fsencode(name) for name in _list_xattrs(place, follow_symlinks=False)]
    except OSError as error:
        raise cannot_read(place, error) from error


def xattr(place: bytes, name: bytes) -> bytes:
    """The value of one extended attribute.

    Raises:
        InputError: it cannot be read.
    """
    if _get_xattr is None:
        raise InputError("extended attributes are not read here", file=os.fsdecode(place))
    try:
        return _get_xattr(place, name, follow_symlinks=False)
    except OSError as error:
        raise cannot_read(place, error) from error


def cannot_read(place: bytes, error: OSError) -> InputError:
    """The error for a file that the system will not let us read."""
    return InputError(f"cannot be read: {error.strerror or error}", file=os.fsdecode(place))
