"""Reading executables: what the headers say, and every way in which they can be wrong."""

from __future__ import annotations

import struct
from typing import Final

import pytest

from executables import CHECKSUM, OPTIONAL, PE_OFFSET, SECURITY, TABLE, make_pe, uki_pieces
from sysgraft.base.blob import BytesBlob, PaddedBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import pe, uki
from sysgraft.formats.pe import Section, parse, section_blob

DATA: Final = make_pe([(".text", b"\xc3" * 700), (".osrel", b"ID=x\n")])
COFF: Final = PE_OFFSET + 4
COUNT: Final = OPTIONAL + 108
HUGE: Final = 0xFFFF_FFFF


def patched(*changes: tuple[int, bytes], data: bytes = DATA) -> BytesBlob:
    """An executable with other bytes in some places."""
    made = bytearray(data)
    for offset, new in changes:
        made[offset : offset + len(new)] = new
    return BytesBlob(bytes(made))


def u16(value: int) -> bytes:
    return struct.pack("<H", value)


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def entry(number: int, field: int) -> int:
    """Where a field of a section header is."""
    return TABLE + pe.SECTION.size * number + field


def test_headers_are_read() -> None:
    data = patched((COFF + 4, u32(1234)), (CHECKSUM, u32(77)), (SECURITY, u32(0x600, 8)))
    image = parse(data)
    assert image.architecture == "x86-64"
    assert (image.machine, image.timestamp, image.subsystem) == (0x8664, 1234, 10)
    assert (image.section_alignment, image.file_alignment) == (0x1000, 512)
    assert (image.size_of_image, image.size_of_headers) == (0x3000, 512)
    assert (image.checksum, image.checksum_offset) == (77, CHECKSUM)
    assert (image.optional_offset, image.table_offset) == (OPTIONAL, TABLE)
    assert (image.security_offset, image.security) == (SECURITY, (0x600, 8))
    assert image.size == len(DATA)
    text, osrel = image.sections
    assert text == Section(".text", 0x1000, 700, 512, 1024)
    assert osrel == Section(".osrel", 0x2000, 5, 1536, 512)
    assert (text.end, text.memory_end, osrel.memory_end) == (1536, 0x1000 + 700, 0x2005)
    assert image.find(".osrel") is osrel
    assert image.find(".linux") is None


@pytest.mark.parametrize(
    ("machine", "name"),
    [(0x8664, "x86-64"), (0xAA64, "arm64"), (0x5064, "riscv64"), (0x6264, "loongarch64"),
     (0x01C2, "arm"), (0x0200, None)],
)  # fmt: skip
def test_machines_have_systemds_names(machine: int, name: str | None) -> None:
    assert parse(BytesBlob(make_pe(machine=machine))).architecture == name


@pytest.mark.parametrize("alignment", [1, 2, 0x10000, 64 << 20])
def test_alignments_are_powers_of_two(alignment: int) -> None:
    image = parse(patched((OPTIONAL + 32, u32(alignment, 1))))
    assert (image.section_alignment, image.file_alignment) == (alignment, 1)


@pytest.mark.parametrize("directories", [0, 4])
def test_headers_without_room_for_a_signature_are_read(directories: int) -> None:
    image = parse(BytesBlob(make_pe(directories=directories)))
    assert (image.security_offset, image.security) == (0, (0, 0))


def test_a_certificate_table_of_no_size_is_none() -> None:
    assert parse(patched((SECURITY, u32(HUGE, 0)))).security == (0, 0)


def test_a_certificate_table_may_reach_to_the_end() -> None:
    assert parse(patched((SECURITY, u32(len(DATA) - 8, 8)))).security == (len(DATA) - 8, 8)


def test_sections_without_data_may_point_anywhere() -> None:
    image = parse(patched((entry(1, 16), u32(0, HUGE))))
    assert image.sections[1].raw_size == 0
    assert section_blob(BytesBlob(DATA), image.sections[1]).read_at(0, 5) == bytes(5)


def test_an_image_needs_no_sections() -> None:
    assert parse(BytesBlob(make_pe([]))).sections == ()


WRONG: Final = {
    "empty": (BytesBlob(b""), FormatError, "MS-DOS header"),
    "not MZ": (patched((0, b"ZM")), FormatError, "MS-DOS header"),
    "short": (BytesBlob(DATA[:0x3F]), FormatError, "MS-DOS header"),
    "an ELF file": (BytesBlob(b"\x7fELF" + bytes(500)), FormatError, "MS-DOS header"),
    "header inside the first": (patched((0x3C, u32(0x3C))), FormatError, "would be at byte 60"),
    "header behind the end": (patched((0x3C, u32(HUGE))), FormatError, "would be at byte"),
    "header at the very end": (patched((0x3C, u32(len(DATA) - 3))), FormatError, "would be at"),
    "header far away": (
        BytesBlob(b"MZ".ljust(0x3C, b"\0") + u32(1 << 20) + bytes(2 << 20)),
        FormatError,
        "would be at byte 1048576",
    ),
    "header with nothing behind": (
        patched((0x3C, u32(len(DATA) - 4)), (len(DATA) - 4, b"PE\0\0")),
        TruncatedError,
        "needed",
    ),
    "no PE": (patched((PE_OFFSET, b"PE\0\1")), FormatError, "no PE signature"),
    "NE": (patched((PE_OFFSET, b"NE\0\0")), FormatError, "no PE signature"),
    "PE32": (patched((OPTIONAL, u16(0x10B))), UnsupportedError, "32-bit"),
    "a ROM image": (patched((OPTIONAL, u16(0x107))), FormatError, "magic 0x107"),
    "no optional header": (patched((COFF + 16, u16(0))), TruncatedError, "has 0 bytes"),
    "one byte of it": (patched((COFF + 16, u16(1))), TruncatedError, "has 1 bytes"),
    "a short one": (patched((COFF + 16, u16(111))), TruncatedError, "has 111 bytes"),
    "one longer than the file": (patched((COFF + 16, u16(0xFFFF))), TruncatedError, "needed"),
    "more directories than room": (patched((COUNT, u32(17))), FormatError, "17 directories"),
    "fewer directories than room": (patched((COUNT, u32(15))), FormatError, "15 directories"),
    "directories beyond counting": (patched((COUNT, u32(0x2000_0010))), FormatError, "directories"),
    "sections beyond the limit": (patched((COFF + 2, u16(1025))), LimitError, "1025 sections"),
    "sections beyond counting": (patched((COFF + 2, u16(0xFFFF))), LimitError, "65535 sections"),
    "table beyond the file": (patched((COFF + 2, u16(1024))), TruncatedError, "needed"),
    "table beyond the headers": (patched((OPTIONAL + 60, u32(407))), FormatError, "ends at 408"),
    "no headers": (patched((OPTIONAL + 60, u32(0))), FormatError, "headers have 0 bytes"),
    "headers beyond the file": (
        patched((OPTIONAL + 60, u32(len(DATA) + 1))),
        FormatError,
        "headers have 2049 bytes",
    ),
    "headers beyond reason": (
        patched((OPTIONAL + 60, u32((1 << 20) + 1)), data=DATA.ljust(2 << 20, b"\0")),
        FormatError,
        "headers have 1048577 bytes",
    ),
    "no section alignment": (patched((OPTIONAL + 32, u32(0))), FormatError, "section alignment"),
    "an odd one": (patched((OPTIONAL + 32, u32(4095))), FormatError, "section alignment is 4095"),
    "one of two bits": (patched((OPTIONAL + 32, u32(6))), FormatError, "section alignment is 6"),
    "a huge one": (patched((OPTIONAL + 32, u32(1 << 27))), FormatError, "section alignment"),
    "no file alignment": (patched((OPTIONAL + 36, u32(0))), FormatError, "file alignment is 0"),
    "an odd file alignment": (patched((OPTIONAL + 36, u32(513))), FormatError, "file alignment"),
    "certificates beyond the file": (
        patched((SECURITY, u32(len(DATA) - 8, 9))),
        TruncatedError,
        "certificate table would end at byte 2049",
    ),
    "certificates that wrap round": (
        patched((SECURITY, u32(0x8000_0000, 0x8000_0000))),
        TruncatedError,
        "certificate table",
    ),
    "section beyond the file by one": (
        patched((entry(1, 16), u32(513))),
        TruncatedError,
        r"section \.osrel would end at byte 2049, there are 2048",
    ),
    "section far beyond the file": (
        patched((entry(0, 20), u32(0x1000_0000))),
        TruncatedError,
        r"section \.text would end",
    ),
    "section data that wrap round": (
        patched((entry(0, 16), u32(0x8000_0000, 0x8000_0000))),
        TruncatedError,
        r"section \.text would end",
    ),
    "section memory that wraps round": (
        patched((entry(0, 8), u32(0x8000_0000, 0x8000_0000))),
        FormatError,
        r"\.text is loaded beyond 4 GiB",
    ),
    "a name with a tail": (
        patched((entry(1, 0), b".osrel\0x")),
        FormatError,
        r"\.osrel has a name that goes on behind a NUL",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(name: str) -> None:
    data, kind, words = WRONG[name]
    with pytest.raises(FormatError, match=words) as caught:
        parse(data)
    assert caught.type is kind


def test_files_are_limited_to_what_the_headers_can_express() -> None:
    assert parse(PaddedBlob(BytesBlob(DATA), pe.MAX_SIZE)).size == pe.MAX_SIZE
    with pytest.raises(LimitError, match="the limit is 4294967295"):
        parse(PaddedBlob(BytesBlob(DATA), pe.MAX_SIZE + 1))


def test_every_truncation_is_refused_or_drops_unused_bytes() -> None:
    data = make_pe(uki_pieces(), behind=b"overlay")
    needed = max(section.end for section in parse(BytesBlob(data)).sections)
    for length in range(len(data)):
        if length < needed:
            with pytest.raises(FormatError):
                parse(BytesBlob(data[:length]))
        else:
            assert parse(BytesBlob(data[:length])).size == length


# --- Sections ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b".eightch", ".eightch"),
        (b"\0" * 8, ""),
        (b"/4\0\0\0\0\0\0", "/4"),
        (b"\x1b[31m\0\0\0", "\\x1b[31m"),
        ("ä€".encode().ljust(8, b"\0"), "ä€"),
        (b"\xff\xfe\0\0\0\0\0\0", "\\xff\\xfe"),
    ],
)
def test_names_are_fit_to_be_shown(name: bytes, shown: str) -> None:
    assert parse(patched((entry(1, 0), name))).sections[1].name == shown


def test_section_headers_have_the_bytes_of_the_specification() -> None:
    section = Section(".x", 0x1000, 5, 0x200, 0x400, 0x6000_0020)
    assert bytes(section) == bytes.fromhex(
        "2e 78 00 00 00 00 00 00  05 00 00 00  00 10 00 00  00 04 00 00  00 02 00 00"
        "00 00 00 00  00 00 00 00  00 00 00 00  20 00 00 60"
    )
    assert b"".join(map(bytes, parse(BytesBlob(DATA)).sections)) == DATA[TABLE : TABLE + 80]


@pytest.mark.parametrize("name", [".ninechar", "ä", "\\x1b[31m"])
def test_names_that_no_header_can_hold_are_not_written(name: str) -> None:
    with pytest.raises(FormatError, match="at most 8 ASCII characters"):
        bytes(Section(name, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("virtual_size", "raw_size", "content"),
    [
        (5, 8, b"01234"),
        (8, 8, b"01234567"),
        (11, 8, b"01234567\0\0\0"),
        (4, 0, b"\0\0\0\0"),
        (0, 8, b""),
        (0, 0, b""),
    ],
)
def test_a_section_is_what_is_in_memory(virtual_size: int, raw_size: int, content: bytes) -> None:
    section = Section(".x", 0, virtual_size, 2, raw_size)
    found = section_blob(BytesBlob(b"__01234567__"), section)
    assert found.size == virtual_size
    assert found.read_at(0, virtual_size) == content


# --- What systemd's own tests hold against its reader (src/test/test-pe-binary.c) -----------------
# Sizes and places are theirs; they are put into headers that firmware would take as well.

AT: Final = 0x400


def one_section(size: int, raw_size: int, offset: int, *, total: int) -> BytesBlob:
    """An executable with one section .initrd and this many bytes."""
    data = make_pe([(".initrd", b"x")], alignment=AT)[:total].ljust(total, b"\0")
    return patched((entry(0, 8), u32(size, 0x1000, raw_size, offset)), data=data)


@pytest.mark.parametrize(
    ("size", "raw_size", "offset", "total", "valid"),
    [
        (16, 16, AT, 4096, True),  # well inside
        (16, 16, AT, AT + 16, True),  # fills the file
        (16, 16, AT, AT + 15, False),  # ends behind it, by one byte
        (16, 16, 0x1000_0000, 4096, False),  # begins far behind it
        (0x100, 0, HUGE, AT, True),  # no data, so it does not matter where
        (0x40, 0, 0, AT, True),
        (HUGE, 0x8000_0000, 0x8000_0000, 4096, False),  # 32 bits are not enough for its end
    ],
)
def test_bounds_of_sections(
    *, size: int, raw_size: int, offset: int, total: int, valid: bool
) -> None:
    data = one_section(size, raw_size, offset, total=total)
    if valid:
        assert parse(data).sections == (Section(".initrd", 0x1000, size, offset, raw_size),)
    else:
        with pytest.raises(FormatError):
            parse(data)


MIB: Final = 1 << 20


@pytest.mark.parametrize(
    ("size", "raw_size", "valid"),
    [
        (16, 16, True),
        (17, 16, True),
        (64 * MIB, 0, True),
        (64 * MIB + 16, 16, True),
        (64 * MIB + 1, 0, False),
        (64 * MIB + 17, 16, False),
        (0xFF00_0000, 0, False),  # systemd#42344: eight seconds of hashing zeros
        (HUGE - 0x1000, 0, False),
    ],
)
def test_padding_in_memory_is_limited(*, size: int, raw_size: int, valid: bool) -> None:
    data = one_section(size, raw_size, AT, total=4096)
    (section,) = parse(data).sections
    if valid:
        assert uki.checked_content(data, section).size == size
    else:
        with pytest.raises(LimitError, match=r"\.initrd is said to have"):
            uki.checked_content(data, section)
        with pytest.raises(LimitError):
            uki.read_text(data, section)
