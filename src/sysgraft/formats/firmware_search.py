"""Where Linux looks for a firmware file, and in which order.

``drivers/base/firmware_loader/main.c``, ``_request_firmware`` and ``fw_get_filesystem_firmware``:
the plain name in all folders, then with ``.zst`` in all folders, then with ``.xz``. The folders are
``updates/RELEASE``, ``updates``, ``RELEASE`` and the firmware folder itself. A path set with
``firmware_class.path`` comes before them and is not known here, nor is firmware built in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.formats import firmware_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

UPDATES: Final = b"updates"

MAX_LINKS: Final = 40
"""Links on the way to one file, as Linux allows (``MAXSYMLINKS``)."""

MAX_NAME: Final = 4096
"""Bytes of a path, PATH_MAX: the loader refuses longer ones."""


class Place(NamedTuple):
    """Where a file stands in the search.

    Attributes:
        name: that drivers ask for.
        release: the only kernel that looks there; empty for all of them.
        rank: suffix, then folder; the lowest is found first.
    """

    name: bytes
    release: bytes
    rank: tuple[int, int]


def place(path: bytes, releases: Collection[bytes]) -> Place:
    """Take a path below the firmware folder apart.

    Args:
        path: relative to the firmware folder.
        releases: of all kernels whose folders are known.
    """
    name, suffix = firmware_file.split(path)
    parts = name.split(b"/")
    in_updates = parts[0] == UPDATES and len(parts) > 1
    parts = parts[in_updates:]
    release = parts[0] if parts[0] in releases and len(parts) > 1 else b""
    parts = parts[bool(release) :]
    return Place(b"/".join(parts), release, (suffix, (0 if in_updates else 2) + (not release)))


def folders(release: str) -> tuple[str, ...]:
    """The folders a kernel looks in, relative to the firmware folder; the last one is itself."""
    updates = UPDATES.decode()
    with_release = (f"{updates}/{release}", updates, release, "")
    return with_release if release else (updates, "")


def candidates(name: str, release: str) -> Iterator[str]:
    """All paths at which a kernel looks for a name, in its order; none for a name it refuses.

    Args:
        name: as a driver asks for it. One with ``..`` in it is refused (``name_contains_dotdot``).
        release: of the kernel; empty for one nobody knows.
    """
    if not is_acceptable(name):
        return
    for suffix in firmware_file.SUFFIXES:
        for folder in folders(release):
            yield f"{folder}/{name}{suffix.decode()}" if folder else name + suffix.decode()


def is_acceptable(name: str) -> bool:
    """Whether the loader looks for such a name at all."""
    parts = name.split("/")
    return bool(name) and len(name) < MAX_NAME and ".." not in parts and "\0" not in name
