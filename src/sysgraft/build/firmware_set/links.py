"""Where symbolic links of a tree lead, as path_resolution(7) has it.

A tree is all of a root file system, or its firmware alone. Of the latter ``lib`` is not there, and
means ``usr/lib`` as with the usr-merge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.tree import Inode

MAX_LINKS: Final = 40
"""Links on the way, as many as Linux follows."""

MAX_STEPS: Final = 1000
"""Parts of paths on the way, with those of the links' targets; real trees need some tens."""


class Way(NamedTuple):
    """Where a path leads.

    Attributes:
        end: the path without links; empty if it leads in circles, too far, or through a file.
        links: the paths of the links on the way, in the order they are met.
    """

    end: str
    links: tuple[str, ...]


def follow(tree: Mapping[str, Inode], path: str, *, merged: bool = True) -> Way:
    """Follow a path and every link on its way; what it leads to need not be there.

    Args:
        tree: by path relative to the root.
        path: likewise.
        merged: whether ``lib`` means ``usr/lib`` where there is none.
    """
    links: list[str] = []
    pending = path.split("/")[::-1]
    here = ""
    steps = 0
    while pending:
        steps += 1
        if steps > MAX_STEPS:
            return Way("", tuple(links))
        part = pending.pop()
        if part in ("", ".", ".."):
            here = here.rpartition("/")[0] if part == ".." else here
            continue
        here = f"{here}/{part}" if here else part
        if merged and here == "lib" and here not in tree:
            here = "usr/lib"
        inode = tree.get(here)
        if inode is not None and inode.is_symlink:
            links.append(here)
            if len(links) > MAX_LINKS:
                return Way("", tuple(links))
            target = inode.target.decode("utf-8", "surrogateescape")
            here = "" if target.startswith("/") else here.rpartition("/")[0]
            pending.extend(target.split("/")[::-1])
        elif inode is not None and not inode.is_dir and pending:
            return Way("", tuple(links))
    return Way(here, tuple(links))
