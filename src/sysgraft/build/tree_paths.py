"""The paths of a tree that layers were merged into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.build.sources.model import new_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.tree import Inode
    from sysgraft.build.nodes import Node
    from sysgraft.build.sources.model import Options


def paths_of(root: Node, options: Options) -> Iterator[tuple[bytes, Inode]]:
    """Every path below `root` but its own, in no order; folders nobody described are made up."""
    pending = [(b"", root)]
    while pending:
        path, node = pending.pop()
        if path:
            yield path, node.inode or new_directory(options)
        below = node.children or {}
        pending += [(path + b"/" + name if path else name, child) for name, child in below.items()]
