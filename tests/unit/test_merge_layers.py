"""Layers over layers: replacement, deletion, hard links, and nothing through links."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build import tree_merge
from sysgraft.build.sources.model import Entry, Layer, Options
from sysgraft.build.tree_merge import TreeMerger
from sysgraft.build.usr_merge import merge_usr
from sysgraft.errors import FormatError, LimitError

if TYPE_CHECKING:
    from sysgraft.build.nodes import Node


def file(path: str, data: str = "", mode: int = 0o644) -> Entry:
    return Entry(path.encode(), Inode(stat.S_IFREG | mode, content=BytesBlob(data.encode())))


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path.encode(), Inode(stat.S_IFDIR | mode))


def link(path: str, target: str) -> Entry:
    return Entry(path.encode(), Inode(stat.S_IFLNK | 0o777, target=target.encode()))


def hard(path: str, target: str) -> Entry:
    return Entry(path.encode(), None, target.encode())


def gone(path: str) -> Entry:
    name = path.rpartition("/")[2]
    return file(path.removesuffix(name) + ".wh." + name)


def opaque(path: str) -> Entry:
    return file(f"{path}/.wh..wh..opq")


def layer(*entries: Entry, partial: bool = False, image: bool = True) -> Layer:
    return Layer("a layer", entries, whiteout_names=image, is_partial=partial)


def merged(*layers: Layer) -> TreeMerger:
    merger = TreeMerger(Options())
    for one in layers:
        merger.add(one)
    return merger


def shown(root: Node) -> dict[str, str]:
    """Paths and what lies there: contents, ``-> target``, ``whiteout``, ``/`` for folders."""
    found: dict[str, str] = {}
    pending = [("", root)]
    while pending:
        path, node = pending.pop()
        for name, child in (node.children or {}).items():
            below = f"{path}/{name.decode()}".lstrip("/")
            found[below] = one_shown(child)
            pending.append((below, child))
    return found


def one_shown(node: Node) -> str:
    inode = node.inode
    if inode is None or inode.is_dir:
        return "opaque" if node.opaque else "/"
    if node.is_whiteout:
        return "whiteout"
    if inode.is_symlink:
        return f"-> {inode.target.decode()}"
    return inode.content.read_at(0, inode.content.size).decode() if inode.content else "?"


def files(*layers: Layer) -> dict[str, str]:
    """What `layers` make, without plain folders."""
    return {path: what for path, what in shown(merged(*layers).root).items() if what != "/"}


def after_usr_merge(*layers: Layer) -> dict[str, str]:
    root = merged(*layers).root
    merge_usr(root)
    return shown(root)


def test_later_layers_lie_over_earlier_ones() -> None:
    lower = layer(
        file("usr/a", "old"), file("usr/b", "kept"), folder("usr/d"), file("usr/d/x", "x")
    )
    upper = layer(file("usr/a", "new"), file("usr/d", "now a file"), folder("usr/b"))
    assert shown(merged(lower, upper).root) == {
        "usr": "/",
        "usr/a": "new",
        "usr/b": "/",
        "usr/d": "now a file",
    }


def test_a_folder_again_takes_the_new_attributes_and_keeps_its_files() -> None:
    root = merged(layer(folder("usr"), file("usr/a")), layer(folder("usr", 0o700))).root
    usr = (root.children or {})[b"usr"]
    assert usr.inode is not None
    assert usr.inode.mode & 0o777 == 0o700
    assert list(usr.children or {}) == [b"a"]


def test_the_last_of_two_members_with_one_name_counts() -> None:
    assert files(layer(file("usr/a", "1"), link("usr/a", "b"), file("usr/a", "2"))) == {
        "usr/a": "2"
    }


def test_deletions_concern_lower_layers_wherever_they_stand() -> None:
    lower = layer(file("usr/a", "old"), file("usr/b", "old"), file("usr/d/x", "x"))
    upper = layer(file("usr/a", "new"), gone("usr/a"), gone("usr/b"), gone("usr/d"))
    assert files(lower, upper) == {"usr/a": "new"}


def test_opaque_folders_hide_all_below_and_nothing_beside() -> None:
    lower = layer(file("usr/d/x"), file("usr/d/e/y"), file("usr/z", "z"))
    upper = layer(file("usr/d/e/new", "n"), opaque("usr/d"))
    assert files(lower, upper) == {"usr/d/e/new": "n", "usr/z": "z"}


def test_whole_images_settle_their_own_deletions() -> None:
    assert files(layer(gone("usr/never"), opaque("usr/d"), file("usr/a", "a"))) == {"usr/a": "a"}


def test_deletions_of_what_is_not_read_stay_as_whiteouts() -> None:
    upper = layer(gone("usr/old"), opaque("usr/d"), file("usr/d/x", "x"), partial=True)
    assert files(upper) == {"usr/old": "whiteout", "usr/d": "opaque", "usr/d/x": "x"}


def test_what_is_made_where_something_was_deleted() -> None:
    first = layer(gone("usr/a"), gone("usr/d"), gone("usr/e"), partial=True)
    second = layer(file("usr/a", "back"), folder("usr/d"), file("usr/e/x", "x"), partial=True)
    expected = {"usr/a": "back", "usr/d": "opaque", "usr/e": "opaque", "usr/e/x": "x"}
    assert files(first, second) == expected
    assert files(layer(*first.entries, *second.entries, partial=True)) == expected


def test_deletion_in_a_folder_that_was_a_link_below() -> None:
    lower = layer(file("usr/b/x", "kept"), link("usr/a", "b"))
    upper = layer(folder("usr/a"), opaque("usr/a"), gone("usr/a/x"), file("usr/a/y", "y"))
    assert files(lower, upper) == {"usr/b/x": "kept", "usr/a/y": "y"}


def test_names_of_deletions_mean_nothing_outside_images() -> None:
    assert files(layer(gone("usr/a"), image=False)) == {"usr/.wh.a": ""}


def test_aufs_files_are_passed_over() -> None:
    entries = (file("usr/.wh..wh.aufs"), folder(".wh..wh.plnk"), file(".wh..wh.plnk/12.34"))
    assert files(layer(*entries, file("usr/a", "a"), partial=True)) == {"usr/a": "a"}


@pytest.mark.parametrize("path", ["usr/.wh.", "usr/.wh..", "usr/.wh...", "usr/.wh.d/file"])
def test_improper_deletions(path: str) -> None:
    with pytest.raises(FormatError, match="not a proper deletion"):
        merged(layer(file(path)))


def test_hard_links_share_an_inode_across_replacement() -> None:
    merger = merged(
        layer(
            file("usr/a", "1"), hard("usr/b", "usr/a"), file("usr/a", "2"), hard("usr/c", "usr/a")
        ),
    )
    assert files_of(merger) == {"usr/a": "2", "usr/b": "1", "usr/c": "2"}
    usr = ((merger.root.children or {})[b"usr"].children) or {}
    assert usr[b"a"].inode is usr[b"c"].inode


def files_of(merger: TreeMerger) -> dict[str, str]:
    return {path: what for path, what in shown(merger.root).items() if what != "/"}


def test_a_hard_link_to_a_link_and_to_itself() -> None:
    entries = (link("usr/a", "x"), hard("usr/b", "usr/a"), hard("usr/b", "usr/b"))
    assert files(layer(*entries)) == {"usr/a": "-> x", "usr/b": "-> x"}


@pytest.mark.parametrize("target", ["usr/none", "usr/b", "usr/file/below", ""])
def test_hard_links_to_nothing(target: str) -> None:
    with pytest.raises(FormatError, match="hard link to"):
        merged(layer(file("usr/file"), hard("usr/b", target)))


def test_a_circle_of_hard_links() -> None:
    with pytest.raises(FormatError, match="not there"):
        merged(layer(hard("usr/a", "usr/b"), hard("usr/b", "usr/a")))


def test_hard_links_to_folders() -> None:
    with pytest.raises(FormatError, match="to a folder"):
        merged(layer(folder("usr/d"), hard("usr/b", "usr/d")))


def test_a_hard_link_into_a_layer_that_is_not_read_says_what_to_do() -> None:
    entry = hard("usr/b", "usr/lower")
    with pytest.raises(FormatError, match="not there") as caught:
        merged(layer(entry, partial=True))
    assert "--layers all" in caught.value.hint
    assert files(layer(file("usr/lower", "x")), layer(entry))["usr/b"] == "x"


@pytest.mark.parametrize("target", ["etc", "/", "../..", "usr", "nowhere", "l"])
def test_nothing_is_placed_through_a_link(target: str) -> None:
    with pytest.raises(FormatError, match="usr/l is no folder"):
        merged(layer(link("usr/l", target), file("usr/l/x")))


def test_nothing_is_placed_below_a_file() -> None:
    with pytest.raises(FormatError, match="usr/f is no folder"):
        merged(layer(file("usr/f")), layer(file("usr/f/x/y")))


def test_a_folder_replaces_a_link_and_then_holds_files() -> None:
    lower = layer(link("usr/l", "elsewhere"))
    assert files(lower, layer(folder("usr/l"), file("usr/l/x", "x"))) == {"usr/l/x": "x"}


@pytest.mark.parametrize("target", ["usr/lib", "/usr/lib", "./usr//lib/", "../usr/lib"])
def test_the_links_of_the_usr_merge_are_followed(target: str) -> None:
    lower = layer(link("lib", target), file("usr/lib/a", "a"), file("usr/lib/old", "o"))
    upper = layer(folder("lib"), file("lib/b", "b"), hard("lib/c", "lib/a"), gone("lib/old"))
    assert after_usr_merge(lower, upper) == {
        "usr": "/",
        "usr/lib": "/",
        "usr/lib/a": "a",
        "usr/lib/b": "b",
        "usr/lib/c": "a",
    }


def test_links_of_the_usr_merge_that_lead_to_each_other() -> None:
    lower = layer(link("lib64", "usr/lib64"), link("usr/lib64", "lib"), file("usr/lib/a", "a"))
    upper = layer(file("lib64/b", "b"), file("usr/lib64/c", "c"))
    found = after_usr_merge(lower, upper)
    assert (found["usr/lib/b"], found["usr/lib/c"]) == ("b", "c")


def test_circles_among_the_links_of_the_usr_merge() -> None:
    circle = layer(link("usr/lib", "lib64"), link("usr/lib64", "lib"), link("lib", "usr/lib64"))
    with pytest.raises(FormatError, match="no folder"):
        merged(circle, layer(file("lib/x")))
    with pytest.raises(FormatError, match="not there"):
        merged(circle, layer(hard("usr/x", "lib/x")))
    with pytest.raises(FormatError, match="is none"):
        after_usr_merge(layer(*circle.entries[:2], file("lib/x")))


def test_folders_from_before_the_usr_merge_move() -> None:
    found = after_usr_merge(
        layer(
            folder("lib", 0o700), file("lib/m/x", "x"), file("bin/sh", "sh"), file("usr/lib/y", "y")
        ),
    )
    assert found == {
        "usr": "/",
        "usr/bin": "/",
        "usr/bin/sh": "sh",
        "usr/lib": "/",
        "usr/lib/m": "/",
        "usr/lib/m/x": "x",
        "usr/lib/y": "y",
    }


def test_a_link_that_takes_a_folders_place_takes_its_files_along() -> None:
    lower = layer(file("lib/old", "o"), file("usr/lib/x", "x"))
    upper = layer(link("lib", "usr/lib"), file("lib/new", "n"))
    found = after_usr_merge(lower, upper)
    assert {path: what for path, what in found.items() if what != "/"} == {
        "usr/lib/old": "o",
        "usr/lib/x": "x",
        "usr/lib/new": "n",
    }


def test_folders_do_not_move_without_end() -> None:
    flip = [file("lib"), folder("lib"), file("lib/x"), link("lib", "usr/lib")]
    with pytest.raises(LimitError, match="more than 32 times"):
        merged(layer(*flip * 40))


def test_folder_attributes_below_usr_win() -> None:
    root = merged(
        layer(folder("lib/d", 0o700), folder("usr/lib/d", 0o711), folder("lib/e", 0o701))
    ).root
    merge_usr(root)
    modes = {}
    lib = (((root.children or {})[b"usr"].children) or {})[b"lib"].children or {}
    for name, node in lib.items():
        assert node.inode is not None
        modes[name] = node.inode.mode & 0o777
    assert modes == {b"d": 0o711, b"e": 0o701}


def test_equal_files_meet() -> None:
    found = after_usr_merge(layer(file("lib/x", "same"), file("usr/lib/x", "same")))
    assert found["usr/lib/x"] == "same"


@pytest.mark.parametrize(
    "other",
    [
        file("usr/lib/x", "b"),
        file("usr/lib/x", "a", 0o755),
        link("usr/lib/x", "a"),
        folder("usr/lib/x"),
    ],
    ids=["content", "mode", "link", "folder"],
)
def test_different_files_do_not_meet(other: Entry) -> None:
    with pytest.raises(FormatError, match="usr/lib/x and lib/x are different"):
        after_usr_merge(layer(file("lib/x", "a"), other))


@pytest.mark.parametrize("target", ["/lib/x", "../../lib/x"])
def test_a_link_to_its_own_place_gives_way(target: str) -> None:
    assert (
        after_usr_merge(layer(file("lib/x", "real"), link("usr/lib/x", target)))["usr/lib/x"]
        == "real"
    )
    reverse = layer(link("lib/x", "/usr/lib/x"), file("usr/lib/x", "real"))
    assert after_usr_merge(reverse)["usr/lib/x"] == "real"


def test_a_deletion_gives_way_to_what_moved() -> None:
    found = after_usr_merge(layer(gone("lib/x"), file("usr/lib/x", "moved"), partial=True))
    assert found["usr/lib/x"] == "moved"


def test_the_root_of_a_source_changes_nothing() -> None:
    root = merged(layer(folder("", 0o700), file("usr/a"))).root
    assert root.inode is None


def test_paths_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_merge, "MAX_NODES", 10)
    with pytest.raises(LimitError, match="10 paths"):
        merged(layer(file("/".join("abcdefghijk"))))


def test_the_bytes_of_paths_are_counted_with_those_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_merge, "MAX_PATH_BYTES", 1 + 3 + 5 + 7)
    fits = file("a/b/c/d")
    merged(layer(fits))
    for entries in ([file("a/b/c/de")], [fits, file("x")], [fits, fits, file("a/x")]):
        with pytest.raises(LimitError, match="paths exceed 16 bytes"):
            merged(layer(*entries))
    with pytest.raises(LimitError, match="paths exceed 16 bytes"):
        merged(layer(opaque("a/b/c/de"), partial=True))


def test_deep_paths_stop_long_before_they_fill_the_memory() -> None:
    merger = TreeMerger(Options())
    depth = "/".join("a" * 2030)
    with pytest.raises(LimitError, match="paths exceed"):
        merger.add(layer(*(file(f"usr/{number}/{depth}/f") for number in range(100))))
    assert merger._nodes < 140_000
