"""What a target sees of layers over a base, and where links lead in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lint_kit import OPAQUE, WHITEOUT, Content, file, link, subject, tree
from sysgraft.image.lint.view import View, merge

if TYPE_CHECKING:
    from sysgraft.image.lint.scene import Subject


def layer(name: str, **files: Content) -> Subject:
    return subject(name, {path.replace("__", "/"): content for path, content in files.items()})


def seen(view: View) -> dict[str, str]:
    return {
        path.decode(): each.owner.file if each.owner else "base"
        for path, each in view.seen.items()
        if not each.inode.is_dir
    }


def covered(view: View) -> list[tuple[str, str]]:
    return sorted((each.path.decode(), each.by.decode()) for each in view.covered)


def test_upper_layers_win_and_folders_are_merged() -> None:
    base = tree({"usr/a": "", "usr/x/b": ""})
    view = merge([layer("1", usr__a="", usr__x__c=""), layer("2", usr__a="")], base, (b"usr",))
    assert seen(view) == {"usr/a": "2", "usr/x/b": "base", "usr/x/c": "1"}
    assert covered(view) == [("usr/a", "usr/a"), ("usr/a", "usr/a")]


def test_a_file_over_a_folder_hides_all_in_it() -> None:
    base = tree({"usr/x/y/z": "", "usr/xy": ""})
    view = merge([layer("1", usr__x=link("elsewhere"))], base, (b"usr",))
    assert seen(view) == {"usr/x": "1", "usr/xy": "base"}
    assert covered(view) == [("usr/x", "usr/x"), ("usr/x/y", "usr/x"), ("usr/x/y/z", "usr/x")]


def test_deletions() -> None:
    base = tree({"usr/x/y/z": "", "usr/k": "", "usr/o/old": ""})
    upper = layer("1", usr__x=WHITEOUT, usr__o=replace(OPAQUE), usr__o__new="")
    view = merge([upper], base, (b"usr",))
    assert seen(view) == {"usr/k": "base", "usr/o/new": "1"}
    assert ("usr/o/old", "usr/o") in covered(view)
    # What is deleted can come back above.
    again = merge([upper, layer("2", usr__x__y__z="")], base, (b"usr",))
    assert seen(again)["usr/x/y/z"] == "2"


def test_only_what_is_merged_takes_part() -> None:
    base = tree({"usr/local/a": "", "usr/bin/a": ""})
    view = merge([layer("1", usr__local__a="", usr__bin__a="", top="")], base, (b"usr/bin",))
    assert seen(view) == {"usr/bin/a": "1"}


@pytest.mark.parametrize(
    ("path", "end"),
    [
        (b"usr/file", b"usr/file"),
        (b"/usr/file", b"usr/file"),
        (b"usr/relative", b"usr/file"),
        (b"usr/absolute", b"usr/file"),
        (b"usr/to_lib", b"usr/lib/x"),
        (b"usr/folder/file", b"usr/lib/x"),
        (b"usr/up", b"usr/file"),
        (b"usr/far_up", b"usr/file"),
        (b"usr/chain", b"usr/file"),
        (b"usr/outside", b"var/data"),
        (b"usr/none", None),
        (b"usr/loop", None),
        (b"usr/missing", None),
        (b"etc/nothing/known", b"etc/nothing/known"),
    ],
)
def test_where_links_lead(path: bytes, end: bytes | None) -> None:
    base = tree(
        {
            "usr/file": file(),
            "usr/relative": link("file"),
            "usr/absolute": link("/usr/file"),
            "usr/to_lib": link("/lib/x"),
            "usr/lib/x": "",
            "usr/lib/file": link("x"),
            "usr/folder": link("./lib"),
            "usr/up": link("lib/../file"),
            "usr/far_up": link("../../../../usr/file"),
            "usr/chain": link("relative"),
            "usr/outside": link("/var/data"),
            "usr/none": link("nowhere"),
            "usr/loop": link("loop"),
        }
    )
    assert merge([], base, (b"usr",)).resolve(path) == end


def test_a_chain_of_links_ends() -> None:
    files: dict[str, Content] = {f"usr/l{n}": link(f"l{n + 1}") for n in range(60)}
    view = merge([], tree({**files, "usr/l60": ""}), (b"usr",))
    assert view.resolve(b"usr/l21") == b"usr/l60"
    assert view.resolve(b"usr/l0") is None
