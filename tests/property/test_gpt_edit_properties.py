"""Changes in partition tables: on any disk only what was asked changes, and can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from test_gpt_properties import SIZE, UUIDS, disk_of, tables

from sysgraft.base.blob import BytesBlob
from sysgraft.formats.gpt_edit import Change, edit
from sysgraft.formats.gpt_tables import read_tables

if TYPE_CHECKING:
    from uuid import UUID

    from sysgraft.formats import gpt
    from sysgraft.formats.gpt_tables import Tables

BITS = st.integers(0, 2**64 - 1)


def read(disk: bytes | bytearray) -> Tables:
    found = read_tables(BytesBlob(bytes(disk)))
    assert found is not None
    return found


def applied(disk: bytearray, changes: list[Change], groups: int = 2) -> bytearray:
    out = bytearray(disk)
    for group in edit(read(disk), changes).writes[:groups]:
        for offset, data in group:
            out[offset : offset + len(data)] = data
    return out


@given(tables(), UUIDS, BITS, BITS, st.integers(0, 7))
@settings(max_examples=60)
def test_only_what_was_asked_changes(
    table: gpt.Table, type_uuid: UUID, set_bits: int, clear_bits: int, which: int
) -> None:
    disk = disk_of(table)
    before = read(disk)
    assert before.flaws == ()
    assert before.partitions == table.partitions
    if not table.partitions:
        return
    part = table.partitions[which % len(table.partitions)]
    change = Change(part.index + 1, type_uuid, set_bits, clear_bits)
    after = read(applied(disk, [change]))
    assert after.flaws == ()
    for old, new in zip(before.partitions, after.partitions, strict=True):
        wanted = (type_uuid, (old.attributes | set_bits) & ~clear_bits)
        expected = wanted if old.index == part.index else (old.type_uuid, old.attributes)
        assert (new.type_uuid, new.attributes) == expected
        assert (new.uuid, new.first_lba, new.last_lba, new.name) == (
            old.uuid,
            old.first_lba,
            old.last_lba,
            old.name,
        )
    undo = Change(part.index + 1, part.type_uuid, part.attributes, ~part.attributes & (2**64 - 1))
    assert applied(applied(disk, [change]), [undo]) == disk


@given(tables(), UUIDS, st.integers(0, 2 * 512 * 40), st.integers(1, 255))
@settings(max_examples=60)
def test_a_damaged_byte_never_costs_the_partitions(
    table: gpt.Table, type_uuid: UUID, at: int, flip: int
) -> None:
    if not table.partitions:
        return
    disk = disk_of(table)
    place = at if at < 512 * 40 else SIZE - (at - 512 * 40) - 1
    broken = bytearray(disk)
    broken[place] ^= flip
    found = read(broken)
    names = [part.uuid for part in table.partitions]
    assert [part.uuid for part in found.partitions] == names
    change = [Change(table.partitions[0].index + 1, type_uuid)]
    for groups in (1, 2):
        half = read(applied(broken, change, groups))
        assert [part.uuid for part in half.partitions] == names
    assert half.primary
    assert half.backup
