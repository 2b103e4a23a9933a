"""Which of several files of a name the kernel takes, and why not another.

Linux ``drivers/base/firmware_loader/main.c`` ``_request_firmware()``: the plain name is looked for
in all folders, then with ``.zst``, then with ``.xz``; the folders are ``updates/RELEASE``,
``updates``, ``RELEASE`` and the firmware folder itself. A compressed file that cannot be used is
passed over. Shelves are layers: of files at one path the one on the upper shelf is there. A folder
set with ``firmware_class.path`` comes first and is not known here, nor is what is built in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, InputError
from sysgraft.firmware.shelves import FIRMWARE
from sysgraft.formats import firmware_file, firmware_search

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.tree import Inode
    from sysgraft.firmware.shelves import Shelf


class Place(NamedTuple):
    """A file of the name that was looked for.

    Attributes:
        shelf: it is on.
        path: in the machine, without a leading slash.
        inode: the file itself, behind links; None where they lead nowhere.
        problem: why the kernel cannot use it, or does not come to it; empty for the one it takes.
    """

    shelf: Shelf
    path: str
    inode: Inode | None
    problem: str


class Located(NamedTuple):
    """What there is of a name.

    Attributes:
        name: as a driver asks for it.
        taken: the file the kernel takes.
        others: files it passes over, in the order in which it would come to them.
    """

    name: str
    taken: Place | None
    others: tuple[Place, ...]

    @property
    def unusable(self) -> tuple[Place, ...]:
        """Files that are there, but cannot be used."""
        return self.others if self.taken is None else ()


class Reach:
    """All firmware at hand.

    Args:
        shelves: the lowest layer first.
        kernel: release that is running; empty where nobody knows.
    """

    def __init__(self, shelves: Sequence[Shelf], kernel: str = "") -> None:
        self._shelves = tuple(reversed(shelves))
        folders = firmware_search.folders(kernel)
        self._folders = [folder.encode("utf-8", "surrogateescape") for folder in folders]

    def find(self, name: str) -> Located:
        """What there is of a name."""
        taken: Place | None = None
        others: list[Place] = []
        for place in self._candidates(name.encode("utf-8", "surrogateescape")):
            if place.problem:
                others.append(place)
            elif taken is None:
                taken = place
            else:
                others.append(place._replace(problem=_why_later(taken, place)))
        return Located(name, taken, tuple(others))

    def _candidates(self, name: bytes) -> Iterator[Place]:
        if not _is_clean(name):
            return
        for suffix in firmware_file.SUFFIXES:
            for folder in self._folders:
                path = (folder + b"/" if folder else b"") + name + suffix
                yield from self._at(path)

    def _at(self, path: bytes) -> Iterator[Place]:
        """The file of that path on each shelf that has it, the uppermost first."""
        for shelf in self._shelves:
            if not self._has(shelf, path):
                continue
            inode = self._resolve(path, shelf)
            shown = printable(FIRMWARE + b"/" + path)
            yield Place(shelf, shown, inode, _problem(path, inode))

    @staticmethod
    def _has(shelf: Shelf, path: bytes) -> bool:
        """Whether a shelf itself has the path, or a link on the way to it."""
        parts = path.split(b"/")
        for depth in range(len(parts), 0, -1):
            inode = shelf.tree.get(b"/".join(parts[:depth]))
            if inode is not None:
                return inode.is_symlink or (depth == len(parts) and not inode.is_dir)
        return False

    def _resolve(self, path: bytes, first: Shelf) -> Inode | None:
        """The file behind all links; `first` counts before the others."""
        shelves = (first, *(each for each in self._shelves if each is not first))
        names = path.split(b"/")[::-1]
        reached: list[bytes] = []
        links = 0
        inode: Inode | None = None
        while names:
            name = names.pop()
            if name == b"..":
                if not reached:
                    return None
                reached.pop()
                continue
            if name in (b"", b"."):
                continue
            here = b"/".join([*reached, name])
            inode = next((shelf.tree[here] for shelf in shelves if here in shelf.tree), None)
            if inode is None:
                return None
            if not inode.is_symlink:
                reached.append(name)
                continue
            links += 1
            if links > firmware_search.MAX_LINKS or inode.target.startswith(b"/"):
                return None
            names += inode.target.split(b"/")[::-1]
        return inode


def _is_clean(name: bytes) -> bool:
    return b"\0" not in name and all(part not in (b"", b".", b"..") for part in name.split(b"/"))


def _problem(path: bytes, inode: Inode | None) -> str:
    if inode is None:
        return "it is a link to what is not there"
    if inode.content is None:
        return "it is not a regular file"
    try:
        size = min(firmware_file.HEAD_SIZE, inode.content.size)
        return firmware_file.problem(path, inode.content.read_at(0, size))
    except (FormatError, InputError) as error:
        return f"it cannot be read: {error.message}"


def _why_later(taken: Place, later: Place) -> str:
    if taken.path == later.path:
        return f"that of {taken.shelf.label} lies over it"
    if _rank(taken) == _rank(later):
        return f"{taken.path} is in a folder that is searched earlier"
    return f"{taken.path} is found first: the plain name comes before .zst, and .zst before .xz"


def _rank(place: Place) -> int:
    return firmware_file.split(place.path.encode())[1]
