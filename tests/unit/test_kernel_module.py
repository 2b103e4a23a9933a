"""Kernel modules: ELF sections, what a module says of itself, and who signed it."""

from __future__ import annotations

import struct

import pytest

from lint_kit import MAGIC, elf, module
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import elf as elf_reader
from sysgraft.formats import modinfo, module_signature
from sysgraft.testing.certificates import make_identity


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_classes_and_byte_orders(bits: int, order: str) -> None:
    data = module("demo", depends=("one", "two"), bits=bits, order=order)
    info = modinfo.parse(BytesBlob(data))
    assert (info.name, info.vermagic, info.depends) == ("demo", MAGIC, ("one", "two"))
    assert info.values("firmware") == info.firmware == ()


def test_values_that_are_there_more_than_once() -> None:
    section = b"firmware=a\0\0\0firmware=b\0alias=x=y\0nothing\0bad\xff=\xff\0"
    info = modinfo.parse(BytesBlob(elf({b".modinfo": section})))
    assert info.firmware == ("a", "b")
    assert info.fields[2:] == (("alias", "x=y"), ("bad\\xff", "\\xff"))


def test_extended_section_numbering() -> None:
    data = bytearray(elf({b".modinfo": b"name=x\0"}))
    count = struct.unpack_from("<H", data, 60)[0]
    table = struct.unpack_from("<Q", data, 40)[0]
    struct.pack_into("<HH", data, 60, 0, 0xFFFF)
    struct.pack_into("<QI", data, table + 32, count, count - 1)  # sh_size and sh_link of section 0
    assert modinfo.parse(BytesBlob(bytes(data))).name == "x"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (b"\x7fELF\x02\x01\x01", TruncatedError),
        (b"no ELF file at all ".ljust(64), FormatError),
        (b"\x7fELF\x03\x01".ljust(64, b"\0"), UnsupportedError),
        (b"\x7fELF\x02\x01".ljust(64, b"\0"), FormatError),
        (elf({b".text": b"x"}), FormatError),
        (module()[:-1], TruncatedError),
    ],
)
def test_what_is_no_module(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        modinfo.parse(BytesBlob(data))


@pytest.mark.parametrize(
    ("offset", "layout", "value", "error"),
    [
        (58, "<H", 63, FormatError),  # e_shentsize
        (62, "<H", 9, FormatError),  # e_shstrndx
        (40, "<Q", 1 << 60, TruncatedError),  # e_shoff
    ],
)
def test_headers_that_cannot_be(
    offset: int, layout: str, value: int, error: type[Exception]
) -> None:
    data = bytearray(module())
    struct.pack_into(layout, data, offset, value)
    with pytest.raises(error):
        modinfo.parse(BytesBlob(bytes(data)))


def test_limits() -> None:
    large = elf({b".modinfo": b"x" * 100})
    with pytest.raises(LimitError, match="100 bytes"):
        elf_reader.read_section(BytesBlob(large), b".modinfo", max_size=99)
    data = bytearray(elf({b".modinfo": b""}))
    table = struct.unpack_from("<Q", data, 40)[0]
    struct.pack_into("<H", data, 60, 0)
    struct.pack_into("<Q", data, table + 32, elf_reader.MAX_SECTIONS + 1)
    with pytest.raises(LimitError, match="sections"):
        modinfo.parse(BytesBlob(bytes(data)))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (b"dummy.ko", b"dummy"),
        (b"snd-hda-intel.ko.xz", b"snd_hda_intel"),
        (b"a.ko.zst", b"a"),
        (b"a.ko.gz", b"a"),
        (b"a.ko.bz2", None),
        (b"modules.dep", None),
        (b"a.xz", None),
        (b".ko", None),
    ],
)
def test_names_of_files(file: bytes, name: bytes | None) -> None:
    assert modinfo.module_name(file) == name


@pytest.mark.parametrize(
    ("module_magic", "kernel_magic", "fits"),
    [
        ("6.1 SMP", "6.1 SMP", True),
        ("6.2 SMP", "6.1 SMP", False),
        ("6.1 SMP preempt", "6.1 SMP", False),
        ("6.2 SMP modversions ", "6.1 SMP modversions ", True),
        ("6.2 SMP modversions ", "6.1 SMP ", False),
        ("6.2 preempt modversions ", "6.1 SMP modversions ", False),
    ],
)
def test_whether_the_kernel_takes_it(module_magic: str, kernel_magic: str, fits: bool) -> None:
    assert modinfo.fits(module_magic, kernel_magic) is fits


def test_who_signed() -> None:
    identity = make_identity("module signer", kind="p384")
    blob = BytesBlob(module(signer=identity))
    found = module_signature.parse(blob)
    assert found is not None
    assert found.key_id == (identity.certificate.issuer, identity.certificate.serial)
    assert found.digest == "sha256"
    assert modinfo.parse(blob).name == "demo"
    assert module_signature.parse(BytesBlob(module())) is None


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (b"", TruncatedError),
        (struct.pack(">5B3xI", 0, 0, 1, 0, 0, 0), UnsupportedError),
        (struct.pack(">5B3xI", 0, 0, 2, 1, 0, 0), FormatError),
        (struct.pack(">5B3xI", 0, 0, 2, 0, 0, 100), FormatError),
        (b"x" * (1 << 20) + struct.pack(">5B3xI", 0, 0, 2, 0, 0, 1 << 20), FormatError),
        (b"x" + struct.pack(">5B3xI", 0, 0, 2, 0, 0, 1), FormatError),
    ],
)
def test_signatures_that_cannot_be(record: bytes, error: type[Exception]) -> None:
    blob = BytesBlob(record + module_signature.MARK)
    assert module_signature.is_signed(blob)
    with pytest.raises(error):
        module_signature.parse(blob)
