"""The usr-merge: ``/lib``, ``/bin`` and their like move below ``/usr``.

An extension covers ``/usr`` only, and the systems it is for have ``/lib`` as a link to
``/usr/lib``; packages and images made before that still carry the old paths. Two files that meet
must be the same file. It does not touch links inside the tree: what they name stays reachable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import chunks
from sysgraft.base.tree import printable
from sysgraft.build.nodes import USR_MERGED, Node, resolved_target, usr_merge_target
from sysgraft.build.sources.model import AbsentContent
from sysgraft.errors import FormatError

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Inode

_MAX_HOPS: Final = 4


def merge_usr(root: Node) -> None:
    """Move the old top-level folders below ``usr``; links that already lead there go.

    Raises:
        FormatError: two different files claim one path.
    """
    top = root.children or {}
    for name in USR_MERGED:
        node = top.get(name)
        if node is None:
            continue
        if node.children is not None:
            move_into(_merged_place(root, name), node, name)
            del top[name]
        elif usr_merge_target(name, node) is not None:
            del top[name]


def move_into(target: tuple[Node, bytes], moved: Node, moved_path: bytes) -> None:
    """Move what the folder `moved` holds into another one.

    Args:
        target: the folder that stays, whose attributes count, and its path.
        moved: the folder that goes.
        moved_path: its path.

    Raises:
        FormatError: two different files claim one path.
    """
    pending = [(*target, moved, moved_path)]
    while pending:
        to, to_path, from_, from_path = pending.pop()
        to.inode = to.inode or from_.inode
        to.opaque = to.opaque or from_.opaque
        children = _children(to)
        for name, node in _children(from_).items():
            there = children.get(name)
            path, old_path = to_path + b"/" + name, from_path + b"/" + name
            if there is None or _gives_way(there, path, node, old_path):
                children[name] = node
            elif there.children is not None and node.children is not None:
                pending.append((there, path, node, old_path))
            elif not _gives_way(node, old_path, there, path):
                _refuse_difference(there, path, node, old_path)


def _merged_place(root: Node, name: bytes) -> tuple[Node, bytes]:
    """The folder below ``usr`` that takes the contents of the top-level folder `name`."""
    path = b"usr/" + name
    usr = _children(root).setdefault(b"usr", Node())
    for _ in range(_MAX_HOPS):
        node = _children(usr).setdefault(path.removeprefix(b"usr/"), Node())
        if node.children is not None:
            return node, path
        target = usr_merge_target(path, node)
        if target is None:
            break
        path = target
    raise FormatError(f"{printable(name)} is a folder, but {printable(path)} is none")


def _children(folder: Node) -> dict[bytes, Node]:
    if folder.children is None:
        raise FormatError("usr is not a folder")
    return folder.children


def _gives_way(node: Node, path: bytes, other: Node, other_path: bytes) -> bool:
    """Whether `node` is only a deletion, or a link to what is now in its own place."""
    if node.is_whiteout:
        return True
    inode = node.inode
    if inode is None or not inode.is_symlink or (other.inode and other.inode.is_symlink):
        return False
    return resolved_target(path, inode.target) == other_path


def _refuse_difference(one: Node, one_path: bytes, two: Node, two_path: bytes) -> None:
    if one.inode is None or two.inode is None or not same_but_time(one.inode, two.inode):
        raise FormatError(
            f"{printable(one_path)} and {printable(two_path)} are different, and the usr-merge "
            "makes them one path",
        )


def same_but_time(one: Inode, two: Inode) -> bool:
    """Whether two are equal in all but time; contents that were passed over, by their sizes."""
    return one is two or (
        _attributes(one) == _attributes(two) and _same_content(one.content, two.content)
    )


def _attributes(inode: Inode) -> tuple[object, ...]:
    return (inode.mode, inode.uid, inode.gid, inode.xattrs, inode.target, inode.rdev)


def _same_content(one: Blob | None, two: Blob | None) -> bool:
    if one is None or two is None:
        return one is two
    if isinstance(one, AbsentContent) or isinstance(two, AbsentContent):
        return one.size == two.size  # neither will be kept
    return one.size == two.size and all(
        here == there for here, there in zip(chunks(one), chunks(two), strict=True)
    )
