"""Reading ``/sys`` and the few files beside it that describe a machine, or a copy of them.

Paths are relative to a root, without a leading slash: ``sys/bus/pci/devices``. Links are followed
as if that root were ``/``: an absolute one starts there, and ``..`` does not lead out of it. What
is not there and what may not be read are alike: attributes come and go with their devices, and a
copy has what its maker could read. Nothing is written here.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Final, Protocol

from sysgraft.errors import InputError
from sysgraft.host.files import open_quickly

MAX_LINKS: Final = 40
"""Links that are followed on the way to one place, as Linux' MAXSYMLINKS."""
ATTRIBUTE_MAX: Final = 4096
"""Bytes of an attribute: one page, as sysfs gives (Linux ``Documentation/filesystems/sysfs``)."""
FOLDER_MAX: Final = 20_000
"""Names of a folder that are looked at."""


_SPACE: Final = " \t\r\n\0"


class Sysfs(Protocol):
    """Files of a machine; `sysgraft.testing.sysfs` has one without a machine."""

    @property
    def source(self) -> str:
        """Where the files are, for messages."""

    def names(self, path: str) -> list[str]:
        """What a folder holds, sorted; nothing if there is no such folder."""

    def read(self, path: str, limit: int = ATTRIBUTE_MAX) -> bytes | None:
        """The first `limit` bytes of a file; None if it cannot be read."""

    def resolve(self, path: str) -> str | None:
        """Where a path leads once all links are followed; None for a place that is not there."""


class SysfsFolder:
    """The files below a folder; ``/`` is this machine.

    Args:
        root: the folder.

    Raises:
        InputError: it is none.
    """

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self._root = os.path.abspath(root)
        self._folders: dict[str, str] = {}
        if not os.path.isdir(self._root):
            raise InputError("there is no such folder", file=os.fspath(root))

    @property
    def source(self) -> str:
        """The folder."""
        return self._root

    @property
    def is_live(self) -> bool:
        """Whether it is this machine."""
        return self._root == "/"

    def names(self, path: str) -> list[str]:
        """See `Sysfs.names`."""
        place = self._place(path)
        if place is None:
            return []
        with suppress(OSError), os.scandir(place) as entries:
            found = [entry.name for entry, _ in zip(entries, range(FOLDER_MAX), strict=False)]
            return sorted(name for name in found if name.isprintable())
        return []

    def read(self, path: str, limit: int = ATTRIBUTE_MAX) -> bytes | None:
        """See `Sysfs.read`; what is not a regular file cannot be read."""
        place = self._place(path)
        if place is None:
            return None
        with suppress(OSError), open(_open_plain(place), "rb", buffering=0) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return _read_all(file.fileno(), limit)
        return None

    def resolve(self, path: str) -> str | None:
        """See `Sysfs.resolve`."""
        place = self._place(path)
        if place is None or not os.path.lexists(place):
            return None
        return "" if place == self._root else os.path.relpath(place, self._root)

    def _place(self, path: str) -> str | None:
        """The file itself, none of the names on the way a link."""
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            reached = self._walk(folder)
            if reached is None:
                return None
            self._folders[folder] = reached
        return self._walk(name, self._folders[folder])

    def _walk(self, path: str, start: str = "") -> str | None:
        place = start or self._root
        names = path.split("/")[::-1]
        links = 0
        while names:
            name = names.pop()
            if name == "..":
                place = self._root if place == self._root else os.path.dirname(place)
            elif name not in ("", "."):
                step = os.path.join(place, name)
                target = _link(step)
                if target is None:
                    place = step
                    continue
                links += 1
                if links > MAX_LINKS:
                    return None
                place = self._root if target.startswith("/") else place
                names += target.split("/")[::-1]
        return place


def _link(place: str) -> str | None:
    """Where a link points; None for what is none."""
    try:
        return os.readlink(place)
    except (OSError, ValueError):
        return None


def _open_plain(place: str) -> int:
    try:
        return open_quickly(place, follow=False)
    except ValueError as error:  # a NUL byte
        raise OSError(str(error)) from error


def _read_all(fd: int, limit: int) -> bytes:
    """Up to `limit` bytes; files of procfs come in pieces."""
    pieces: list[bytes] = []
    while limit > 0 and (piece := os.read(fd, min(limit, 1 << 16))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def read_text(files: Sysfs, path: str, limit: int = ATTRIBUTE_MAX) -> str:
    """A file as text, without the space around it; empty if it cannot be read.

    Zeros at the end are space too: ``tar`` believes sysfs that attributes are a page long.
    """
    data = files.read(path, limit)
    return "" if data is None else data.decode("utf-8", "replace").strip(_SPACE)


def machine_name() -> str:
    """What this machine's processor is called, as ``uname -m`` prints it."""
    return os.uname().machine
