"""The ar reader: members, padding, and what it refuses."""

from __future__ import annotations

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import ar

MAGIC = b"!<arch>\n"


def member(name: bytes, data: bytes, size: bytes | None = None, end: bytes = b"`\n") -> bytes:
    stated = str(len(data)).encode() if size is None else size
    header = name.ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"100644".ljust(8)
    return header + stated.ljust(10) + end + data + b"\n" * (len(data) % 2)


def read(data: bytes) -> list[tuple[bytes, bytes]]:
    found = ar.read_members(BytesBlob(data))
    return [(item.name, item.content.read_at(0, item.content.size)) for item in found]


def test_members_in_order_with_odd_sizes_padded() -> None:
    archive = MAGIC + member(b"one", b"abc") + member(b"two/", b"") + member(b"three", b"de")
    assert read(archive) == [(b"one", b"abc"), (b"two", b""), (b"three", b"de")]


def test_the_padding_behind_the_last_member_may_be_missing() -> None:
    assert read(MAGIC + member(b"one", b"abc")[:-1]) == [(b"one", b"abc")]


REFUSED = {
    "magic": (b"!<arch>x", FormatError, "not an ar"),
    "empty": (b"", FormatError, "not an ar"),
    "cut header": (MAGIC + member(b"a", b"")[:59], TruncatedError, "inside a header"),
    "cut data": (MAGIC + member(b"a", b"abcd")[:-1], TruncatedError, "inside a"),
    "huge size": (MAGIC + member(b"a", b"", b"9999999999"), TruncatedError, "inside a"),
    "negative size": (MAGIC + member(b"a", b"", b"-1"), FormatError, "not a number"),
    "no size": (MAGIC + member(b"a", b"", b""), FormatError, "not a number"),
    "no end": (MAGIC + member(b"a", b"", None, b"xx"), FormatError, "no ar header"),
    "no name": (MAGIC + member(b"", b""), FormatError, "no proper name"),
    "NUL in name": (MAGIC + member(b"a\0b", b""), FormatError, "no proper name"),
    "name table": (MAGIC + member(b"//", b"x"), UnsupportedError, "name tables"),
    "BSD name": (MAGIC + member(b"#1/20", b"x"), UnsupportedError, "name tables"),
    "too many": (MAGIC + member(b"a", b"") * 1001, LimitError, "1000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    data, kind, words = REFUSED[name]
    with pytest.raises(kind, match=words):
        read(data)
