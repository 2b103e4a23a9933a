"""Links and globs in a firmware tree, as the kernel and glob(3) take them; none leads out."""

from __future__ import annotations

import pytest

from sysgraft.firmware.index import Entry
from sysgraft.firmware.tree_view import TreeView, is_glob


def view(*names: str) -> TreeView:
    """Files, and links where there is ``->``."""
    pairs = (name.partition(" -> ") for name in sorted(names))
    return TreeView(Entry(path, 0 if to else 1, to, 0, b"") for path, _, to in pairs)


@pytest.mark.parametrize(
    ("names", "name", "path", "links"),
    [
        (["a"], "a", "a", []),
        (["a.zst"], "a", "a.zst", []),
        (["a", "a.zst"], "a", "a", []),
        # The suffix is the outer loop: a plain file beats a compressed one anywhere.
        (["a", "updates/a.zst"], "a", "a", []),
        (["a.xz", "updates/a.zst"], "a", "updates/a.zst", []),
        (["a", "updates/6.1/a", "updates/a"], "a", "updates/6.1/a", []),
        (["a -> b", "b"], "a", "b", ["a"]),
        (["d/a -> ../b", "b"], "d/a", "b", ["d/a"]),
        (["d -> e", "e/a -> b", "e/b"], "d/a", "e/b", ["d", "e/a"]),
        (["a -> /usr/lib/firmware/b", "b"], "a", "b", ["a"]),
        (["a -> /lib/firmware/c/b", "c/b"], "a", "c/b", ["a"]),
        (["a -> b", "b -> c", "c"], "a", "c", ["a", "b"]),
    ],
)
def test_what_a_kernel_loads(names: list[str], name: str, path: str, links: list[str]) -> None:
    found = view(*names).ask(name, "6.1")
    assert found is not None
    assert found.entry.path == path
    assert [link.path for link in found.links] == links


@pytest.mark.parametrize(
    ("names", "name"),
    [
        ([], "a"),
        (["a -> a"], "a"),
        (["a -> b", "b -> a"], "a"),
        (["a -> ../b", "b"], "a"),
        (["a -> ../../etc/passwd"], "a"),
        (["a -> /etc/passwd", "etc/passwd"], "a"),
        (["a -> nothing"], "a"),
        (["a -> d", "d/x"], "a"),  # a folder is no firmware
        (["a/b"], "a"),
        (["a"], "a/b"),
        (["b"], "../firmware/b"),
        ([f"l{n} -> l{n + 1}" for n in range(50)] + ["l50"], "l0"),
    ],
)
def test_what_a_kernel_does_not_find(names: list[str], name: str) -> None:
    assert view(*names).ask(name, "6.1") is None


def test_globs() -> None:
    tree = view(
        "a/1.bin", "a/2.bin.zst", "a/b/3.bin", "l -> a", ".hidden", "updates/a/4.bin", "x[1]"
    )
    assert tree.expand("a/*.bin", "6.1") == ("a/1.bin", "a/2.bin", "a/4.bin")
    assert tree.expand("a/*/*", "6.1") == ("a/b/3.bin",)
    assert tree.expand("l/?.bin", "6.1") == ("l/1.bin", "l/2.bin")
    assert tree.expand("*", "6.1") == ("a", "l", "updates", "x[1]")
    assert tree.expand("a/[!1].bin", "6.1") == ("a/2.bin", "a/4.bin")
    assert tree.expand("../*", "6.1") == ()
    assert tree.expand("nothing/*", "6.1") == ()
    assert is_glob("a[1]")
    assert not is_glob("a.bin")


def test_a_glob_costs_no_more_than_there_are_names() -> None:
    tree = view(*(f"{'a' * 60}{n}" for n in range(2000)))
    assert tree.expand("*a" * 40 + "b", "") == ()
