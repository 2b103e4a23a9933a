"""Laying out executables: stubs as they are and as they were, and stubs that cannot be used."""

from __future__ import annotations

import struct
from typing import Final

import pytest

from executables import CHECKSUM, MAGIC, OPTIONAL, PE_OFFSET, TABLE, Piece, make_pe
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import pe, pe_image
from sysgraft.formats.pe_image import Layout, NewSection, plan

COFF: Final = PE_OFFSET + 4
SYMBOLS: Final = COFF + 8
CHARACTERISTICS: Final = COFF + 18
FIRST_ADDRESS: Final = 0x1000
DEBUG: Final = OPTIONAL + 112 + 8 * 6
SECURITY: Final = OPTIONAL + 112 + 8 * 4
INITIALIZED_DATA: Final = OPTIONAL + 8
DLL_CHARACTERISTICS: Final = OPTIONAL + 70
SBAT: Final = b"sbat,1\nstub,1\n"
PIECES: Final = [(".text", b"\xc3" * 700), (".sbat", SBAT), (".sdmagic", MAGIC)]
STUB: Final = make_pe(PIECES)


def lay_out(stub: bytes, *new: tuple[str, int], nx_compat: bool = True) -> Layout:
    sections = [NewSection(name, size) for name, size in new]
    return plan(BytesBlob(stub), pe.parse(BytesBlob(stub)), sections, nx_compat=nx_compat)


def read(layout: Layout) -> pe.Image:
    """The headers that were laid out."""
    return pe.parse(BytesBlob(layout.header.ljust(layout.size, b"\0")))


def patched(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    made = bytearray(data)
    for offset, new in changes:
        made[offset : offset + len(new)] = new
    return bytes(made)


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def places(image: pe.Image) -> list[tuple[str, int, int, int, int]]:
    return [
        (one.name, one.virtual_address, one.virtual_size, one.offset, one.raw_size)
        for one in image.sections
    ]


def test_new_sections_come_behind_those_of_the_stub() -> None:
    layout = lay_out(STUB, (".a", 1), (".b", 0), (".c", 5000))
    image = read(layout)
    assert places(image) == [
        (".text", 0x1000, 700, 0x400, 0x400),
        (".sbat", 0x2000, 14, 0x800, 0x200),
        (".sdmagic", 0x3000, len(MAGIC), 0xA00, 0x200),
        (".a", 0x4000, 1, 0xC00, 0x200),
        (".b", 0x5000, 0, 0xE00, 0),
        (".c", 0x5000, 5000, 0xE00, 0x1400),
    ]
    assert layout.size == 0x2200
    assert image.size_of_image == 0x7000
    assert image.size_of_headers == len(layout.header) == 0x400
    assert [one.number for one in layout.placed] == [None, None, None, 0, 1, 2]
    assert [one.characteristics for one in image.sections[3:]] == [0x4000_0040] * 3
    data = struct.unpack_from("<I", STUB, INITIALIZED_DATA)[0]
    assert struct.unpack_from("<I", layout.header, INITIALIZED_DATA)[0] == data + 5001


def test_without_new_sections_only_the_checksum_goes() -> None:
    with_sum = patched(STUB, (CHECKSUM, u32(99)))
    layout = lay_out(with_sum)
    assert layout.header == STUB[:0x200]
    assert (layout.checksum_offset, layout.security_offset) == (CHECKSUM, SECURITY)
    assert layout.size == len(STUB)


def test_new_sections_keep_their_order_whatever_their_names() -> None:
    layout = lay_out(STUB, (".b", 1), (".a", 2), (".b", 3), (".sbat", 4), (".a", 5))
    assert [one.number for one in layout.placed] == [None, 3, None, 0, 1, 2, 4]


def test_flags_are_kept() -> None:
    new = [NewSection(".linux", 5, pe.CODE | pe.READ)]
    layout = plan(BytesBlob(STUB), pe.parse(BytesBlob(STUB)), new)
    assert layout.placed[-1].section.characteristics == 0x4000_0020


def test_a_section_of_the_same_name_is_replaced_in_its_place() -> None:
    image = read(lay_out(STUB, (".sbat", 1000), (".a", 1)))
    assert places(image)[1:] == [
        (".sbat", 0x2000, 1000, 0x600, 0x400),
        (".sdmagic", 0x3000, len(MAGIC), 0xA00, 0x200),
        (".a", 0x4000, 1, 0xC00, 0x200),
    ]
    # Its room in the file stays where less is put in.
    assert places(read(lay_out(STUB, (".sbat", 0))))[1] == (".sbat", 0x2000, 0, 0x600, 0x200)


def test_only_the_first_of_several_replaces() -> None:
    layout = lay_out(STUB, (".x", 1), (".sbat", 20), (".sbat", 30))
    assert [(one.section.name, one.number) for one in layout.placed] == [
        (".text", None), (".sbat", 1), (".sdmagic", None), (".x", 0), (".sbat", 2),
    ]  # fmt: skip
    twice = make_pe([(".text", b"\xc3"), (".sbat", b"1"), (".sbat", b"2"), (".sdmagic", MAGIC)])
    layout = lay_out(twice, (".sbat", 20), (".sbat", 30))
    assert [one.number for one in layout.placed] == [None, 0, 1, None]


def test_sbat_that_does_not_fit_is_moved() -> None:
    layout = lay_out(STUB, (".a", 1), (".sbat", 0x1001))
    image = read(layout)
    assert places(image) == [
        (".text", 0x1000, 700, 0x200, 0x400),
        (".sdmagic", 0x3000, len(MAGIC), 0x600, 0x200),
        (".a", 0x4000, 1, 0x800, 0x200),
        (".sbat", 0x5000, 0x1001, 0xA00, 0x1200),
    ]
    assert [one.number for one in layout.placed] == [None, None, 0, 1]


def test_other_sections_that_do_not_fit_are_refused() -> None:
    with pytest.raises(FormatError, match=r"no room for 4097 bytes in its section \.text"):
        lay_out(STUB, (".text", 0x1001))


def test_a_last_section_may_grow() -> None:
    image = read(lay_out(STUB, (".sdmagic", 0x2001), (".a", 1)))
    assert places(image)[2:] == [
        (".sdmagic", 0x3000, 0x2001, 0x800, 0x2200),
        (".a", 0x6000, 1, 0x2A00, 0x200),
    ]


# --- Old stubs -----------------------------------------------------------------------------------
# Those of systemd 252 are made by GNU-EFI's linker script and objcopy: sections in memory are 512
# bytes apart, .sdmagic follows .sbat after 256, and a symbol table is at the end of the file.


def old_stub() -> bytes:
    symbols = b"symbols".ljust(54, b"\0")
    made = make_pe(PIECES, behind=symbols)
    end = len(made) - len(symbols)
    return patched(
        made,
        (SYMBOLS, u32(end, 3)),
        (OPTIONAL + 32, u32(512)),
        (TABLE + 2 * pe.SECTION.size + 12, u32(0x2100)),
        (OPTIONAL + 56, u32(0x2200)),
    )


def test_a_symbol_table_is_dropped() -> None:
    stub = old_stub()
    layout = lay_out(stub, (".a", 1))
    assert layout.size == len(STUB) + 0x200
    assert layout.header[SYMBOLS : SYMBOLS + 8] == bytes(8)
    flags = struct.unpack_from("<H", layout.header, CHARACTERISTICS)[0]
    assert flags == struct.unpack_from("<H", stub, CHARACTERISTICS)[0] | 8
    assert read(layout).sections[-1].offset == len(STUB)


def test_new_sections_begin_on_pages_whatever_the_stub_does() -> None:
    layout = lay_out(old_stub(), (".a", 1), (".b", 1))
    image = read(layout)
    assert [one.virtual_address for one in image.sections[2:]] == [0x2100, 0x3000, 0x4000]
    assert image.size_of_image == 0x5000


def test_sbat_of_an_old_stub_is_moved_where_the_next_section_is_close() -> None:
    assert read(lay_out(old_stub(), (".sbat", 256))).sections[1].name == ".sbat"
    image = read(lay_out(old_stub(), (".sbat", 257)))
    assert [one.name for one in image.sections] == [".text", ".sdmagic", ".sbat"]
    assert image.sections[2].virtual_address == 0x3000


def test_unaligned_data_are_aligned() -> None:
    # What strip leaves behind: data as long as the section, at any place.
    stub = make_pe([(".text", b"\xc3" * 700), (".sbat", SBAT), (".sdmagic", MAGIC)], alignment=4)
    stub = patched(stub, (OPTIONAL + 36, u32(512)))
    image = pe.parse(BytesBlob(stub))
    assert [one.offset % 512 for one in image.sections] == [448, 124, 140]
    layout = lay_out(stub, (".a", 1))
    assert [(one.section.offset, one.section.raw_size) for one in layout.placed] == [
        (0x200, 0x400), (0x600, 0x200), (0x800, 0x200), (0xA00, 0x200),
    ]  # fmt: skip
    assert [one.stub_section for one in layout.placed[:3]] == list(image.sections)


def test_data_in_another_order_than_the_table_keep_it() -> None:
    fields = [TABLE + pe.SECTION.size * number + 20 for number in range(3)]
    swapped = patched(STUB, *zip(fields, map(u32, (0x400, 0x800, 0x200)), strict=True))
    layout = lay_out(swapped, (".a", 1))
    assert [one.section.offset for one in layout.placed] == [0x400, 0x800, 0x200, 0xA00]


def test_sections_without_data_are_nowhere_in_the_file() -> None:
    stub = patched(STUB, (TABLE + 2 * pe.SECTION.size + 16, u32(0, 0x7777)))[:0x800]
    layout = lay_out(stub, (".a", 1))
    assert [(one.section.offset, one.section.raw_size) for one in layout.placed] == [
        (0x200, 0x400), (0x600, 0x200), (0, 0), (0x800, 0x200),
    ]  # fmt: skip
    assert layout.placed[2].section.virtual_size == len(MAGIC)


# --- Headers -------------------------------------------------------------------------------------


def test_headers_grow_as_far_as_the_first_section_allows() -> None:
    most = (FIRST_ADDRESS - TABLE) // pe.SECTION.size - len(PIECES)
    for count in (1, 3, 10, most):
        layout = lay_out(STUB, *[(".dtbauto", 1)] * count)
        image = read(layout)
        assert len(image.sections) == len(PIECES) + count
        assert TABLE + pe.SECTION.size * len(image.sections) <= image.size_of_headers
        assert image.size_of_headers % 512 == 0
        assert image.sections[0].offset == image.size_of_headers
    with pytest.raises(FormatError, match=f"no room for {most + 1 + len(PIECES)} sections"):
        lay_out(STUB, *[(".dtbauto", 1)] * (most + 1))


def far_stub() -> bytes:
    """A stub whose first section is far behind the headers in memory."""
    size = pe.SECTION.size
    table = [(TABLE + size * number + 12, u32(0x10_0000 + 0x1000 * number)) for number in range(3)]
    return patched(STUB, *table, (OPTIONAL + 56, u32(0x20_0000)))


def test_the_number_of_sections_is_limited_to_what_is_read() -> None:
    most = pe.MAX_SECTIONS - len(PIECES)
    assert len(read(lay_out(far_stub(), *[(".dtbauto", 1)] * most)).sections) == pe.MAX_SECTIONS
    with pytest.raises(LimitError, match="1025 sections, more than 1024"):
        lay_out(far_stub(), *[(".dtbauto", 1)] * (most + 1))


@pytest.mark.parametrize(("keep", "flag"), [(True, 0x100), (False, 0)])
def test_nx_compat_is_kept_or_dropped(*, keep: bool, flag: int) -> None:
    assert pe_image.nx_compatible(BytesBlob(STUB), pe.parse(BytesBlob(STUB)))
    layout = lay_out(STUB, (".a", 1), nx_compat=keep)
    assert struct.unpack_from("<H", layout.header, DLL_CHARACTERISTICS)[0] == flag
    without = patched(STUB, (DLL_CHARACTERISTICS, b"\x40\x80"))
    assert not pe_image.nx_compatible(BytesBlob(without), pe.parse(BytesBlob(without)))
    layout = lay_out(without, nx_compat=keep)
    assert layout.header[DLL_CHARACTERISTICS : DLL_CHARACTERISTICS + 2] == b"\x40\x80"


# --- Refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stub", "words"),
    [
        (patched(STUB, (SECURITY, u32(0x800, 8))), "the stub is signed"),
        (make_pe(directories=4), "no room for a signature"),
        (make_pe(PIECES, behind=b"more"), "4 bytes behind its last section"),
        (patched(STUB, (TABLE + 20, u32(0x600))), "overlaps"),
        (patched(STUB, (TABLE + 40, b"\x1b[1m\0\0\0\0")), r"no section can be called \\x1b\[1m"),
    ],
)
def test_stubs_that_cannot_be_added_to(stub: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        lay_out(stub, (".a", 1))


def test_a_debug_directory_holds_data_where_they_are() -> None:
    stub = patched(STUB, (DEBUG, u32(0x1000, 28)))
    assert len(lay_out(stub, (".a", 1)).placed) == 4
    for new in ([(".sbat", 513)], [(".dtbauto", 1)] * 10):
        with pytest.raises(FormatError, match="debug directory"):
            lay_out(stub, *new)
    gap = make_pe([(".text", b"\xc3"), Piece(".data", b"1", gap=512), (".sdmagic", MAGIC)])
    assert len(lay_out(gap, (".a", 1)).placed) == 4
    with pytest.raises(FormatError, match="debug directory"):
        lay_out(patched(gap, (DEBUG, u32(0x1000, 28))), (".a", 1))


@pytest.mark.parametrize("name", [".ninechar", "ä", "a\\b"])
def test_names_that_no_header_can_hold(name: str) -> None:
    with pytest.raises(FormatError, match="at most 8 ASCII characters"):
        lay_out(STUB, (name, 1))


@pytest.mark.parametrize(
    "sizes",
    [
        [1 << 32],
        [0xFFFF_FFFF],
        [0x7FFF_FFFF, 0x7FFF_FFFF, 0x1_0000],
        [0xFFFF_FFFF - 0x4000],  # fits but for its last page
        [1 << 70],
    ],
)
def test_four_gibibytes_are_the_limit(sizes: list[int]) -> None:
    with pytest.raises(LimitError, match="4 GiB"):
        lay_out(STUB, *[(".initrd", size) for size in sizes])


def test_just_below_four_gibibytes_is_fine() -> None:
    largest = (1 << 32) - 0x1000 - 0x4000
    layout = lay_out(STUB, (".initrd", largest))
    image_size = struct.unpack_from("<I", layout.header, OPTIONAL + 56)[0]
    assert image_size == (1 << 32) - 0x1000
    assert layout.size == 0xA00 + largest


def test_a_stub_without_sections_gets_them() -> None:
    layout = lay_out(make_pe([]), (".a", 1))
    assert places(read(layout)) == [(".a", 0x1000, 1, 0x200, 0x200)]
    assert read(lay_out(make_pe([]))).sections == ()
