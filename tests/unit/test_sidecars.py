"""Which files beside an image a stub packs, in what order, and what PCR they go to."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import pytest

from sysgraft.base.systemd import LATEST, OLDEST
from sysgraft.measure.sidecars import (
    KINDS,
    MAX_NAME,
    Entry,
    Place,
    choose,
    in_order,
    problem,
    skipped,
)

OWN: Final = ("one.raw", "etc.confext.raw", "token.cred", "debug.addon.efi", "notes.txt")
Made = dict[str, tuple[str, ...]]


def chosen(place: Place, names: tuple[str, ...], version: int) -> Made:
    return {c.kind.name: c.names for c in choose(place, map(Entry, names), version)}


# --- Kinds ---------------------------------------------------------------------------------------

BEFORE_256: Final[Made] = {
    "credentials": ("token.cred",),
    "sysext": ("etc.confext.raw", "one.raw"),
}
SINCE_256: Final[Made] = {
    "credentials": ("token.cred",),
    "sysext": ("one.raw",),
    "confext": ("etc.confext.raw",),
}


@pytest.mark.parametrize("version", range(OLDEST, LATEST + 1))
def test_beside_the_image(version: int) -> None:
    """Confexts are a kind of their own since 256; before, they were taken for sysexts."""
    assert chosen("own", OWN, version) == (SINCE_256 if version >= 256 else BEFORE_256)


@pytest.mark.parametrize("version", range(OLDEST, LATEST + 1))
def test_for_all_images(version: int) -> None:
    """Extensions for all images came with 258."""
    expected = {"global sysext": ("one.raw",), "global confext": ("etc.confext.raw",)}
    assert chosen("extensions", OWN, version) == (expected if version >= 258 else {})
    assert chosen("credentials", OWN, version) == {"global credentials": ("token.cred",)}


def test_what_each_kind_is() -> None:
    """src/boot/stub.c of systemd 261, run (generate_sidecar_initrds)."""
    secret, public = (0o500, 0o400), (0o555, 0o444)
    assert [
        (k.folder.path, (k.folder.mode, k.folder.file_mode), k.pcr, k.event) for k in KINDS
    ] == [
        (".extra/credentials", secret, 12, "Credentials initrd"),
        (".extra/global_credentials", secret, 12, "Global credentials initrd"),
        (".extra/sysext", public, 13, "System extension initrd"),
        (".extra/global_sysext", public, 13, "Global system extension initrd"),
        (".extra/confext", public, 12, "Configuration extension initrd"),
        (".extra/global_confext", public, 12, "Global configuration extension initrd"),
    ]


def test_nothing_for_nothing() -> None:
    assert choose("own", [], LATEST) == ()
    assert choose("own", [Entry("notes.txt"), Entry("debug.addon.efi")], LATEST) == ()


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("b.raw", "a.raw"), ("a.raw", "b.raw")),
        (("aaa.raw", "Bbb.raw", "AAA.raw"), ("AAA.raw", "Bbb.raw", "aaa.raw")),
        (("a.raw", "a-1.raw", "a+1.raw", "a_1.raw"), ("a+1.raw", "a-1.raw", "a.raw", "a_1.raw")),
        (("10.raw", "9.raw", "1.raw"), ("1.raw", "10.raw", "9.raw")),
        (("a~.raw", "az.raw", "a .raw"), ("a .raw", "az.raw", "a~.raw")),
    ],
)
def test_order_is_that_of_the_characters(names: tuple[str, ...], order: tuple[str, ...]) -> None:
    assert in_order(names) == order
    assert chosen("own", names, LATEST) == {"sysext": order}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("X.RAW", "sysext"),
        ("x.Raw", "sysext"),
        ("x.CONFEXT.Raw", "confext"),
        ("x.sysext.raw", "sysext"),
        ("x.cRED", "credentials"),
        ("confext.raw", "sysext"),
        ("a.confext.raw.raw", "sysext"),
        (" .raw", "sysext"),
        ("x" * (MAX_NAME - 4) + ".raw", "sysext"),
    ],
)
def test_suffixes(name: str, kind: str) -> None:
    assert chosen("own", (name,), LATEST) == {kind: (name,)}
    assert skipped("own", [Entry(name)], LATEST) == ()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (Entry(".raw"), "begins with a dot"),
        (Entry(".x.cred"), "begins with a dot"),
        (Entry("x.raw", is_folder=True), "is a folder"),
        (Entry("ü.raw"), "not ASCII"),
        (Entry("x\udcff.raw"), "not ASCII"),
        (Entry("x" * (MAX_NAME - 3) + ".raw"), "more than 255 characters"),
    ],
)
def test_what_is_passed_over(entry: Entry, reason: str) -> None:
    assert choose("own", [entry], LATEST) == ()
    (found,) = skipped("own", [entry], LATEST)
    assert (found.name, reason in found.reason) == (entry.name, True)
    assert problem(entry) == found.reason


@pytest.mark.parametrize("name", ["x.img", "raw", "xraw", "x.raw.bak", "x.cred ", "x.efi"])
def test_what_is_no_sidecar_is_not_worth_a_word(name: str) -> None:
    assert choose("own", [Entry(name)], LATEST) == ()
    assert skipped("own", [Entry(name)], LATEST) == ()


def test_what_this_release_does_not_look_for() -> None:
    entries = [Entry("b.raw"), Entry("a.confext.raw")]
    found = skipped("extensions", entries, 257)
    assert [each.name for each in found] == ["a.confext.raw", "b.raw"]
    assert all("systemd 257" in each.reason for each in found)
    assert skipped("extensions", entries, 258) == ()


def test_kinds_come_in_the_order_in_which_they_are_measured() -> None:
    found = choose("own", map(Entry, OWN), LATEST)
    places = [KINDS.index(each.kind) for each in found]
    assert all(first < second for first, second in pairwise(places))
