"""Which folders systemd-sysext may put overlays over, so that nothing mounted below is hidden.

An overlay over ``/usr`` hides every file system that is mounted somewhere below it: Kairos keeps
its state on one under ``/usr/local``. Then the folders beside it are given one by one, in
``SYSTEMD_SYSEXT_HIERARCHIES`` (systemd, docs/ENVIRONMENT.md), and what an extension has where
nothing is merged is told.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from sysgraft.host.mounts import parse_mounts
from sysgraft.host.places import below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sysgraft.base.tree import Tree
    from sysgraft.host.sysfs import Sysfs

DEFAULT: Final = ("/usr", "/opt")
"""What systemd-sysext merges into if nothing else is said."""
MAX_FOLDERS: Final = 64
"""Overlays at most; systemd mounts each one anew at every refresh."""

_TABLES: Final = ("proc/1/mountinfo", "proc/self/mountinfo")
"""That of the first process: a unit may have file systems hidden from it, or others shown."""
_MAX_TABLE: Final = 4 << 20
_PLAIN: Final = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*")
"""Names that can stand in a list with colons and in a file of variables; nothing else is merged."""
_OVERLAY: Final = "overlay"
_SYSEXT: Final = "sysext"


def mounts_below(files: Sysfs, folders: Sequence[str] = DEFAULT) -> tuple[str, ...]:
    """Where something is mounted inside these folders, systemd's own overlays left out."""
    tables = (files.read(path, _MAX_TABLE) for path in _TABLES)
    text = next(filter(None, tables), b"").decode("utf-8", "surrogateescape")
    found = [
        each.place
        for each in parse_mounts(text.splitlines())
        if not (each.kind == _OVERLAY and each.source == _SYSEXT)
    ]
    inside = (place for place in found if any(_is_below(place, folder) for folder in folders))
    return tuple(dict.fromkeys(inside))


def hierarchies(mounts: Sequence[str], root: str = "/") -> tuple[str, ...]:
    """The folders to merge into: the usual ones, or all below them that hide nothing.

    Args:
        mounts: where something is mounted below them.
        root: the folder that stands for the system's root.
    """
    found: list[str] = []
    for folder in DEFAULT:
        found += _free(folder, mounts, root)
    return tuple(found[:MAX_FOLDERS])


def _free(folder: str, mounts: Sequence[str], root: str) -> Iterator[str]:
    """The folder, or those inside it that have no mount below them, and are none."""
    if folder in mounts and folder not in DEFAULT:
        return
    if not any(_is_below(place, folder) for place in mounts):
        yield folder
        return
    for name in _folders(below(root, folder)):
        if not _PLAIN.fullmatch(name):
            continue
        yield from _free(f"{folder}/{name}", mounts, root)


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(each.name for each in entries if each.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _is_below(place: str, folder: str) -> bool:
    return place.startswith(f"{folder}/")


def not_merged(tree: Tree, merged: Iterable[str]) -> tuple[str, ...]:
    """The files of an extension that lie where nothing is merged, as absolute paths."""
    prefixes = [f"{each.lstrip('/')}/".encode() for each in merged]
    lost = (
        path
        for path, inode in tree.items()
        if not inode.is_dir and not any(path.startswith(prefix) for prefix in prefixes)
    )
    return tuple(sorted(f"/{path.decode('utf-8', 'backslashreplace')}" for path in lost))
