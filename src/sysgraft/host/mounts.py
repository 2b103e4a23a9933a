"""The kernel's tables of mounts, ``/proc/self/mountinfo``, and of swap space (proc(5))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOUNTS: Final = "/proc/self/mountinfo"
SWAPS: Final = "/proc/swaps"
_MAX_TABLE: Final = 4 << 20

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_SEPARATOR: Final = "-"
_OVERLAY_FOLDERS: Final = ("lowerdir", "upperdir", "lowerdir+")


class Mount(NamedTuple):
    """A mount.

    Attributes:
        number: ``MAJOR:MINOR`` of its device.
        place: where it is mounted.
        kind: of file system.
        source: what was mounted, as whoever did it called it.
        options: of the file system.
        root: the folder of the file system that is seen there; of a btrfs, the subvolume too.
    """

    number: str
    place: str
    kind: str
    source: str
    options: str
    root: str = "/"

    @property
    def layers(self) -> tuple[str, ...]:
        """The folders that an overlay consists of; what is relative to nobody knows where."""
        pairs = (option.partition("=") for option in self.options.split(","))
        values = [value for key, _, value in pairs if key in _OVERLAY_FOLDERS]
        return tuple(folder for value in values for folder in value.split(":") if folder)


def read_mounts(path: str = MOUNTS) -> tuple[Mount, ...]:
    """What this machine has mounted; nothing where the kernel does not say."""
    return parse_mounts(_lines(path))


def read_swaps(path: str = SWAPS) -> tuple[str, ...]:
    """The files and devices that this machine has as swap space."""
    rows = [line.split() for line in _lines(path)[1:]]
    return tuple(_unescape(row[0]) for row in rows if row)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(_MAX_TABLE).splitlines()
    except OSError:
        return []


def parse_mounts(lines: Iterable[str]) -> tuple[Mount, ...]:
    """All mounts, in their order; lines that are none are passed over."""
    return tuple(_mounts(lines))


def _mounts(lines: Iterable[str]) -> Iterator[Mount]:
    for line in lines:
        words = line.split(" ")
        if _SEPARATOR not in words[6:]:
            continue
        rest = words[words.index(_SEPARATOR, 6) + 1 :]
        if len(rest) >= 3:
            place, kind, source, options, root = map(_unescape, (words[4], *rest[:3], words[3]))
            yield Mount(words[2], place, kind, source, options, root)


def mount_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that an absolute path without links is in; of several at one place the last."""
    best: Mount | None = None
    for mount in mounts:
        folder = mount.place.rstrip("/")
        inside = path == mount.place or path.startswith(f"{folder}/")
        if inside and (best is None or len(folder) >= len(best.place.rstrip("/"))):
            best = mount
    return best


def _unescape(word: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), word)
