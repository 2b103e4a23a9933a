"""A folder of small files that appears whole or not at all, secrets never readable by others.

The files are written into a folder under a temporary name beside the place, which only the user
can enter, and renamed when all are on the disk. Contents are held in memory: it is for keys.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.errors import OutputError
from sysgraft.host.files import cannot_write
from sysgraft.host.new_folders import fsync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class NewFile(NamedTuple):
    """A file to write.

    Attributes:
        name: its name in the folder.
        data: its content.
        secret: whether only the user may read it, whatever the umask.
    """

    name: str
    data: bytes
    secret: bool = False


def check_place(path: str, *, replace: bool, is_ours: Callable[[str], bool]) -> None:
    """Raise `OutputError` if `write_folder` would, before the work is done.

    Args:
        path: the folder.
        replace: whether files in it may be replaced.
        is_ours: whether a file of this name may be lost with the folder.
    """
    names = names_in(path)
    strangers = sorted(name for name in names if not is_ours(name))
    if strangers:
        raise OutputError(
            f"the folder holds other files too, such as {strangers[0]}; it is not replaced",
            file=path,
            hint="give an empty folder, or one that does not exist",
        )
    if names and not replace:
        raise OutputError(
            "the folder is not empty", file=path, hint="use --force to replace what is in it"
        )


def write_folder(
    path: str, files: Sequence[NewFile], *, replace: bool, is_ours: Callable[[str], bool]
) -> None:
    """Make a folder with these files.

    Args:
        path: the folder; its parent has to be there. An empty one is used as it is.
        files: what goes in.
        replace: whether the files of an existing folder may be replaced; all of them are lost.
        is_ours: whether a file of this name may be; with any other the folder is left alone.

    Raises:
        OutputError: the folder is not empty, or cannot be written.
    """
    check_place(path, replace=replace, is_ours=is_ours)
    target = os.path.realpath(path)
    try:
        with _temporary(target) as draft:
            _write_all(draft, files)
            _publish(draft, target, files, replace=replace)
    except OSError as error:
        raise cannot_write(error, path) from error


def names_in(path: str) -> list[str]:
    """What is in the folder that is to be written; nothing if it is not there yet.

    Raises:
        OutputError: something else is there.
    """
    try:
        return os.listdir(path)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise OutputError("a symbolic link that leads nowhere", file=path) from None
        return []
    except NotADirectoryError:
        raise OutputError("a file is there, not a folder", file=path) from None
    except OSError as error:
        raise cannot_write(error, path) from error


@contextlib.contextmanager
def _temporary(target: str) -> Iterator[str]:
    """A folder beside `target` that only the user can enter; gone at the end, unless renamed."""
    draft = _spare_name(target)
    os.mkdir(draft)
    try:
        # What the umask leaves is what the finished folder gets, unless there was one before.
        mode = stat.S_IMODE(os.stat(target if os.path.isdir(target) else draft).st_mode)
        # By descriptor: whoever owns the folder above may put another under the name meanwhile.
        opened = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fchmod(opened, 0o700)
            yield draft
            os.fchmod(opened, mode)
        finally:
            os.close(opened)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _spare_name(target: str) -> str:
    return os.path.join(os.path.dirname(target), f".sysgraft-{os.urandom(8).hex()}")


def _write_all(folder: str, files: Sequence[NewFile]) -> None:
    for file in files:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        mode = 0o600 if file.secret else 0o666
        with os.fdopen(os.open(os.path.join(folder, file.name), flags, mode), "wb") as out:
            out.write(file.data)
            out.flush()
            os.fsync(out.fileno())
    fsync_folder(folder)


def _publish(draft: str, target: str, files: Sequence[NewFile], *, replace: bool) -> None:
    """Give the folder its name; an empty one there gives way, a filled one if it is to."""
    try:
        os.rename(draft, target)
    except OSError as error:
        if error.errno == errno.EBUSY and not os.listdir(target):
            _fill(target, files)
        elif replace and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            _exchange(draft, target)
        else:
            raise
    with contextlib.suppress(OSError):
        fsync_folder(os.path.dirname(target))


def _exchange(draft: str, target: str) -> None:
    old = _spare_name(target)
    os.rename(target, old)
    try:
        os.rename(draft, target)
    except BaseException:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _fill(target: str, files: Sequence[NewFile]) -> None:
    """Fill an empty folder that cannot give way since something is mounted there, as in containers.

    The files are written anew in a folder inside, since no file is renamed across file systems.
    """
    inside = os.path.join(target, os.path.basename(_spare_name(target)))
    os.mkdir(inside, 0o700)
    moved: list[str] = []
    try:
        _write_all(inside, files)
        for file in files:
            place = os.path.join(target, file.name)
            os.rename(os.path.join(inside, file.name), place)
            moved.append(place)
    except BaseException:
        for place in moved:
            with contextlib.suppress(OSError):
                os.unlink(place)
        raise
    finally:
        shutil.rmtree(inside, ignore_errors=True)
