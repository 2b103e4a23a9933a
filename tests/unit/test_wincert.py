"""The certificate table: what is read, and each single thing that is refused."""

from __future__ import annotations

import struct

import pytest

from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import wincert
from sysgraft.formats.wincert import Entry

PKCS7_GUID = bytes.fromhex("9dd2af4adf68ee498aa9347d375665a7")


def raw(data: bytes, *, length: int | None = None, revision: int = 0x0200, kind: int = 2) -> bytes:
    size = 8 + len(data)
    header = struct.pack("<IHH", size if length is None else length, revision, kind)
    return (header + data).ljust(-(-size // 8) * 8, b"\0")


def test_entries_are_read_in_their_order() -> None:
    table = raw(b"one") + raw(b"twotwotw") + raw(b"x")
    entries = wincert.parse(table)
    assert entries == (Entry(b"one"), Entry(b"twotwotw"), Entry(b"x"))
    assert wincert.serialise(entries) == table
    assert wincert.parse(b"") == ()


def test_an_entry_with_a_guid_is_a_signature_if_the_guid_says_so() -> None:
    table = raw(PKCS7_GUID + b"signature", kind=0x0EF1)
    (entry,) = wincert.parse(table)
    assert entry.pkcs7 == b"signature"
    assert wincert.serialise([entry]) == table
    with pytest.raises(UnsupportedError, match="no PKCS#7"):
        wincert.parse(raw(bytes(16) + b"signature", kind=0x0EF1))


@pytest.mark.parametrize("kind", [0, 1, 3, 0x0EF0, 0xFFFF])
def test_other_kinds_are_refused(kind: int) -> None:
    with pytest.raises(UnsupportedError, match=f"the type {kind:#06x}"):
        wincert.parse(raw(b"x", kind=kind))


@pytest.mark.parametrize("revision", [0, 0x0100, 0x0201])
def test_other_revisions_are_refused(revision: int) -> None:
    with pytest.raises(UnsupportedError, match="revision"):
        wincert.parse(raw(b"x", revision=revision))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 17, 24, 0xFFFFFFFF])
def test_lengths_that_do_not_add_up_are_refused(length: int) -> None:
    with pytest.raises(FormatError, match=f"a length of {length} bytes"):
        wincert.parse(raw(b"12345678", length=length))


def test_padding_must_be_there_and_empty() -> None:
    table = raw(b"123")
    assert len(table) == 16
    for at in range(11, 16):
        filled = bytearray(table)
        filled[at] = 1
        with pytest.raises(FormatError, match="behind a signature"):
            wincert.parse(bytes(filled))
    with pytest.raises(FormatError, match="a length of 11"):
        wincert.parse(table[:11])


def test_every_truncation_inside_an_entry_is_refused() -> None:
    table = raw(b"1234567") + raw(b"89")
    for length in range(1, len(table)):
        if length == 16:
            assert wincert.parse(table[:16]) == (Entry(b"1234567"),)
            continue
        with pytest.raises(FormatError):
            wincert.parse(table[:length])
    with pytest.raises(TruncatedError, match="inside the header at byte 16"):
        wincert.parse(table[:20])


def test_sizes_and_counts_are_limited() -> None:
    assert len(wincert.parse(raw(b"x") * wincert.MAX_ENTRIES)) == wincert.MAX_ENTRIES
    with pytest.raises(LimitError, match="more than 16"):
        wincert.parse(raw(b"x") * (wincert.MAX_ENTRIES + 1))
    with pytest.raises(LimitError, match="a certificate table of"):
        wincert.parse(bytes(wincert.MAX_TABLE + 1))
