"""Firmware in a UKI."""

from __future__ import annotations

from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError
from sysgraft.formats import efifw

TARGET = UUID("00112233-4455-6677-8899-aabbccddeeff")
MAGIC = bytes.fromhex("addeedfe")


class Huge:
    """A blob of a size only."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        raise AssertionError((offset, length))

    def readinto_at(self, offset: int, view: memoryview) -> None:
        raise AssertionError((offset, view))


def numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def wrapped(identifier: str, payload: bytes) -> bytes:
    blob = efifw.wrap(identifier, BytesBlob(payload))
    return blob.read_at(0, blob.size)


def test_a_section_has_the_bytes_the_stub_reads() -> None:
    data = wrapped("acme", b"firmware")
    assert data == MAGIC + numbers(16, 5, 8) + b"acme\0" + b"firmware"
    found = efifw.parse(BytesBlob(data + bytes(7)))
    assert (found.identifier, found.target) == ("acme", None)
    assert found.payload.read_at(0, found.payload.size) == b"firmware"


def test_longer_headers_are_read() -> None:
    rest = b"a\0data"
    for header, target in (
        (numbers(20, 2, 4) + b"abcd", None),
        (numbers(32, 2, 4) + bytes(16), None),
        (numbers(32, 2, 4) + TARGET.bytes_le, TARGET),
        (numbers(40, 2, 4) + TARGET.bytes_le + bytes(8), TARGET),
    ):
        found = efifw.parse(BytesBlob(MAGIC + header + rest))
        assert (found.identifier, found.target) == ("a", target)
        assert found.payload.read_at(0, 4) == b"data"
        assert found.payload.size == 4


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (MAGIC[::-1] + numbers(16, 2, 1) + b"a\0x", FormatError),
        (MAGIC + numbers(15, 2, 1) + b"a\0x", FormatError),
        (MAGIC + numbers(4097, 2, 1) + b"a\0x", FormatError),
        (MAGIC + numbers(2**32 - 1, 2**32 - 1, 2**32 - 1) + b"a\0x", FormatError),
        (MAGIC + numbers(16, 2**32 - 1, 1) + b"a\0x", LimitError),
        (MAGIC + numbers(16, 2, 2**32 - 1) + b"a\0x", TruncatedError),
        (MAGIC + numbers(16, 0, 1) + b"a\0x", FormatError),
        (MAGIC + numbers(16, 1, 1) + b"a\0x", FormatError),
        (MAGIC + numbers(16, 3, 0) + b"a\0x", FormatError),
        (MAGIC + numbers(16, 3, 0) + b"a\0\0", FormatError),
        (MAGIC + numbers(16, 2, 1) + b"\xff\0x", FormatError),
    ],
)
def test_broken_sections_are_refused(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error) as caught:
        efifw.parse(BytesBlob(data))
    assert type(caught.value) is error


def test_truncation_anywhere_is_refused() -> None:
    data = MAGIC + numbers(32, 5, 3) + TARGET.bytes_le + b"acme\0abc"
    for length in range(len(data)):
        with pytest.raises(TruncatedError):
            efifw.parse(BytesBlob(data[:length]))


@pytest.mark.parametrize("identifier", ["", "a\0b", "\ud800"])
def test_an_id_that_cannot_be_stored_is_refused(identifier: str) -> None:
    with pytest.raises(FormatError):
        efifw.wrap(identifier, BytesBlob(b"x"))


def test_sizes_are_limited() -> None:
    assert efifw.wrap("a" * 4095, Huge(2**32 - 1)).size == 16 + 4096 + 2**32 - 1
    with pytest.raises(LimitError):
        efifw.wrap("a" * 4096, BytesBlob(b"x"))
    with pytest.raises(LimitError):
        efifw.wrap("a", Huge(2**32))
    with pytest.raises(FormatError, match="empty"):
        efifw.wrap("a", BytesBlob(b""))
