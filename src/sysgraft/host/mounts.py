"""The kernel's table of mounts, ``/proc/self/mountinfo`` (proc(5))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
    """

    number: str
    place: str
    kind: str
    source: str
    options: str

    @property
    def layers(self) -> tuple[str, ...]:
        """The folders that an overlay consists of; what is relative to nobody knows where."""
        pairs = (option.partition("=") for option in self.options.split(","))
        values = [value for key, _, value in pairs if key in _OVERLAY_FOLDERS]
        return tuple(folder for value in values for folder in value.split(":") if folder)


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
            yield Mount(words[2], *map(_unescape, (words[4], rest[0], rest[1], rest[2])))


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
