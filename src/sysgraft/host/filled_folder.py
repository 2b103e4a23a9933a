"""A folder of any content that appears whole or not at all.

It is filled under a temporary name beside its place, where only the user can enter it, and renamed
when all is there. Where something is mounted at its place, as volumes of containers are, it is
filled inside and its content moved up. Unlike `output_folder`, which is for keys, nothing is forced
to the disk: the system may still lose it with the power.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import TYPE_CHECKING, Final

from sysgraft.errors import OutputError
from sysgraft.host.files import cannot_write
from sysgraft.host.output_folder import names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# macOS' Python has none.
_remove_xattr: Final[Callable[..., None] | None] = getattr(os, "removexattr", None)

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened that nobody may have put a link in the place of."""


def check_new(path: str) -> None:
    """Raise `OutputError` unless there is nothing at `path`, or an empty folder."""
    if names_in(path):
        raise OutputError(
            "the folder is not empty",
            file=path,
            hint="give an empty folder, or one that does not exist",
        )


def fill_new(path: str, fill: Callable[[int], None], finish: Callable[[int], None]) -> None:
    """Make a folder.

    Args:
        path: its place; there may be an empty one, which is used or replaced.
        fill: puts everything into the folder with this descriptor; called once more if it turns
            out that something is mounted at the place.
        finish: called when all is there, with the folder's descriptor, to give it its own mode
            and the like; it may be unreadable after that.

    Raises:
        OutputError: there is something at `path`, or it cannot be written.
    """
    check_new(path)
    target = os.path.realpath(path)
    try:
        if not os.path.ismount(target) and _beside(target, fill, finish):
            return
        _inside(target, fill, finish)
    except OSError as error:
        raise cannot_write(error, path) from error
    except OutputError as error:
        error.file = error.file or path
        raise


def _beside(target: str, fill: Callable[[int], None], finish: Callable[[int], None]) -> bool:
    """False where the folder can be entered but not replaced."""
    with _draft(os.path.dirname(target)) as (draft, fd):
        fill(fd)
        finish(fd)
        try:
            os.rename(draft, target)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
    return True


def _inside(target: str, fill: Callable[[int], None], finish: Callable[[int], None]) -> None:
    with _draft(target) as (draft, fd), _opened(target) as target_fd:
        fill(fd)
        moved: list[str] = []
        try:
            for name in os.listdir(fd):
                os.rename(name, name, src_dir_fd=fd, dst_dir_fd=target_fd)
                moved.append(name)
            os.rmdir(draft)
            finish(target_fd)
        except BaseException:
            for name in moved:
                _remove(os.path.join(target, name))
            raise


@contextlib.contextmanager
def _draft(folder: str) -> Iterator[tuple[str, int]]:
    """A new folder and its descriptor; gone at the end, unless it was moved."""
    draft = os.path.join(folder, f".sysgraft-{os.urandom(8).hex()}")
    os.mkdir(draft, 0o700)
    try:
        with _opened(draft) as fd:
            _check_own(fd)
            _forget_inherited(fd)
            yield draft, fd
    finally:
        _remove(draft)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def _check_own(fd: int) -> None:
    """Whoever owns the folder above may have put another in the place of what was just made."""
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise OutputError("another folder took the place of the one that was made")


def _forget_inherited(fd: int) -> None:
    """Take away the access lists the folder above hands down, so that nothing inherits them."""
    if _remove_xattr is not None:
        for name in ("system.posix_acl_default", "system.posix_acl_access"):
            with contextlib.suppress(OSError):
                _remove_xattr(fd, name)


def _remove(path: str) -> None:
    """Remove whatever is there, folders too that nobody may enter."""
    if os.path.isdir(path) and not os.path.islink(path):
        pending = [path]
        while pending:
            with contextlib.suppress(OSError):
                folder = pending.pop()
                os.chmod(folder, 0o700)
                with os.scandir(folder) as entries:
                    pending += [e.path for e in entries if e.is_dir(follow_symlinks=False)]
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)
