"""Paths in a file tree that is in memory, with symbolic links followed inside it.

What `sysgraft.formats.erofs.reader.Reader` does on the disk, for file systems whose tree is read at
once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import Inode, Tree, is_below, printable
from sysgraft.errors import FormatError, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINKS: Final = 40
"""Symbolic links followed on one path, as many as Linux follows (``MAXSYMLINKS``)."""


def resolve(tree: Tree, path: bytes, *, follow_last: bool) -> bytes | None:
    """The path `path` leads to without links, as in a chroot; None if it leads nowhere.

    Raises:
        FormatError: links lead in circles.
    """
    here: list[bytes] = []
    ahead = path.split(b"/")[::-1]
    links = 0
    while ahead:
        name = ahead.pop()
        if name == b"..":
            here[-1:] = []
            continue
        if name in (b"", b"."):
            continue
        inode = tree.get(b"/".join([*here, name]))
        if inode is None:
            return None
        if not inode.is_symlink or not (ahead or follow_last):
            here.append(name)
            continue
        links += 1
        if links > MAX_LINKS:
            raise FormatError(f"more than {MAX_LINKS} links on the way to {printable(path)}")
        here = [] if inode.target.startswith(b"/") else here
        ahead += inode.target.split(b"/")[::-1]
    return b"/".join(here)


def lookup(tree: Tree, path: bytes) -> Inode | None:
    """The inode at `path`; a link at its end is not followed."""
    found = resolve(tree, path, follow_last=False)
    return None if found is None else tree.get(found)


def listdir(tree: Tree, path: bytes) -> list[bytes]:
    """The names in the directory at `path`, sorted; links are followed, at the end too.

    Raises:
        FormatError: there is no directory at `path`.
    """
    found = resolve(tree, path, follow_last=True)
    if found is None or not tree[found].is_dir:
        raise FormatError(f"no directory in the image: {printable(path) or '/'}")
    return _names(tree, found)


def select(
    tree: Tree, path: bytes, wanted: Callable[[bytes], bool], *, max_entries: int
) -> dict[bytes, Inode]:
    """The inodes of those names in the directory at `path` that are `wanted`, sorted by name.

    Empty where there is no directory at `path`.

    Raises:
        LimitError: more than `max_entries` are wanted.
    """
    found = resolve(tree, path, follow_last=False)
    if found is None or not tree[found].is_dir:
        return {}
    names = [name for name in _names(tree, found) if wanted(name)]
    if len(names) > max_entries:
        raise LimitError(
            f"{printable(path)}: {len(names)} files of this kind, at most {max_entries} are"
            " looked at",
        )
    return {name: tree[found + b"/" + name if found else name] for name in names}


def _names(tree: Tree, directory: bytes) -> list[bytes]:
    start = len(directory) + 1 if directory else 0
    return sorted(
        path[start:]
        for path in tree
        if len(path) > start and is_below(path, directory) and b"/" not in path[start:]
    )
