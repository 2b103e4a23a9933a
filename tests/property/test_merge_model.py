"""Merging layers gives what applying them to a folder one after the other would give."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build.sources.model import Entry, Layer, Options
from sysgraft.build.tree_merge import TreeMerger

if TYPE_CHECKING:
    from sysgraft.build.nodes import Node

# A layer: paths to delete, folders to clear, and files (data) or folders (None) to put there.
Change: TypeAlias = tuple[set[str], set[str], dict[str, bytes | None]]

NAMES = st.sampled_from("abc")
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
CHANGES = st.tuples(
    st.sets(PATHS, max_size=2),
    st.sets(PATHS, max_size=1),
    st.dictionaries(PATHS, st.none() | st.binary(max_size=3), max_size=5),
)


def without_conflicts(change: Change) -> Change:
    """Leave out what lies below a file of the same layer: no file system gives such a layer."""
    gone, cleared, there = change
    files = {path for path, data in there.items() if data is not None}
    kept = {p: d for p, d in there.items() if not any(above in files for above in parents(p))}
    return gone, cleared, kept


def parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def apply(model: dict[str, bytes | None], change: Change) -> None:
    """What a container runtime does with a layer; every folder on the way is listed."""
    gone, cleared, there = change
    for path in gone:
        if all(model.get(above, b"") is None for above in parents(path)):
            remove(model, path, itself=True)
    for path in cleared:
        if all(model.get(above, b"") is None for above in [*parents(path), path]):
            remove(model, path, itself=False)
    for path in sorted(there):
        for above in parents(path):
            put(model, above, None)
        put(model, path, there[path])


def put(model: dict[str, bytes | None], path: str, data: bytes | None) -> None:
    if data is not None or model.get(path, b"") is not None:
        remove(model, path, itself=True)
    model[path] = data


def remove(model: dict[str, bytes | None], path: str, *, itself: bool) -> None:
    for found in [p for p in model if p.startswith(path + "/") or (itself and p == path)]:
        del model[found]


def entries(change: Change) -> list[Entry]:
    gone, cleared, there = change
    found = []
    for path in sorted(there):
        found += [entry(above, None) for above in parents(path)]
        found.append(entry(path, there[path]))
    for path in gone:
        folder, slash, name = path.rpartition("/")
        found.append(entry(f"{folder}{slash}.wh.{name}", b""))
    return [*found, *(entry(f"{path}/.wh..wh..opq", b"") for path in cleared)]


def entry(path: str, data: bytes | None) -> Entry:
    if data is None:
        return Entry(path.encode(), Inode(stat.S_IFDIR | 0o755))
    return Entry(path.encode(), Inode(stat.S_IFREG | 0o644, content=BytesBlob(data)))


def flattened(root: Node) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    pending = [("", root)]
    while pending:
        folder, node = pending.pop()
        for name, child in (node.children or {}).items():
            path = f"{folder}/{name.decode()}".lstrip("/")
            content = child.inode.content if child.inode is not None else None
            found[path] = content.read_at(0, content.size) if content is not None else None
            pending.append((path, child))
    return found


@given(st.lists(CHANGES.map(without_conflicts), max_size=4))
@settings(max_examples=500)
def test_merging_is_applying_one_after_the_other(changes: list[Change]) -> None:
    merger = TreeMerger(Options())
    model: dict[str, bytes | None] = {}
    for change in changes:
        merger.add(Layer("layer", entries(change), whiteout_names=True))
        apply(model, change)
    assert flattened(merger.root) == model
