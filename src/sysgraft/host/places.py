"""Folders that are written to on a node: reached without a link, whoever may have put one there.

A store or a partition can hold links that somebody made to have files written or removed elsewhere.
Every name on the way below the root has to be a folder itself. Nothing is cached: who can change
the folders above meanwhile is root.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, OutputError
from sysgraft.host.files import cannot_write
from sysgraft.host.new_folders import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_LINKS: Final = 40
"""Links that lead to one another at most: Linux' MAXSYMLINKS."""


def below(root: str, path: str) -> str:
    """The place of an absolute path in the system whose root is `root`."""
    return os.path.join(root, path.lstrip("/"))


def real_path(root: str, path: str) -> str:
    """Where a path below `root` leads; absolute links are those of the system there."""
    if root == "/":
        return os.path.realpath(path)
    for _ in range(_MAX_LINKS):
        if not os.path.islink(path):
            break
        target = os.readlink(path)
        above = os.path.dirname(path)
        path = below(root, target) if target.startswith("/") else os.path.join(above, target)
    return os.path.realpath(path)


def is_plain_folder(root: str, path: str) -> bool:
    """Whether `path`, somewhere below `root`, is a folder that no link leads to.

    Raises:
        InputError: a link, or something that is no folder, is on the way.
    """
    for place in _steps(root, path):
        try:
            mode = os.lstat(place).st_mode
        except FileNotFoundError:
            return False
        except OSError as error:
            raise InputError(error.strerror or str(error), file=place) from error
        if not stat.S_ISDIR(mode):
            what = "a symbolic link" if stat.S_ISLNK(mode) else "not a folder"
            raise InputError(
                f"it is {what}, which is not followed here",
                file=place,
                hint="name the folder itself",
            )
    return True


def make_plain_folder(root: str, path: str) -> None:
    """Make a folder below `root` and those above it, where they are missing; mode 0755.

    Raises:
        InputError: a link, or something that is no folder, is on the way.
        OutputError: it cannot be made.
    """
    if is_plain_folder(root, path):
        return
    for place in _steps(root, path):
        try:
            os.mkdir(place, 0o755)
        except FileExistsError:
            continue
        except OSError as error:
            raise cannot_write(error, place) from error
        sync_folder(os.path.dirname(place))
    is_plain_folder(root, path)


def _steps(root: str, path: str) -> Iterator[str]:
    """Each folder on the way from `root` to `path`, `path` last."""
    inside = os.path.relpath(path, root)
    if inside.split(os.sep)[0] == os.pardir:
        raise InputError(f"it is not below {root}", file=path)
    place = root
    for name in [] if inside == os.curdir else inside.split(os.sep):
        place = os.path.join(place, name)
        yield place


def unlink_if_there(path: str) -> bool:
    """Remove a file or link; whether there was one.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"cannot be removed: {error.strerror or error}", file=path) from error
    with contextlib.suppress(OSError):
        sync_folder(os.path.dirname(path))
    return True


def remove_link(path: str) -> None:
    """Remove a link, if there is one, so that what is written next is no file elsewhere.

    Raises:
        OutputError: it cannot be removed.
    """
    if os.path.islink(path):
        unlink_if_there(path)
