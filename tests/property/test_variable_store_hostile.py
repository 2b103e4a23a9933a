"""Variable stores with anything in them: read or refused, never a crash."""

from __future__ import annotations

import contextlib
import struct
from typing import Final
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError
from sysgraft.formats import variable_store

SIZE: Final = 2048
HEAD: Final = 72 + 28


def store(body: bytes) -> bytes:
    kind = UUID("fff12b8d-7696-4c8b-a985-2747075b4f50").bytes_le
    volume = bytes(16) + kind + struct.pack("<Q4sIHHHBB", 0, b"_FVH", 0, 72, 0, 0, 0, 2)
    signature = UUID("aaf32c78-947b-439a-a180-2e144ec37792").bytes_le
    head = signature + struct.pack("<IBBHI", SIZE, 0x5A, 0xFE, 0, 0)
    return volume.ljust(72, b"\0") + (head + body).ljust(SIZE, b"\xff")[:SIZE]


RECORDS = st.builds(
    lambda state, sizes, content: (
        struct.pack("<HBBI28xII", 0x55AA, state, 0, 7, *sizes) + bytes(16) + content
    ),
    st.sampled_from((0x3F, 0x3E, 0x3C, 0x7F)),
    st.tuples(st.integers(0, 80) | st.integers(0, 2**32 - 1), st.integers(0, 80)),
    st.binary(max_size=100),
)


@given(
    st.lists(RECORDS, max_size=12), st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=9)))
)
def test_any_store_is_read_or_refused(
    records: list[bytes], changes: list[tuple[int, bytes]]
) -> None:
    data = store(b"".join(records))
    for at, change in changes:
        data = data[:at] + change + data[at + len(change) :]
    with contextlib.suppress(FormatError):
        for (name, _), variable in variable_store.parse(data).items():
            assert "\0" not in name
            assert variable.data in data


@given(st.integers(0, HEAD + 200))
def test_a_store_that_ends_early_is_refused(length: int) -> None:
    data = store(b"")
    try:
        variable_store.parse(data[:length])
    except FormatError:
        return
    assert length >= len(data)
