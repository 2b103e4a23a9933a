"""Hardware IDs, firmware and devicetrees: they survive; damaged ones are refused in one way."""

from __future__ import annotations

import struct
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import devicetree, efifw, hwids
from sysgraft.formats.hwids import Device, DeviceType

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
devices = st.builds(
    Device,
    st.sampled_from(DeviceType),
    text,
    text,
    st.sets(st.uuids(), min_size=1, max_size=4).map(sorted).map(tuple),
)
lists = st.lists(devices, max_size=5, unique_by=lambda each: (each.type, each.name, each.match))


@given(lists)
def test_hardware_ids_survive(found: list[Device]) -> None:
    assert hwids.parse(hwids.render(found)) == tuple(found)


@given(lists, st.data())
@settings(max_examples=200)
def test_damaged_hardware_ids_raise_only_our_errors(
    found: list[Device], data: st.DataObject
) -> None:
    section = bytearray(hwids.render(found))
    for _ in range(data.draw(st.integers(0, 4))):
        section[data.draw(st.integers(0, len(section) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        read = hwids.parse(bytes(section[: data.draw(st.integers(0, len(section)))]))
        assert set(hwids.parse(hwids.render(read))) or not read


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_description_is_read_or_refused(data: bytes) -> None:
    with suppress(FormatError):
        hwids.parse_description(data)


@given(text.filter(bool), st.binary(min_size=1, max_size=50))
def test_firmware_survives(identifier: str, payload: bytes) -> None:
    blob = efifw.wrap(identifier, BytesBlob(payload))
    found = efifw.parse(blob)
    assert (found.identifier, found.target) == (identifier, None)
    assert found.payload.read_at(0, found.payload.size) == payload


@given(st.binary(max_size=60), st.lists(st.integers(0, 70), min_size=3, max_size=3))
def test_any_firmware_is_read_or_refused(rest: bytes, sizes: list[int]) -> None:
    with suppress(FormatError):
        found = efifw.parse(BytesBlob(struct.pack("<4I", 0xFEEDDEAD, *sizes) + rest))
        assert len(found.payload.read_at(0, found.payload.size)) == sizes[2]


tokens = st.sampled_from([0, 1, 2, 3, 4, 9, 16, 2**32 - 1])


@given(
    st.lists(tokens | st.integers(0, 2**32 - 1), max_size=12),
    st.lists(st.tuples(st.integers(0, 9), tokens), max_size=2),
    st.binary(max_size=12),
)
@settings(max_examples=400)
def test_any_devicetree_is_read_or_refused(
    structure: list[int], changes: list[tuple[int, int]], strings: bytes
) -> None:
    size = 4 * len(structure)
    fields = [
        0xD00DFEED,
        40 + size + len(strings),
        40,
        40 + size,
        40,
        17,
        16,
        0,
        len(strings),
        size,
    ]
    for place, value in changes:
        fields[place] = value
    data = struct.pack(f">{10 + len(structure)}I", *fields, *structure) + strings
    with suppress(FormatError):
        devicetree.parse(BytesBlob(data))
