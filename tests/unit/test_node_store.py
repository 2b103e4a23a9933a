"""The store and its links: what counts, what is passed over, and that no link is ever followed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from node_root import KAIROS, Root, listing, make_root
from sysgraft.errors import InputError, UsageError
from sysgraft.formats.extension_release import Kind
from sysgraft.node import links
from sysgraft.node.selection import profiles_of, select
from sysgraft.node.store import Flaw, Store, extension_name

if TYPE_CHECKING:
    from pathlib import Path

STORE = f"{KAIROS}/extensions"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return make_root(tmp_path)


def store(root: Root, kind: str = Kind.SYSEXT) -> Store:
    return root.node().store(kind)


def flaws(root: Root, profile: str = "active") -> dict[str, str]:
    found: list[Flaw] = []
    store(root).enabled(profile, found)
    return {os.path.basename(flaw.path): flaw.reason for flaw in found}


# --- What is there --------------------------------------------------------------------------------


def test_what_is_installed(root: Root) -> None:
    for name in ("b.sysext.raw", "a_1.2.raw", "c.confext.raw", ".hidden.raw", "x.txt", "d.raw.zst"):
        root.write(f"{STORE}/{name}", b"12345")
    root.write(f"{STORE}/sub.raw/x")
    root.link(f"{STORE}/link.raw", "b.sysext.raw")
    root.link(f"{STORE}/gone.raw", "/etc/shadow")
    passed_over: list[Flaw] = []
    found = store(root).files(passed_over)
    assert [(each.file, each.name, each.family, each.version, each.size) for each in found] == [
        ("a_1.2.raw", "a_1.2", "a", "1.2", 5),
        ("b.sysext.raw", "b", "b", "", 5),
    ]
    assert {os.path.basename(path): reason for path, reason in passed_over} == {
        "sub.raw": "it is no file, and no image of the store",
        "link.raw": "it is a link, and no image of the store",
        "gone.raw": "it is a link, and no image of the store",
    }


def test_stores_of_other_kinds(root: Root) -> None:
    for name in ("a.confext.raw", "a.sysext.raw", "a.raw", "x.cred", "Y.ADDON.EFI", "z.efi"):
        root.write(f"{KAIROS}/confexts/{name}")
        root.write(f"{KAIROS}/sidecars/{name}")
    assert [each.file for each in store(root, Kind.CONFEXT).files()] == ["a.confext.raw", "a.raw"]
    assert [each.file for each in store(root, "sidecars").files()] == ["Y.ADDON.EFI", "x.cred"]
    assert [extension_name(name) for name in ("x.cred", "Y.ADDON.EFI")] == ["x", "Y"]


def test_a_store_that_is_not_there_is_empty(tmp_path: Path) -> None:
    node = Root(tmp_path, tmp_path).node()
    assert [(each.files(), each.profiles(), each.enabled("active")) for each in node.stores] == [
        ((), (), ())
    ] * 3


def test_relative_links_and_those_of_kairos_agent(root: Root) -> None:
    for name in ("one.raw", "two.sysext.raw"):
        root.write(f"{STORE}/{name}")
    root.link(f"{STORE}/active/one.raw", "../one.raw")
    root.link(f"{STORE}/active/two.sysext.raw", f"/{STORE}/two.sysext.raw")
    assert store(root).enabled("active") == ("one.raw", "two.sysext.raw")
    assert store(root).profiles_of("one.raw") == ("active",)
    assert flaws(root) == {}


def test_everything_else_is_a_flaw_and_never_followed(root: Root, tmp_path: Path) -> None:
    outside = tmp_path / "outside.raw"
    outside.write_bytes(b"x")
    root.write(f"{STORE}/one.raw")
    root.write(f"{STORE}/two.raw")
    root.link(f"{STORE}/linked.raw", "one.raw")
    root.write(f"{STORE}/folder.raw/x")
    targets = {
        "outside.raw": str(outside),
        "other.raw": "../one.raw",  # another name than its own
        "gone.raw": "../gone.raw",
        "linked.raw": "../linked.raw",  # a link in the store
        "folder.raw": "../folder.raw",
        "two.raw": f"/{STORE}/../extensions/two.raw",
        "one.raw": "../../extensions/one.raw",
    }
    for name, target in targets.items():
        root.link(f"{STORE}/active/{name}", target)
    root.write(f"{STORE}/active/file.raw")
    root.write(f"{STORE}/active/sub.raw/x")
    root.write(f"{STORE}/active/notes.txt")
    assert store(root).enabled("active") == ()
    leads = "it leads to {}, not to the image of its name in the store"
    assert flaws(root) == {
        "outside.raw": leads.format(outside),
        "other.raw": leads.format("../one.raw"),
        "two.raw": leads.format(targets["two.raw"]),
        "one.raw": leads.format(targets["one.raw"]),
        "gone.raw": "the image it leads to is not there",
        "linked.raw": "what it leads to is no file",
        "folder.raw": "what it leads to is no file",
        "file.raw": "it is no link to an image of the store",
        "sub.raw": "it is no link to an image of the store",
    }


def test_too_many_files_end_it(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysgraft.node.store.MAX_ENTRIES", 3)
    for number in range(3):
        root.write(f"{STORE}/{number}.raw")
    assert len(store(root).files()) == 3
    root.write(f"{STORE}/x")
    with pytest.raises(InputError, match="more than 3 files"):
        store(root).files()


# --- Links made and taken away --------------------------------------------------------------------


def test_links_are_made_and_taken_away(root: Root) -> None:
    root.write(f"{STORE}/one.raw")
    assert links.enable(store(root), "customentry", "one.raw")
    assert not links.enable(store(root), "customentry", "one.raw")
    assert listing(root.store)["customentry/one.raw"] == "-> ../one.raw"
    assert store(root).enabled("customentry") == ("one.raw",)
    assert links.disable(store(root), "customentry", "one.raw")
    assert not links.disable(store(root), "customentry", "one.raw")
    assert not links.disable(store(root), "nobody", "one.raw")
    assert listing(root.store) == {"one.raw": b""}


def test_a_wrong_link_is_replaced_and_a_file_is_not(root: Root, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    root.write(f"{STORE}/one.raw")
    root.write(f"{STORE}/two.raw")
    root.link(f"{STORE}/active/one.raw", str(outside))
    root.write(f"{STORE}/active/two.raw", b"somebody's")
    assert links.enable(store(root), "active", "one.raw")
    assert store(root).enabled("active") == ("one.raw",)
    assert outside.read_bytes() == b"mine"
    message = root.refused("enable", "two", "--active")
    assert "a file is there that is no link" in message
    assert not links.disable(store(root), "active", "two.raw")
    assert (root.store / "active/two.raw").read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    "place", [f"{KAIROS}", f"{STORE}", f"{STORE}/active", "var", "var/lib"], ids=os.path.basename
)
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
@pytest.mark.parametrize(
    "words",
    [("enable", "one", "--active"), ("disable", "one", "--active"), ("remove", "one"), ("gc",)],
    ids=lambda words: words[0],
)
def test_links_on_the_way_are_refused(
    root: Root, tmp_path: Path, place: str, words: tuple[str, ...], *, inside: bool
) -> None:
    """Whatever level of the store is a link, nothing is written, removed or made behind it."""
    root.put("one", "active")
    real = root.path / place
    target = root.path / "srv/hidden" if inside else tmp_path / "hidden"
    target.parent.mkdir(exist_ok=True)
    real.rename(target)
    real.symlink_to(target)
    before = listing(tmp_path)
    verb, *more = words
    done = root.run(verb, *more)
    if place.endswith("active") and verb == "remove":
        # The image may go; what is behind the link may not.
        assert done.code == 0
        assert listing(target) == {"one.sysext.raw": "-> ../one.sysext.raw"}
        return
    assert (done.code, done.out) == (2, "")
    (error, hint) = done.err.splitlines()
    assert error == f"error: {real}: it is a symbolic link, which is not followed here"
    assert hint.startswith("hint: ")
    assert listing(tmp_path) == before


@pytest.mark.parametrize("place", [KAIROS, STORE, f"{STORE}/active"], ids=os.path.basename)
def test_files_in_the_place_of_folders(root: Root, place: str) -> None:
    root.put("one")
    real = root.path / place
    if real.exists():
        real.rename(root.path / "away")
    real.write_bytes(b"")
    assert root.refused("enable", "one", "--active").startswith(
        f"error: {real}: it is not a folder"
    )


def test_gc_leaves_what_a_link_of_another_kind_means(root: Root) -> None:
    """A link that somebody else wrote their own way shows that the image is wanted."""
    root.put("wanted")
    root.put("unwanted")
    root.link(f"{STORE}/active/wanted.sysext.raw", "/usr/local/.state/ext/wanted.sysext.raw")
    done = root.run("gc")
    assert done.code == 0
    assert sorted(os.listdir(root.store)) == ["active", "wanted.sysext.raw"]


# --- Who is meant ---------------------------------------------------------------------------------


def selected(root: Root, pattern: str, **more: object) -> list[str]:
    return [each.stored.file for each in select(root.node(), pattern, **more)]  # type: ignore[arg-type]


@pytest.fixture
def full(root: Root) -> Root:
    for name in (
        "foo.sysext.raw", "foobar.sysext.raw", "barfoo.raw", "k3sv1.29.1.raw", "k3sv1x29.raw",
        "foo_1.2.sysext.raw", "foo_1.10.sysext.raw", "Foo.sysext.raw",
    ):  # fmt: skip
        root.write(f"{STORE}/{name}")
    root.write(f"{KAIROS}/confexts/foo.confext.raw")
    root.write(f"{KAIROS}/sidecars/foo.cred")
    return root


@pytest.mark.parametrize(
    ("pattern", "files"),
    [
        ("foo", ["foo.sysext.raw", "foo.confext.raw", "foo.cred"]),
        ("foo.sysext.raw", ["foo.sysext.raw"]),
        ("foo.cred", ["foo.cred"]),
        ("foobar", ["foobar.sysext.raw"]),
        ("k3sv1.29.1", ["k3sv1.29.1.raw"]),
        ("k3sv1.29*", ["k3sv1.29.1.raw"]),
        ("k3sv1?29*", ["k3sv1.29.1.raw", "k3sv1x29.raw"]),
        ("foo_*", ["foo_1.10.sysext.raw", "foo_1.2.sysext.raw"]),
        ("[Ff]oo", ["Foo.sysext.raw", "foo.sysext.raw", "foo.confext.raw", "foo.cred"]),
        ("*foo.raw", ["barfoo.raw"]),
        ("*.sysext.raw", [
            "Foo.sysext.raw", "foo.sysext.raw", "foo_1.10.sysext.raw", "foo_1.2.sysext.raw",
            "foobar.sysext.raw",
        ]),
    ],
)  # fmt: skip
def test_names_and_globs_mean_the_whole(full: Root, pattern: str, files: list[str]) -> None:
    assert selected(full, pattern) == files


def test_kinds_narrow_it_down(full: Root) -> None:
    assert selected(full, "foo", kinds=[Kind.CONFEXT]) == ["foo.confext.raw"]
    with pytest.raises(InputError):
        selected(full, "foobar", kinds=[Kind.CONFEXT, "sidecars"])


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("fo", "did you mean: foo"),
        ("oo", "did you mean: foo"),
        ("fooba", "did you mean: foobar"),
        ("k3sv1x29.1", "did you mean: k3sv1.29.1"),
        ("zzzzzzzz", "installed is: Foo, barfoo, foo"),
        ("x*", "installed is"),
        ("foo.*.cred", "did you mean"),
        (".*", "installed is"),
    ],
)
def test_a_part_of_a_name_is_none(full: Root, pattern: str, hint: str) -> None:
    with pytest.raises(InputError, match="no installed extension") as caught:
        selected(full, pattern)
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    "pattern", ["", "a/b", "../foo", "a\\b", "foo[", "a\nb", "a\0b", "x" * 256]
)
@pytest.mark.parametrize("verb", ["enable", "disable", "remove", "rollback"])
def test_patterns_that_are_none(full: Root, verb: str, pattern: str) -> None:
    more = ["--active"] if verb in ("enable", "disable") else []
    message = full.refused(verb, pattern, *more)
    assert ("no name or pattern" in message) or verb == "rollback"


def test_nothing_is_installed(root: Root) -> None:
    message = root.refused("enable", "foo", "--common")
    assert message == f"error: {root.store}: no installed extension is called foo"


@pytest.mark.parametrize(
    "entry",
    ["", ".", "..", "a/b", "/", "../active", ".hidden", "a\nb", "a\x1b[31m", "\udcff", "\u202e"],
)
def test_hostile_names_of_entries(full: Root, entry: str) -> None:
    with pytest.raises(UsageError, match="no name of a boot entry"):
        profiles_of(active=False, passive=False, recovery=False, common=False, entries=[entry])
    for verb in ("enable", "disable", "list"):
        words = () if verb == "list" else ("foobar",)
        assert "no name of a boot entry" in full.refused(verb, *words, "--entry", entry)


def test_an_entry_with_a_very_long_name(full: Root) -> None:
    assert "no name of a boot entry" in full.refused("enable", "foobar", "--entry", "x" * 300)


def test_profiles_are_named_once_and_in_order() -> None:
    entries = ["mine", "active", "mine", "a b"]
    found = profiles_of(active=True, passive=False, recovery=True, common=True, entries=entries)
    assert found == ("active", "recovery", "common", "mine", "a b")


@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_nobody_guesses_which_entries_are_meant(full: Root, verb: str) -> None:
    assert "for which boot entries?" in full.refused(verb, "foobar")
