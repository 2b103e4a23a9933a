"""Folders that are made for an output, and go again if it does not come; names that last."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, TypeVar

from sysgraft.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class NewFolders:
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


def sync_folder(folder: str) -> None:
    """Make the name last; the file is whole and in its place whether or not this works."""
    with contextlib.suppress(OSError):
        fsync_folder(folder)


def fsync_folder(folder: str) -> None:
    """Make the names in a folder last; raises ``OSError`` if that does not work."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
