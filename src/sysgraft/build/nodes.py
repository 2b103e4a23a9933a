"""A tree that is being made: folders as dictionaries, so that subtrees move and go at once."""

from __future__ import annotations

import posixpath
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sysgraft.base.tree import Inode

USR_MERGED: Final = (b"bin", b"lib", b"lib32", b"lib64", b"libx32", b"sbin")
"""Top-level names that the usr-merge moves below ``usr`` (file-hierarchy(7), "Compatibility")."""

MAX_PATH_BYTES: Final = 256 << 20
"""Bytes of all paths of a tree: an average of 440 for the most paths a tree may have."""

_MERGED_PLACES: Final = frozenset(b"usr/" + name for name in USR_MERGED)
_LINK_PLACES: Final = _MERGED_PLACES | frozenset(USR_MERGED)


class Node:
    """One path.

    Attributes:
        inode: what lies there; None for a folder that no source describes.
        children: of a folder, by name; None for anything else.
        opaque: whether the folder hides what the system below has in it.
    """

    __slots__ = ("children", "inode", "opaque")

    def __init__(self, inode: Inode | None = None) -> None:
        self.inode = inode
        self.children: dict[bytes, Node] | None = {} if inode is None or inode.is_dir else None
        self.opaque = False

    @property
    def is_whiteout(self) -> bool:
        """Whether this deletes something below."""
        # Not `Inode.is_whiteout`, whose chain of calls costs more than the rest of placing a file.
        inode = self.inode
        return (
            inode is not None and stat.S_IFMT(inode.mode) == stat.S_IFCHR and inode.rdev == (0, 0)
        )


def usr_merge_target(path: bytes, node: Node) -> bytes | None:
    """Where a link of the usr-merge at `path` leads (``lib64`` to ``usr/lib``), else None."""
    inode = node.inode
    if path not in _LINK_PLACES or inode is None or not inode.is_symlink:
        return None
    target = resolved_target(path, inode.target)
    return target if target in _MERGED_PLACES and target != path else None


def resolved_target(path: bytes, target: bytes) -> bytes:
    """The path a symbolic link at `path` names, relative to the tree's root.

    Links on the way are not followed, and ``..`` stops at the root, as in a root file system.
    """
    base = b"/" if target.startswith(b"/") else b"/" + posixpath.dirname(path)
    return posixpath.normpath(posixpath.join(base, target)).lstrip(b"/")
