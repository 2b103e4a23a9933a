"""Executables: any damage is told in our words, what is laid out is read back, sums add up."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pefile  # type: ignore[import-untyped]  # has no stubs
from hypothesis import given, settings
from hypothesis import strategies as st

from executables import MAGIC, make_pe, uki_pieces
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import pe, uki
from sysgraft.formats.pe_checksum import Checksum
from sysgraft.formats.pe_image import NewSection, plan
from sysgraft.formats.pe_layout import layout_problem

if TYPE_CHECKING:
    from sysgraft.formats.pe import Image

UKI: Final = make_pe(uki_pieces((".sbat", b"sbat,1\n"), (".dtb", b""), (".pcrsig", b"{}")))
HEADERS: Final = pe.parse(BytesBlob(UKI)).size_of_headers
NUMBERS: Final = st.sampled_from(
    [0, 1, 2, 7, 0x40, 0xFF, 511, 512, 0x1000, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000,
     0xFFFF_FE00, 0xFFFF_F000, 0xFFFF_FFFF]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An executable with other numbers in some fields of its headers, perhaps cut off."""
    made = bytearray(UKI)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, HEADERS - 4))
        width = draw(st.sampled_from([1, 2, 4]))
        value = draw(NUMBERS) & ((1 << 8 * width) - 1)
        made[at : at + width] = value.to_bytes(width, "little")
    return bytes(made[: draw(st.sampled_from([len(made)] * 5 + list(range(0, len(made), 97))))])


def touch_everything(data: bytes) -> Image | None:
    """Use all readers on an executable; only our errors may come out."""
    blob = BytesBlob(data)
    with suppress(FormatError):
        image = pe.parse(blob)
        uki.kind_of(image)
        uki.stub_of(blob, image)
        layout_problem(image)
        with suppress(FormatError):
            uki.profiles(image.sections)
        for section in image.sections:
            with suppress(FormatError):
                content = uki.checked_content(blob, section)
                content.read_at(0, min(content.size, 1 << 16))
                content.read_at(content.size, 0)
            with suppress(FormatError):
                uki.read_text(blob, section)
        return image
    return None


@given(damaged())
@settings(max_examples=500)
def test_damaged_headers_raise_only_our_errors(data: bytes) -> None:
    image = touch_everything(data)
    if image is None:
        return
    for section in image.sections:
        assert not section.raw_size or section.end <= image.size
        assert section.memory_end <= pe.MAX_SIZE
    assert sum(image.security) <= image.size
    assert image.table_offset + 40 * len(image.sections) <= image.size_of_headers <= image.size


@given(st.binary(max_size=600))
def test_any_bytes_raise_only_our_errors(data: bytes) -> None:
    touch_everything(data)
    touch_everything(b"MZ".ljust(0x3C, b"\0") + (0x40).to_bytes(4, "little") + b"PE\0\0" + data)


def test_every_flipped_bit_of_the_headers_raises_only_our_errors() -> None:
    for at in range(HEADERS):
        for bit in range(8):
            made = bytearray(UKI)
            made[at] ^= 1 << bit
            touch_everything(bytes(made))


# --- Laying out ----------------------------------------------------------------------------------

names = st.sampled_from([".sbat", ".sdmagic", ".linux", ".dtbauto", ".x", "y", ".profile"])
new_parts = st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=12)
stub_parts = st.lists(
    st.tuples(st.sampled_from([".text", ".data", ".sbat"]), st.binary(min_size=1, max_size=1500)),
    min_size=1,
    max_size=5,
    unique_by=lambda each: each[0],
)


@given(stub_parts, new_parts, st.sampled_from([16, 512, 4096]))
@settings(max_examples=300)
def test_what_is_laid_out_is_read_back(
    own: list[tuple[str, bytes]], new: list[tuple[str, bytes]], alignment: int
) -> None:
    stub = make_pe([*own, (".sdmagic", MAGIC)], alignment=alignment)
    image = pe.parse(BytesBlob(stub))
    layout = plan(BytesBlob(stub), image, [NewSection(name, len(data)) for name, data in new])
    made = bytearray(layout.header.ljust(layout.size, b"\xee"))
    filled = len(layout.header)
    for one in sorted(layout.placed, key=lambda each: each.section.offset):
        old = one.stub_section
        data = stub[old.offset : old.end] if old else new[one.number or 0][1]
        if one.section.raw_size:
            assert one.section.offset == filled
            made[filled : filled + one.section.raw_size] = data.ljust(one.section.raw_size, b"\0")
            filled += one.section.raw_size
    assert filled == layout.size == len(made)
    blob = BytesBlob(bytes(made))
    found = pe.parse(blob)
    assert layout_problem(found) == ""
    assert found.sections == tuple(one.section for one in layout.placed)
    assert (found.checksum, found.machine, found.subsystem) == (0, image.machine, image.subsystem)
    for one in layout.placed:
        content = pe.section_blob(blob, one.section)
        old = one.stub_section
        expected = stub[old.offset :][: old.virtual_size] if old else new[one.number or 0][1]
        assert content.read_at(0, content.size) == expected
    replaced = {one.number for one in layout.placed if one.number is not None}
    assert replaced == set(range(len(new)))


@given(damaged(), new_parts)
@settings(max_examples=300)
def test_damaged_stubs_are_refused_or_make_sound_images(
    data: bytes, new: list[tuple[str, bytes]]
) -> None:
    blob = BytesBlob(data)
    with suppress(FormatError):
        stub = pe.parse(blob)
        layout = plan(blob, stub, [NewSection(name, len(part)) for name, part in new])
        found = pe.parse(BytesBlob(layout.header.ljust(layout.size, b"\0")))
        assert layout_problem(found) == ""
        assert found.sections == tuple(one.section for one in layout.placed)


# --- The checksum --------------------------------------------------------------------------------


def plain_checksum(data: bytes) -> int:
    """Word by word, carries added back at once."""
    total = 0
    for at in range(0, len(data), 2):
        total += int.from_bytes(data[at : at + 2], "little")
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(data)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(bytes.__mul__, st.sampled_from([b"\0", b"\xff", b"\xff\0"]),
                      st.sampled_from([1, 2, 8191, 8192, 8193, 20000])),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_the_checksum_is_the_plain_definition(pieces: list[bytes]) -> None:
    checksum = Checksum()
    for number, piece in enumerate(pieces):
        checksum.update(memoryview(piece) if number % 2 else piece)
        so_far = b"".join(pieces[: number + 1])
        assert checksum.value(len(so_far)) == plain_checksum(so_far)
    assert checksum.value(0) == plain_checksum(b"".join(pieces)) - sum(map(len, pieces))


def test_the_checksum_has_32_bits() -> None:
    checksum = Checksum()
    checksum.update(b"\1\0")
    assert checksum.value((1 << 32) - 1) == 0
    assert checksum.value(1 << 32) == 1


@settings(max_examples=20)  # pefile takes its time
@given(st.lists(st.tuples(names, st.binary(max_size=3000)), max_size=5))
def test_the_checksum_is_pefiles(parts: list[tuple[str, bytes]]) -> None:
    data = make_pe([(".text", b"\xc3"), *parts], behind=b"odd")
    checksum = Checksum()
    checksum.update(data)
    assert checksum.value(len(data)) == pefile.PE(data=data, fast_load=True).generate_checksum()
