"""What upper layers hide need not be kept: the tree is the same as if everything were."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_kit import Layout, tar_of
from sysgraft.build.collect import Options
from sysgraft.build.sources.hiding import Hiding
from sysgraft.build.sources.model import AbsentContent, Workspace
from sysgraft.build.sources.opening import open_source
from sysgraft.build.sources.spec import resolve
from sysgraft.build.tree_merge import TreeMerger
from sysgraft.errors import FormatError
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from sysgraft.build.nodes import Node

NAMES = st.sampled_from(["a", "b", ".wh.a", ".wh.b", ".wh..wh..opq"])
FOLDERS = st.sampled_from(["usr", "usr/lib", "usr/lib/a", "lib", "lib/a", "usr/lib64", "bin"])
CONTENTS = st.integers(0, 3).map(lambda n: b"%d" % n)
PATHS = st.builds(lambda folder, name: f"{folder}/{name}", FOLDERS, NAMES)
LINKS = st.sampled_from(["=usr/lib/a", "=lib/a", "->usr/lib", "->a", "=usr/a"])
LAYERS = st.lists(
    st.dictionaries(PATHS | st.sampled_from(["lib", "usr/lib64"]), CONTENTS | LINKS, max_size=6),
    min_size=1,
    max_size=4,
)


def contents(path: str) -> dict[bytes, bytes | str | None] | str:
    """The merged tree's files; what went wrong, where something did."""
    with Spool() as spool:
        workspace = Workspace(Options(layers="all"), spool, (b"",))
        with open_source(resolve(path), workspace) as source:
            merger = TreeMerger(workspace.options)
            try:
                for layer in source.layers():
                    merger.add(layer)
            except FormatError as error:
                return error.message
            return dict(found(merger.root, b""))


def found(node: Node, path: bytes) -> list[tuple[bytes, bytes | str | None]]:
    result: list[tuple[bytes, bytes | str | None]] = []
    if node.inode is not None and node.inode.content is not None:
        content = node.inode.content
        assert not isinstance(content, AbsentContent), path
        result.append((path, content.read_at(0, content.size)))
    elif node.children is None:
        result.append((path, repr(node.inode and (node.inode.mode, node.inode.target))))
    for name, child in (node.children or {}).items():
        result += found(child, path + b"/" + name)
    return result


@settings(max_examples=300)
@given(layers=LAYERS)
def test_nothing_is_missing_where_hidden_contents_are_not_kept(
    layers: list[dict[str, bytes | str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    layout = Layout()
    packed = [tar_of(layer) for layer in layers]
    layout.add(layout.manifest(*packed, pack=lambda data: gzip.compress(data, mtime=0)))
    path = layout.write(tmp_path_factory.mktemp("layout"))
    kept = contents(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hiding, "hides", lambda _self, _path: False)
        everything = contents(path)
    assert kept == everything
