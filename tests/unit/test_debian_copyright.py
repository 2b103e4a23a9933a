"""Excerpts of copyright files: what is about the files, word by word, or the whole file."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.formats.debian_copyright import MAX_PATTERNS, MAX_SIZE, excerpt

HEADER = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: linux-firmware
"""
EXCLUDED = """\
Files-Excluded:
# cannot be passed on
 keyspan/*
"""
CARD = "Files: e100/*\nCopyright: 1999, Card\nLicense: Card-3\n"
WIFI = """\
Files: wifi/*
 radio?.bin
Copyright: Wi
 Fi
License: Wifi or GPL-2 with linking exception
"""
SPECIAL = "Files: wifi/special.bin\nCopyright: S\nLicense: Special\n in place\n"
CARD_TEXT = "License: Card-3\n All rights.\n .\n  1. Redistribute.\nComment: See it.\n"
WIFI_TEXT = "License: Wifi\n Text of Wifi.\n"
GPL_TEXT = "License: GPL-2\n In /usr/share/common-licenses.\n"
PARTS = (CARD, WIFI, SPECIAL, CARD_TEXT, WIFI_TEXT, GPL_TEXT)
WHOLE = "\n".join((HEADER + EXCLUDED, *PARTS)).encode()


def expected(*parts: str, whole: bytes = WHOLE) -> bytes:
    header = f"{HEADER}X-Excerpt-Of: sha256:{hashlib.sha256(whole).hexdigest()}\n"
    return "\n".join((header, *parts)).encode()


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["e100/a.bin"], (CARD, CARD_TEXT)),
        (["e100/deep/er/a.bin", "e100/b"], (CARD, CARD_TEXT)),
        (["radio1.bin"], (WIFI, WIFI_TEXT, GPL_TEXT)),
        (["wifi/special.bin"], (SPECIAL,)),  # the last paragraph counts, its text is in it
        (["wifi/special.bin", "wifi/x"], (WIFI, SPECIAL, WIFI_TEXT, GPL_TEXT)),
        (["e100/a", "wifi/special.bin", "radio2.bin"], PARTS),
    ],
)
def test_what_is_about_some_files(names: list[str], parts: tuple[str, ...]) -> None:
    assert excerpt(WHOLE, names) == expected(*parts)


def test_an_excerpt_of_an_excerpt() -> None:
    once = excerpt(WHOLE, ["e100/a", "radio1.bin"])
    assert once is not None
    again = excerpt(once, ["e100/a"])
    assert again is not None
    assert again.endswith(f"{CARD}\n{CARD_TEXT}".encode())


@pytest.mark.parametrize(
    "name", ["other.bin", "radio12.bin", "radio.bin", "E100/a", "x/e100/a", ""]
)
def test_a_file_that_nothing_is_said_of(name: str) -> None:
    assert excerpt(WHOLE, ["e100/a.bin", name]) is None


@pytest.mark.parametrize(
    "whole",
    [
        "",
        "\n\n",
        "This package was debianized by hand.\n",
        f"{HEADER}\n{CARD}",  # no text of the licence
        f"{HEADER}\n{CARD}License: Card-3\n again\n",
        f"{HEADER}\nFiles: e100/*\nCopyright: x\n\n{CARD_TEXT}",
        f"{HEADER}\n{CARD}\n{CARD_TEXT}\nno field\n",
        f" goes on\n{HEADER}\n{CARD}\n{CARD_TEXT}",
        HEADER.replace("1.0", "2.0") + f"\n{CARD}\n{CARD_TEXT}",
        HEADER.replace("https", "file") + f"\n{CARD}\n{CARD_TEXT}",
        f"{HEADER}\n{CARD}\n{CARD_TEXT}\xff",
        f"{HEADER}\n{CARD}\nFiles: {'x ' * MAX_PATTERNS}\nLicense: x\n\n{CARD_TEXT}",
        f"{HEADER}\n{CARD}\nFiles: {'?' * 5000}\nLicense: x\n\n{CARD_TEXT}",
        f"{HEADER}\n{CARD}\n{CARD_TEXT}" + " x\n" * (MAX_SIZE // 3),
    ],
)  # fmt: skip
def test_only_the_whole_file_will_do(whole: str) -> None:
    assert excerpt(whole.encode("latin-1"), ["e100/a.bin"]) is None


def test_patterns_have_no_sets_and_may_have_backslashes() -> None:
    for pattern, name in (("e[1]00", "e[1]00"), (r"e\*", "e*"), (r"e\?x", "e?x")):
        whole = f"{HEADER}\n{CARD.replace('e100/*', pattern)}\n{CARD_TEXT}".encode()
        assert excerpt(whole, [name]) is not None, pattern
        assert excerpt(whole, ["e100"]) is None


@given(st.lists(st.sampled_from(PARTS), unique=True), st.sampled_from(["e100/a", "wifi/b", "z"]))
def test_every_paragraph_comes_as_it_was(parts: list[str], name: str) -> None:
    found = excerpt("\n".join((HEADER, *parts)).encode(), [name])
    if found is None:
        return
    kept = found.decode().split("\n\n")[1:]
    assert all(f"{each.rstrip()}\n" in parts for each in kept)


@given(st.text(alphabet="FormatFilesLicense:*?\\[]#. \t\n/-", max_size=300))
def test_any_text_is_taken_apart_or_not(text: str) -> None:
    excerpt(text.encode(), ["a"])
    excerpt(f"{HEADER}\n{text}".encode(), ["a", "i"])
