"""Layers become one tree: later over earlier, deletions carried out.

Rules: OCI Image Format 1.1, "Applying Changesets" (deletions concern lower layers only, an opaque
marker hides all that lower layers have in a folder), and what Linux does with a path that comes
twice in one archive (the last counts). Nothing is placed through a symbolic link, save the
usr-merge's own (``lib`` to ``usr/lib``). Deletions of what no layer holds stay in the tree as
overlay whiteouts and opaque folders, for `sysgraft.build.selection` to decide on.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import Inode, printable
from sysgraft.build.nodes import MAX_PATH_BYTES, Node, usr_merge_target
from sysgraft.build.usr_merge import move_into
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.archive_path import OPAQUE_MARKER, WHITEOUT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.build.sources.model import Entry, Layer, Options

MAX_NODES: Final = 600_000
"""Paths of a tree, with those of folders that nothing lists: what an image may hold and a fifth
more for what is left out, some 250 MB of memory."""

MAX_MOVES: Final = 32
"""Folders that turn into links of the usr-merge: a system does that once for each of six names."""

_AUFS_PREFIX: Final = b".wh..wh."  # AUFS' own files, which say nothing to others
_MAX_HOPS: Final = 4  # usr-merge links one behind the other: lib64, usr/lib64, usr/lib


class TreeMerger:
    """Takes layers, the lowest first.

    Attributes:
        root: the tree so far.
    """

    def __init__(self, options: Options) -> None:
        self.root = Node()
        self._time = options.source_date_epoch or 0
        self._nodes = 1
        self._path_bytes = 0
        self._moves = 0

    def add(self, layer: Layer) -> None:
        """Lay a layer over what is there.

        Raises:
            FormatError: its entries contradict each other or the layers below.
            LimitError: the tree grows beyond `MAX_NODES` or `MAX_PATH_BYTES`.
        """
        entries: Sequence[Entry] = layer.entries
        if layer.whiteout_names:
            entries = self._apply_whiteouts(layer)
        for entry in entries:
            self._place(entry, layer)

    # Deletions come first: they concern what is below, wherever they stand in the layer.

    def _apply_whiteouts(self, layer: Layer) -> list[Entry]:
        """Carry out a layer's deletions; its other entries."""
        others = []
        for entry in layer.entries:
            if WHITEOUT_PREFIX not in entry.path or not _is_special(entry.path):
                others.append(entry)
            elif not _is_of_aufs(entry.path):
                self._apply_whiteout(entry.path, is_partial=layer.is_partial)
        return others

    def _apply_whiteout(self, path: bytes, *, is_partial: bool) -> None:
        folder, _, name = path.rpartition(b"/")
        below = self._find(folder, follow=True)
        if below is not None and below.children is None:
            return  # no folder in the layers below, so nothing in it to delete
        if name == OPAQUE_MARKER:
            self._hide(folder, below, is_partial=is_partial)
        else:
            self._delete(folder, below, _deleted_name(path), is_partial=is_partial)

    def _hide(self, folder: bytes, below: Node | None, *, is_partial: bool) -> None:
        if below is not None:
            _children(below).clear()
        if is_partial:
            self._folder(folder).opaque = True

    def _delete(self, folder: bytes, below: Node | None, name: bytes, *, is_partial: bool) -> None:
        children = _children(below) if below is not None else {}
        if name in children:
            if not children[name].is_whiteout:
                del children[name]
        elif is_partial:
            whiteout = Inode(mode=stat.S_IFCHR, mtime=self._time)
            place = _children(self._folder(folder))
            place[name] = self._counted(Node(whiteout), len(folder) + len(name) + 1)

    # Additions, in the order of the layer.

    def _place(self, entry: Entry, layer: Layer) -> None:
        path = entry.path
        if not path:
            return  # the root of an image is the builder's, whatever a source says of its own
        inode = entry.inode if entry.inode is not None else self._linked(entry, layer)
        folder, _, name = path.rpartition(b"/")
        children = _children(self._folder(folder))
        old = children.get(name)
        if old is None:
            children[name] = self._counted(Node(inode), len(path))
        elif inode.is_dir and old.children is not None:
            old.inode = inode
        elif inode.is_dir and usr_merge_target(path, old) is not None:
            place = self._folder(path)  # its files follow, and go where the link leads
            place.inode = place.inode or inode
        else:
            new = children[name] = Node(inode)
            new.opaque = inode.is_dir and old.is_whiteout
            self._move_through(path, old, new)

    def _move_through(self, path: bytes, old: Node, link: Node) -> None:
        """Where a link of the usr-merge takes a folder's place, its files move along."""
        target = usr_merge_target(path, link)
        if target is not None and old.children:
            self._moves += 1
            if self._moves > MAX_MOVES:
                raise LimitError(
                    f"folders become links of the usr-merge more than {MAX_MOVES} times"
                )
            move_into((self._folder(target), target), old, path)

    def _linked(self, entry: Entry, layer: Layer) -> Inode:
        node = self._find(entry.link)
        if node is None or node.is_whiteout:
            raise FormatError(
                f"{printable(entry.path)} is a hard link to {printable(entry.link)}, which is not "
                f"there ({layer.name})",
                hint="it may be in a lower layer: use --layers all" if layer.is_partial else "",
            )
        if node.inode is None or node.inode.is_dir:
            raise FormatError(f"a hard link to a folder: {printable(entry.path)}")
        return node.inode

    # Walking

    def _find(self, path: bytes, *, follow: bool = False) -> Node | None:
        """The node at `path`; None if there is none.

        Links of the usr-merge are followed on the way, with `follow` at the end too.
        """
        for _ in range(_MAX_HOPS):
            node, rest = self._descend(path)
            if not rest:
                done = path
            elif node.children is None:
                done = path[: -len(rest) - 1]
            else:
                return None
            target = usr_merge_target(done, node) if rest or follow else None
            if target is None:
                return None if rest else node
            path = target + b"/" + rest if rest else target
        return None

    def _descend(self, path: bytes) -> tuple[Node, bytes]:
        """Go down as far as there are nodes: the last one, and the part of `path` that is left."""
        node = self.root
        parts = path.split(b"/") if path else []
        for depth, name in enumerate(parts):
            below = node.children.get(name) if node.children is not None else None
            if below is None:
                return node, b"/".join(parts[depth:])
            node = below
        return node, b""

    def _folder(self, path: bytes) -> Node:
        """The folder at `path`, made with all above it where it is missing."""
        for _ in range(_MAX_HOPS):
            node, rest = self._descend(path)
            if node.children is not None:
                return self._grown(node, rest, len(path) - len(rest))
            stands_at = path[: -len(rest) - 1] if rest else path
            target = usr_merge_target(stands_at, node)
            if target is not None:
                path = target + b"/" + rest if rest else target
            elif node.is_whiteout:
                self._turn_into_folder(node)
            else:
                break
        raise FormatError(f"{printable(stands_at)} is no folder, and files are to lie in it")

    def _grown(self, node: Node, rest: bytes, length: int) -> Node:
        """The folder `rest` below `node`; before `rest`, its path has `length` bytes."""
        for name in rest.split(b"/") if rest else ():
            new = _children(node)[name] = self._counted(Node(), length + len(name))
            node = new
            length += len(name) + 1
        return node

    @staticmethod
    def _turn_into_folder(whiteout: Node) -> None:
        """A folder that is made where one was deleted shows nothing of the old one."""
        whiteout.inode = None
        whiteout.children = {}
        whiteout.opaque = True

    def _counted(self, node: Node, path_length: int) -> Node:
        """Count a new path: whoever makes one far down makes long ones all the way."""
        self._nodes += 1
        self._path_bytes += path_length
        if self._nodes > MAX_NODES:
            raise LimitError(f"the tree has more than {MAX_NODES} paths")
        if self._path_bytes > MAX_PATH_BYTES:
            raise LimitError(f"the tree's paths exceed {MAX_PATH_BYTES} bytes")
        return node


def _children(folder: Node) -> dict[bytes, Node]:
    return folder.children if folder.children is not None else {}


def _is_special(path: bytes) -> bool:
    """Whether a name in `path` begins with the prefix of deletions."""
    return (b"/" + path).find(b"/" + WHITEOUT_PREFIX) >= 0


def _is_of_aufs(path: bytes) -> bool:
    """Whether `path` is AUFS' own: ``.wh..wh.plnk`` and the like, and all below them."""
    return any(part.startswith(_AUFS_PREFIX) and part != OPAQUE_MARKER for part in path.split(b"/"))


def _deleted_name(path: bytes) -> bytes:
    """The name that the deletion at `path` deletes."""
    folder, _, last = path.rpartition(b"/")
    name = last.removeprefix(WHITEOUT_PREFIX)
    if _is_special(folder) or name == last or name in (b"", b".", b".."):
        raise FormatError(f"not a proper deletion: {printable(path)}")
    return name
