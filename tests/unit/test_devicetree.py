"""Devicetrees: what the root node says, and what is refused."""

from __future__ import annotations

import struct

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import devicetree

STRINGS = b"model\0compatible\0#address-cells\0"
MODEL, COMPATIBLE, CELLS = 0, 6, 17
HEADER = 40


def u32(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def prop(name: int, value: bytes) -> bytes:
    return u32(3, len(value), name) + value + bytes(-len(value) % 4)


ROOT = (
    u32(1, 0)
    + prop(CELLS, u32(2))
    + u32(4)
    + prop(MODEL, b"Acme Board 2\0")
    + prop(COMPATIBLE, b"acme,board-2\0acme,soc\0")
    + u32(1) + b"chosen\0\0" + prop(COMPATIBLE, b"not,this\0") + u32(2)
    + u32(2, 9)
)  # fmt: skip


def tree(structure: bytes = ROOT, strings: bytes = STRINGS, **changes: int) -> bytes:
    fields = {
        "magic": 0xD00DFEED,
        "size": HEADER + len(structure) + len(strings),
        "structure_at": HEADER,
        "strings_at": HEADER + len(structure),
        "reserved": HEADER,
        "version": 17,
        "oldest": 16,
        "cpu": 0,
        "strings_size": len(strings),
        "structure_size": len(structure),
    }
    return u32(*(fields | changes).values()) + structure + strings


def parse(data: bytes) -> devicetree.Devicetree:
    return devicetree.parse(BytesBlob(data))


def test_the_root_node_is_read() -> None:
    found = parse(tree() + b"padding")
    assert found.compatible == ("acme,board-2", "acme,soc")
    assert found.model == "Acme Board 2"
    assert found.size == len(tree())


def test_a_root_without_properties_says_nothing() -> None:
    found = parse(tree(u32(4, 4, 1, 0, 2, 9)))
    assert (found.compatible, found.model) == ((), "")


def test_later_versions_that_say_so_are_read() -> None:
    assert parse(tree(version=18, oldest=17)).model == "Acme Board 2"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (tree(magic=0xEDFE0DD0), FormatError),
        (tree(version=16), UnsupportedError),
        (tree(version=18, oldest=18), UnsupportedError),
        (tree(size=(16 << 20) + 1), LimitError),
        (tree(size=len(tree()) + 1), TruncatedError),
        (tree(size=39), TruncatedError),
        (tree(structure_at=36), FormatError),
        (tree(structure_at=41), FormatError),
        (tree(structure_at=42, structure_size=8), FormatError),
        (tree(structure_at=2**32 - 1), FormatError),
        (tree(structure_size=2**32 - 1), FormatError),
        (tree(strings_at=39), FormatError),
        (tree(strings_size=len(STRINGS) + 1), FormatError),
        (tree(b""), FormatError),
        (tree(u32(9)), FormatError),
        (tree(u32(1) + b"name"), FormatError),
        (tree(u32(1) + b"/\0\0\0" + u32(2, 9)), FormatError),
        (tree(u32(1, 0)), FormatError),
        (tree(u32(1, 0, 7)), FormatError),
        (tree(u32(1, 0, 9)), FormatError),
        (tree(u32(1, 0, 3, 5)), FormatError),
        (tree(u32(1, 0, 3, 2**32 - 1, 0)), FormatError),
        (tree(u32(1, 0) + prop(len(STRINGS), b"") + u32(2, 9)), FormatError),
        (tree(u32(1, 0) + prop(2**32 - 1, b"") + u32(2, 9)), FormatError),
        (tree(u32(1, 0) + prop(MODEL, b"no end") + u32(2, 9)), FormatError),
        (tree(u32(1, 0) + prop(MODEL, b"") + u32(2, 9)), FormatError),
        (tree(u32(1, 0) + prop(COMPATIBLE, b"\xff\0") + u32(2, 9)), FormatError),
        (tree(u32(1, 0) + prop(CELLS, b"") * 4097 + u32(2, 9)), LimitError),
        (tree(u32(1, 0) + u32(4) * 5000), LimitError),
    ],
)
def test_broken_devicetrees_are_refused(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error) as caught:
        parse(data)
    assert type(caught.value) is error


def test_long_names_are_refused() -> None:
    """Many properties may have the same one."""
    for length, is_read in ((256, True), (257, False), (1 << 20, False)):
        strings = STRINGS + b"x" * length + b"\0" + bytes(300)
        data = tree(u32(1, 0) + prop(len(STRINGS), b"") * 4096 + u32(2, 9), strings)
        if is_read:
            assert parse(data).model == ""
        else:
            with pytest.raises(LimitError, match="more than 256 bytes"):
                parse(data)


def test_truncation_anywhere_is_refused() -> None:
    data = tree()
    for length in range(len(data)):
        with pytest.raises(TruncatedError):
            parse(data[:length])
