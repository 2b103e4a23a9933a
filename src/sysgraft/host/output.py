"""Outputs that appear whole or not at all.

Where the system can, the file has no name until it is whole, so that nothing is left of it
whatever ends the process; elsewhere it is written under a temporary name beside its place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import IO, TYPE_CHECKING, Final, NamedTuple, TypeVar

from sysgraft.errors import OutputError
from sysgraft.host.files import cannot_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")

# Linux only: a file without a name in a folder's file system.
_UNNAMED: Final[int] = getattr(os, "O_TMPFILE", 0)
# How file systems and kernels without such files answer (open(2), O_TMPFILE).
_NO_UNNAMED: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
# What a new file gets less the umask (open(2)).
_NEW_MODE: Final = 0o666


class _Place(NamedTuple):
    """Where an output goes.

    Attributes:
        name: as the caller gave it, for messages.
        target: the file itself; behind a symbolic link, what that points to.
        mode: permissions of the file that is replaced, None for a new one.
    """

    name: str
    target: str
    mode: int | None

    @property
    def folder(self) -> str:
        """The one that holds the target."""
        return os.path.dirname(self.target) or "."


class _Draft(NamedTuple):
    """A file in the making: its descriptor, and its temporary name if it has one."""

    fd: int
    temporary: str


@contextlib.contextmanager
def atomic_output(
    path: str | os.PathLike[str], *, replace: bool, make_folders: bool = False
) -> Iterator[IO[bytes]]:
    """A new file that appears under `path` whole or not at all.

    It is forced to the disk before it gets its name. Without `replace`, an existing file is
    refused at the start and at the end. With it, the new file has the old one's permissions,
    and of a symbolic link the target is replaced.

    Args:
        path: the file.
        replace: whether a file that is there may be replaced.
        make_folders: make the folders that are missing; they go again if no file comes. What
            is made is what the path leads to: of ``missing/../folder`` only ``folder``.

    Raises:
        OutputError: it exists, or it cannot be written.
    """
    place = _find_place(os.fspath(path), replace=replace)
    folders = _Folders(place.folder, wanted=make_folders)
    try:
        folders.make()
        with _named_in(place.name), _open_draft(place, folders) as (draft, file):
            yield file
            file.flush()
            if place.mode is not None:
                os.fchmod(draft.fd, place.mode)
            os.fsync(draft.fd)
            folders.within(lambda: _publish(draft, place, replace=replace))
    except BaseException:
        folders.remove()
        raise
    _sync_folder(place.folder)


def _find_place(name: str, *, replace: bool) -> _Place:
    if not replace:
        _refuse_existing(name)
        return _Place(name, without_parents(name), None)
    target = os.path.realpath(name)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return _Place(name, target, None)
    except OSError as error:
        raise cannot_write(error, name) from error
    if not stat.S_ISREG(mode):
        raise OutputError("not a regular file, it is not replaced", file=name)
    return _Place(name, target, stat.S_IMODE(mode) & 0o777)


def without_parents(name: str) -> str:
    """`name` with no ``..`` in its folder; behind it, none is made only to be left again."""
    folder, last = os.path.split(name)
    if os.pardir not in folder.split(os.sep):
        return name
    return os.path.join(os.path.realpath(folder), last)


def _refuse_existing(name: str) -> None:
    if os.path.lexists(name):
        raise OutputError("the file exists", file=name, hint="use --force to replace it")


@contextlib.contextmanager
def _named_in(name: str) -> Iterator[None]:
    """Failed writes are about the file `name`."""
    try:
        yield
    except OSError as error:
        raise cannot_write(error, name) from error
    except OutputError as error:
        error.file = error.file or name
        raise


@contextlib.contextmanager
def _open_draft(place: _Place, folders: _Folders) -> Iterator[tuple[_Draft, IO[bytes]]]:
    # What will be private is never anything else.
    mode = _NEW_MODE if place.mode is None else 0o600
    try:
        draft = folders.within(
            lambda: _unnamed_draft(place.folder, mode) or _named_draft(place.folder, mode)
        )
    except OSError as error:
        message = f"cannot write here: {error.strerror or error}"
        raise OutputError(message, file=place.folder) from error
    try:
        with os.fdopen(draft.fd, "w+b") as file:
            yield draft, file
    finally:
        if draft.temporary:
            with contextlib.suppress(OSError):
                os.unlink(draft.temporary)


def _unnamed_draft(folder: str, mode: int) -> _Draft | None:
    """None where the system has no files without a name, or none that can be given one."""
    if not _UNNAMED:
        return None
    try:
        fd = os.open(folder, _UNNAMED | os.O_RDWR | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno in _NO_UNNAMED:
            return None
        raise
    if os.path.exists(_link_source(fd)):
        return _Draft(fd, "")
    os.close(fd)
    return None


def _named_draft(folder: str, mode: int) -> _Draft:
    name = _temporary_name(folder)
    return _Draft(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), name)


def _temporary_name(folder: str) -> str:
    return os.path.join(folder, f".sysgraft-{os.urandom(8).hex()}")


def _link_source(fd: int) -> str:
    # linkat(2) gives this as the way that needs no privilege.
    return f"/proc/self/fd/{fd}"


def _publish(draft: _Draft, place: _Place, *, replace: bool) -> None:
    """Give the finished file its name; a link fails where the name was taken meanwhile."""
    if not replace:
        _publish_new(draft, place)
    elif draft.temporary:
        os.replace(draft.temporary, place.target)
    else:
        _replace_by_unnamed(draft, place)


def _publish_new(draft: _Draft, place: _Place) -> None:
    try:
        _link(draft, place.target)
    except FileExistsError:
        _refuse_existing(place.name)
        raise
    except OSError:
        if not draft.temporary:
            raise
        # FAT and some network file systems have no links.
        _refuse_existing(place.name)
        os.replace(draft.temporary, place.target)


def _replace_by_unnamed(draft: _Draft, place: _Place) -> None:
    """Linking replaces nothing, renaming does: so the file is named for a moment."""
    name = _temporary_name(place.folder)
    try:
        _link(draft, name)
        os.replace(name, place.target)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _link(draft: _Draft, name: str) -> None:
    if draft.temporary:
        os.link(draft.temporary, name)
        return
    # Only with a folder's descriptor does Python call linkat(2), which follows the link in /proc;
    # beside an absolute path any descriptor will do, it is not looked at.
    os.link(_link_source(draft.fd), name, src_dir_fd=draft.fd, follow_symlinks=True)


def _sync_folder(folder: str) -> None:
    """Make the name last; the file is whole and in its place whether or not this works."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class _Folders:
    """The folder `path` of an output and those above it, made when missing if that is `wanted`."""

    def __init__(self, path: str, *, wanted: bool) -> None:
        self._path = path
        self._wanted = wanted
        self._made: list[str] = []

    def make(self) -> None:
        """Make what is missing, if that is wanted."""
        if self._wanted:
            self._made += _make_folders(self._path)

    def remove(self) -> None:
        """Remove what was made, if there is nothing in it."""
        _remove_empty(self._made)

    def within(self, action: Callable[[], _T]) -> _T:
        """Do what needs the folder; if that has gone, make it again and try once more.

        Another process that made the folder and failed takes it along: a file without a name
        does not keep it from doing so.
        """
        try:
            return action()
        except FileNotFoundError:
            if not self._wanted:
                raise
        self.make()
        return action()


def _make_folders(path: str) -> list[str]:
    """Make what is missing of `path`; what was made, the outermost first."""
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path.rstrip(os.sep))
    made: list[str] = []
    for folder in reversed(missing):
        try:
            os.mkdir(folder)
        except FileExistsError:
            if os.path.isdir(folder):
                continue
            _remove_empty(made)
            raise OutputError("cannot make the folder: a file is there", file=folder) from None
        except OSError as error:
            _remove_empty(made)
            message = f"cannot make the folder: {error.strerror or error}"
            raise OutputError(message, file=folder) from error
        made.append(folder)
    return made


def _remove_empty(folders: list[str]) -> None:
    """Remove folders that hold nothing but each other."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
