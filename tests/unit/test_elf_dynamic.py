"""ELF programs: the loader and the libraries they ask for, from files of every kind."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elf_kit import program
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats.elf_dynamic import MAX_STRING, Dynamic, read_dynamic
from sysgraft.host.files import OpenFile

LOADER: Final = "/lib64/ld-linux-x86-64.so.2"
WHOLE: Final = Dynamic(
    interpreter=LOADER,
    name="libdemo.so.1",
    needed=("libc.so.6", "libz.so.1"),
    rpath=("/old",),
    runpath=("$ORIGIN/../lib", "/opt/lib"),
)
GOOD: Final = program(
    interpreter=LOADER,
    name="libdemo.so.1",
    needed=("libc.so.6", "libz.so.1"),
    rpath="/old",
    runpath="$ORIGIN/../lib::/opt/lib",
)
# Where the three program headers of `GOOD` are, and what is in them.
LOAD, DYNAMIC, INTERP = 64, 64 + 56, 64 + 2 * 56
OFFSET, ADDRESS, SIZE = 8, 16, 32


def read(data: bytes) -> Dynamic:
    return read_dynamic(BytesBlob(data))


def changed(at: int, layout: str, value: int) -> bytes:
    data = bytearray(GOOD)
    struct.pack_into("<" + layout, data, at, value)
    return bytes(data)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_classes_and_byte_orders(bits: int, order: str) -> None:
    data = program(
        interpreter=LOADER,
        name="libdemo.so.1",
        needed=("libc.so.6", "libz.so.1"),
        rpath="/old",
        runpath="$ORIGIN/../lib::/opt/lib",
        bits=bits,
        order=order,
    )
    assert read(data) == WHOLE


def test_a_library_and_what_says_nothing() -> None:
    assert read(program(needed=("libc.so.6",))) == Dynamic(needed=("libc.so.6",))
    without = bytearray(program())
    struct.pack_into("<H", without, 56, 0)  # e_phnum: an object file
    assert read(bytes(without)) == Dynamic()
    assert read(changed(DYNAMIC, "I", 4)) == Dynamic(interpreter=LOADER)  # a static program


def test_this_interpreter() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("its programs are no ELF files")
    found = read_dynamic(OpenFile(Path(sys.executable).resolve()))
    assert "ld" in found.interpreter
    assert any(name.startswith("libc.") for name in found.needed)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (GOOD[:30], TruncatedError),
        (GOOD[:100], TruncatedError),
        (GOOD[:-1], TruncatedError),
        (b"no ELF file at all ".ljust(64), FormatError),
        (b"\x7fELF\x03\x01".ljust(64, b"\0"), UnsupportedError),
        (changed(56, "H", 0xFFFF), UnsupportedError),
        (changed(56, "H", 0xFFFE), LimitError),
        (changed(54, "H", 57), FormatError),
        (changed(32, "Q", 1 << 63), TruncatedError),
        (changed(INTERP + SIZE, "Q", MAX_STRING + 1), LimitError),
        (changed(INTERP + OFFSET, "Q", 1 << 40), TruncatedError),
        (changed(DYNAMIC + SIZE, "Q", 1 << 62), LimitError),
        (changed(DYNAMIC + OFFSET, "Q", 1 << 62), TruncatedError),
        (changed(LOAD + ADDRESS, "Q", 1 << 62), FormatError),
        (changed(LOAD + SIZE, "Q", 10), FormatError),
        (changed(LOAD, "I", 0), FormatError),
        (program(name="x" * (MAX_STRING + 1)), LimitError),
    ],
)
def test_what_is_damaged(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(data)


@pytest.mark.parametrize("tag", [1, 14, 29])
def test_a_name_outside_of_the_strings(tag: int) -> None:
    at = GOOD.index(struct.pack("<q", tag), DYNAMIC + 112) + 8
    with pytest.raises(FormatError, match="outside"):
        read(changed(at, "Q", 1 << 40))


def test_names_that_are_no_text() -> None:
    assert read(GOOD.replace(b"libz", b"\xff\n\x1bz")).needed[1] == "\udcff\n\x1bz.so.1"


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for head in (b"", b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x02\x01"):
        try:
            read(head + data)
        except FormatError:
            continue


@given(st.data())
def test_a_changed_program(data: st.DataObject) -> None:
    """One run of bytes overwritten anywhere, headers above all."""
    bytes_of = bytearray(GOOD)
    at = data.draw(st.integers(0, len(bytes_of) - 1))
    part = data.draw(st.binary(min_size=1, max_size=8))
    bytes_of[at : at + len(part)] = part
    try:
        found = read(bytes(bytes_of))
    except FormatError:
        return
    assert len(found.needed) < len(bytes_of)


@given(st.integers(0, len(GOOD) - 1))
def test_a_program_that_was_cut(end: int) -> None:
    with pytest.raises(FormatError):
        read(GOOD[:end])
