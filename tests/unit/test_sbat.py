"""SBAT metadata: which lines there are, and several in one."""

from __future__ import annotations

import pytest

from sysgraft.errors import FormatError
from sysgraft.formats import sbat

ONE = "sbat,1,SBAT Version,sbat,1,u\ngrub,4,FSF,grub,2.12,https://gnu.org\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (ONE, ["grub,4,FSF,grub,2.12,https://gnu.org"]),
        (ONE + "\0\0\0", ["grub,4,FSF,grub,2.12,https://gnu.org"]),
        (ONE.replace("\n", "\r\n"), ["grub,4,FSF,grub,2.12,https://gnu.org"]),
        ("sbat,1", []),
        ("sbat,1\n\n  \na,1\n\nb,2", ["a,1", "b,2"]),
        # To shim only a line feed ends a line.
        ("sbat,1\na,1,Ä\u0085B,x\x0bc\u2028d\n", ["a,1,Ä\u0085B,x\x0bc\u2028d"]),
    ],
)
def test_lines(text: str, lines: list[str]) -> None:
    assert sbat.parse(text) == tuple(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not SBAT metadata"),
        ("\0", "not SBAT metadata"),
        ("\nsbat,1\n", "not SBAT metadata"),
        ("SBAT,1\n", "not SBAT metadata"),
        ("sbat\n", "not SBAT metadata"),
        ("\ufeffsbat,1\n", "not SBAT metadata"),
        ("sbat,1\na,1\n\0b,1\n", "go on behind a NUL"),
    ],
)
def test_what_is_none(text: str, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        sbat.parse(text)
    with pytest.raises(FormatError, match=words):
        sbat.merge([sbat.UKI, text])


def test_all_lines_come_once_behind_one_header() -> None:
    two = "sbat,9,other\nlinux,1,x\ngrub,4,FSF,grub,2.12,https://gnu.org\n"
    assert sbat.merge([two, ONE, two]) == (
        f"{sbat.HEADER}\nlinux,1,x\ngrub,4,FSF,grub,2.12,https://gnu.org\n"
    )
    assert sbat.merge([]) == f"{sbat.HEADER}\n"
    for text in (sbat.UKI, sbat.ADDON):
        assert sbat.merge([text]) == text
        assert len(sbat.parse(text)) == 1
