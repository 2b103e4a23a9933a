"""Read folders as they are on this machine: a whole tree with its links, or some small files.

A tree is walked without following a link, even one that takes a folder's place meanwhile.
Extended attributes exist where the system's Python has them (Linux); elsewhere files have none.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError, LimitError
from sysgraft.host.files import Seen, open_quickly
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_FILES: Final = 500_000
"""Files and folders in one walk, as many as an image's reader takes."""
FOLDER_MAX: Final = 4096
"""Files in one folder that is read whole: more are a mistake, not a trust store."""

# macOS' Python has neither.
_list_xattrs: Final[Callable[..., list[str]] | None] = getattr(os, "listxattr", None)
_get_xattr: Final[Callable[..., bytes] | None] = getattr(os, "getxattr", None)


class Found(NamedTuple):
    """One thing in a folder.

    Attributes:
        path: relative to the folder that is walked.
        place: where to reach it; before anything of it is used, hold what is there to `status`.
        status: as ``lstat`` gives it.
        target: where a symbolic link points, else empty.
    """

    path: bytes
    place: bytes
    status: os.stat_result
    target: bytes

    @property
    def device(self) -> tuple[int, int]:
        """``(major, minor)`` of a device node; zeros for all else."""
        if not (stat.S_ISCHR(self.status.st_mode) or stat.S_ISBLK(self.status.st_mode)):
            return 0, 0
        return os.major(self.status.st_rdev), os.minor(self.status.st_rdev)


def _skip_nothing(_path: bytes) -> bool:
    return False


def walk(root: str, *, skip: Callable[[bytes], bool] = _skip_nothing) -> Iterator[Found]:
    """Everything below `root`, each folder before what it holds, names in byte order.

    Args:
        root: the folder.
        skip: asked about each path that cannot be read; whether the walk goes on without it. A
            folder that cannot be opened has been given by then, only what it holds is missing.

    Raises:
        InputError: something that is not skipped cannot be read, or something changed its place.
        LimitError: there are more than `MAX_FILES`.
    """
    count = 0
    pending: list[tuple[bytes, bytes, Seen | None]] = [(b"", os.fsencode(root), None)]
    while pending:
        above, folder, seen = pending.pop()
        with _readable(above, folder, skip), _opened_folder(folder, seen) as fd:
            for name in _names(fd, folder, MAX_FILES - count):
                count += 1
                path = above + b"/" + name if above else name
                found = _look(fd, path, os.path.join(folder, name), skip)
                if found is None:
                    continue
                if stat.S_ISDIR(found.status.st_mode):
                    pending.append((path, found.place, Seen.of(found.status)))
                yield found


@contextmanager
def _readable(path: bytes, place: bytes, skip: Callable[[bytes], bool]) -> Iterator[None]:
    """A folder that cannot be read is an error, unless it is skipped; the root never is."""
    try:
        yield
    except OSError as error:
        if not path or not skip(path):
            raise cannot_read(place, error) from error


@contextmanager
def _opened_folder(place: bytes, seen: Seen | None) -> Iterator[int]:
    """A folder's descriptor; only the root, which nobody has seen before, may be a link."""
    fd = open_quickly(place, follow=seen is None)
    try:
        if seen is not None and not seen.is_same_file(Seen.of(os.fstat(fd))):
            raise _changed(place)
        yield fd
    finally:
        os.close(fd)


def _names(fd: int, place: bytes, room: int) -> list[bytes]:
    with os.scandir(fd) as found:
        names = [os.fsencode(item.name) for item in islice(found, room + 1)]
    if len(names) > room:
        raise LimitError(f"more than {MAX_FILES} files", file=os.fsdecode(place))
    return sorted(names)


def _look(folder: int, path: bytes, place: bytes, skip: Callable[[bytes], bool]) -> Found | None:
    name = os.path.basename(place)
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        is_link = stat.S_ISLNK(status.st_mode)
        target = os.readlink(name, dir_fd=folder) if is_link else b""
    except OSError as error:
        if skip(path):
            return None
        raise cannot_read(place, error) from error
    return Found(path, place, status, target)


def xattrs(
    found: Found, choose: Callable[[list[bytes]], list[bytes]]
) -> tuple[tuple[bytes, bytes], ...]:
    """Extended attributes of something found, a link's own and not its target's.

    Args:
        found: what a walk gave.
        choose: called with the full names, if there are any; which of them are wanted.

    Raises:
        InputError: they cannot be read, or it is no longer what was found.
    """
    if _list_xattrs is None or _get_xattr is None:
        return ()
    try:
        if not _list_xattrs(found.place, follow_symlinks=False):
            return ()
        with _opened(found) as (place, options):
            names = choose([os.fsencode(name) for name in _list_xattrs(place, **options)])
            return tuple((name, _get_xattr(place, name, **options)) for name in names)
    except OSError as error:
        raise cannot_read(found.place, error) from error


@contextmanager
def _opened(found: Found) -> Iterator[tuple[int | bytes, dict[str, bool]]]:
    """What to read attributes of: the very file that was found, whatever has its name now.

    Devices and links are not opened; they can only have attributes that root gave them.
    """
    mode = found.status.st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        yield found.place, {"follow_symlinks": False}
        return
    fd = open_quickly(found.place, follow=False)
    try:
        if not Seen.of(found.status).is_same_file(Seen.of(os.fstat(fd))):
            raise _changed(found.place)
        yield fd, {}
    finally:
        os.close(fd)


def _changed(place: bytes) -> InputError:
    return InputError("something else took its place while it was read", file=os.fsdecode(place))


def cannot_read(place: bytes, error: OSError) -> InputError:
    """The error for a file that the system will not let us read."""
    return InputError(f"cannot be read: {error.strerror or error}", file=os.fsdecode(place))


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


def folder_in(root: str, below: str) -> str | None:
    """The path of a folder below `root`, None where there is none or a link is on the way.

    Args:
        root: where to begin; may be a link itself.
        below: names joined with slashes; empty for the root.
    """
    path = root
    try:
        if not os.path.isdir(root):
            return None
        for name in filter(None, below.split("/")):
            path = os.path.join(path, name)
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                return None
    except (OSError, ValueError):
        return None
    return path


def names_in(path: str) -> frozenset[str]:
    """The names of everything in a folder; none if it cannot be read."""
    try:
        return frozenset(os.listdir(path))
    except OSError:
        return frozenset()


def is_below(path: str, folder: str) -> bool:
    """Whether `path`, there or not, lies somewhere below `folder`; not if it is the same."""
    above, here = os.path.realpath(folder), os.path.realpath(path)
    return here != above and os.path.commonpath((above, here)) == above
