"""Sections that lie over each other, over the headers or outside the image."""

from __future__ import annotations

from dataclasses import replace

import pytest

from executables import Piece, make_pe
from sysgraft.base.blob import BytesBlob
from sysgraft.formats.pe import Image, Section, parse
from sysgraft.formats.pe_layout import layout_problem

IMAGE = parse(BytesBlob(make_pe([(".a", b"a" * 600), (".b", b"b"), (".c", b"c")])))
A, B, C = IMAGE.sections


def with_sections(*sections: Section) -> Image:
    return replace(IMAGE, sections=sections)


def test_side_by_side_is_fine() -> None:
    assert layout_problem(IMAGE) == ""
    assert layout_problem(with_sections(C, A, B)) == ""
    assert layout_problem(with_sections()) == ""
    assert layout_problem(parse(BytesBlob(make_pe([Piece(".a", b"a", gap=64)])))) == ""


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        (
            (A, replace(B, offset=A.end - 1), C),
            "the section .b overlaps the section .a in the file",
        ),
        ((A, replace(B, offset=A.offset), C), "in the file"),
        ((replace(A, offset=0), B), "the section .a overlaps the headers in the file"),
        ((replace(A, offset=511), B), "the section .a overlaps the headers in the file"),
        (
            (A, replace(B, virtual_address=A.virtual_address + 599)),
            "the section .b overlaps the section .a in memory",
        ),
        ((replace(A, virtual_address=0), B), "the section .a overlaps the headers in memory"),
        ((replace(A, virtual_address=511), B), "the section .a overlaps the headers in memory"),
        ((replace(A, virtual_size=0x1001), B), "the section .b overlaps the section .a in memory"),
        # Without a VirtualSize firmware loads all raw data.
        (
            (replace(A, virtual_size=0), replace(B, virtual_address=A.virtual_address + 1023)),
            "the section .b overlaps the section .a in memory",
        ),
        (
            (A, B, replace(C, virtual_size=0x1001)),
            "the section .c ends at 0x4001 in memory, the image at 0x4000",
        ),
    ],
)
def test_problems_are_told(sections: tuple[Section, ...], problem: str) -> None:
    assert problem in layout_problem(with_sections(*sections))


def test_what_touches_does_not_overlap() -> None:
    empty = replace(B, virtual_size=0, raw_size=0)
    close = replace(B, virtual_address=A.memory_end, offset=A.end)
    assert layout_problem(with_sections(A, close)) == ""
    assert layout_problem(with_sections(A, replace(empty, virtual_address=A.memory_end))) == ""
    # No data: where they would be in the file does not matter.
    assert layout_problem(with_sections(A, replace(B, raw_size=0, offset=0))) == ""
    assert layout_problem(with_sections(A, B, replace(C, virtual_size=0x1000))) == ""
    first = replace(A, virtual_address=512)
    assert layout_problem(with_sections(first)) == ""
