"""Command lines as each release of the stub takes, changes and measures them."""

from __future__ import annotations

import pytest

from sysgraft.base.systemd import LATEST, OLDEST
from sysgraft.measure import cmdline

ALL = range(OLDEST, LATEST + 1)


# --- Mangling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "v252", "v253", "later"),
    [
        ("a b", "a b", "a b", "a b"),
        ("  a  b  ", "  a  b  ", "  a  b", "a  b"),
        ("a\tb\n", "a\tb\n", "a b", "a b"),
        ("\n a\x7fb\x7f", "\n a\x7fb\x7f", "  a\x7fb\x7f", "a b"),
        ("a\xa0\xe9\u20ac", "a\xa0\xe9\u20ac", "a\xa0\xe9\u20ac", "a\xa0\xe9\u20ac"),
        ("", "", "", ""),
        (" \t ", " \t ", "", ""),
    ],
)
def test_mangling(text: str, v252: str, v253: str, later: str) -> None:
    """src/boot/util.c: there is none in 252, and 255 began to cut on both sides."""
    expected = {252: v252, 253: v253, 254: v253}
    for version in ALL:
        assert cmdline.mangle(text, version) == expected.get(version, later), version


def test_mangling_twice_changes_nothing_more() -> None:
    for version in ALL:
        once = cmdline.mangle("\t a \x01b\n\n", version)
        assert cmdline.mangle(once, version) == once


# --- The profile in front ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number", "rest"),
    [
        ("@1 quiet", 1, "quiet"),
        ("@0", 0, ""),
        ("@12  quiet", 12, " quiet"),
        ("@1 a\nb", 1, "a\nb"),
        ("@1quiet", None, "@1quiet"),
        ("@1\tquiet", None, "@1\tquiet"),
        (" @1", None, " @1"),
        ("@", None, "@"),
        ("@-1 a", None, "@-1 a"),
        ("@\u0661 a", None, "@\u0661 a"),
        ("quiet @1", None, "quiet @1"),
    ],
)
def test_profiles(text: str, number: int | None, rest: str) -> None:
    for version in ALL:
        expected = (number, rest) if version >= 257 else (None, text)
        assert cmdline.split_profile(text, version) == expected, version


# --- Given by whoever starts the image -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "before_259", "since"),
    [
        ("quiet", True, True),
        ("", False, False),
        ("\x01quiet", False, False),
        ("a\tb", True, False),
        ("a\n", True, False),
        (" a\x7f", True, True),
    ],
)
def test_what_is_binary_to_it(text: str, before_259: bool, since: bool) -> None:
    for version in ALL:
        assert cmdline.is_text(text, version) is (since if version >= 259 else before_259), version


def custom(
    text: str | None, version: int, *, secure_boot: bool = False, embedded: bool = True
) -> str | None:
    return cmdline.custom(text, version, secure_boot=secure_boot, embedded=embedded)


@pytest.mark.parametrize("version", ALL)
def test_secure_boot_keeps_the_images_own(version: int) -> None:
    assert custom("quiet", version) == "quiet"
    assert custom("quiet", version, secure_boot=True) is None
    assert custom("quiet", version, secure_boot=True, embedded=False) == "quiet"
    assert custom(None, version) is None


@pytest.mark.parametrize("version", ALL)
def test_nothing_but_blanks(version: int) -> None:
    """Before 257 that was a command line too, and an empty one was measured."""
    expected = {252: "  ", 253: "", 254: "", 255: "", 256: ""}
    assert custom("  ", version) == expected.get(version)


# --- Of addons -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_all", "own", "v254", "v255", "later"),
    [
        (["g"], ["a", "b"], ("g", "a b"), ("g a b",), ("g a b",)),
        ([], ["a"], ("a",), ("a",), ("a",)),
        (["g"], [], ("g",), ("g",), ("g",)),
        ([], [], (), (), ()),
        (["a\n"], ["b\n"], ("a", "b"), ("a  b",), ("a b",)),
        (["a\n", "b"], [], ("a  b",), ("a  b",), ("a b",)),
        (["a", "", "b"], [], ("a  b",), ("a  b",), ("a  b",)),
        ([" a"], [" b "], (" a", " b"), ("a  b",), ("a b",)),
    ],
)
def test_addons(
    of_all: list[str],
    own: list[str],
    v254: tuple[str, ...],
    v255: tuple[str, ...],
    later: tuple[str, ...],
) -> None:
    """254 measures each folder, 255 all together, 257 mangles each one first."""
    expected = {254: v254, 255: v255, 256: v255}
    for version in range(254, LATEST + 1):
        found = cmdline.of_addons(of_all, own, version)
        assert found == expected.get(version, later), version


@pytest.mark.parametrize("texts", [[""], ["", " "], ["\t\n"]])
def test_addons_that_say_nothing(texts: list[str]) -> None:
    for version in range(257, LATEST + 1):
        assert cmdline.of_addons(texts, [], version) == ()


# --- Of the firmware -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", ALL)
def test_smbios(version: int) -> None:
    """Taken since 254, mangled since 257."""
    assert cmdline.from_smbios(None, version) is None
    found = cmdline.from_smbios(" a\tb ", version)
    assert found == (None if version < 254 else " a\tb " if version < 257 else "a b")
    assert cmdline.from_smbios("", version) == ("" if 254 <= version < 257 else None)
