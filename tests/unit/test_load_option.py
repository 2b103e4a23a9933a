"""Boot entries of a firmware: their bytes, device paths, and the order in which they change."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError, LimitError, OutputError, TruncatedError
from sysgraft.formats import device_path, load_option
from sysgraft.formats.device_path import Partition
from sysgraft.formats.efivar import GLOBAL_VARIABLE, EfiVariable
from sysgraft.formats.load_option import LoadOption
from sysgraft.kernel.firmware_entries import NEXT, ORDER, FirmwareEntries
from sysgraft.testing.efivars import FakeEfiVariables

WHERE = Partition(1, 0x800, 0x98800, UUID("e471ce70-2d79-5ebf-be03-09974d7236f8"))
# Field by field as UEFI 2.10 §3.1.3, §10.3.5.1 and §10.3.5.4 have them.
BYTES = bytes.fromhex(
    "01000000 4800 640065006d006f000000"
    "0401 2a00 01000000 0008000000000000 0088090000000000 70ce71e4792dbf5ebe0309974d7236f8 02 02"
    "0404 1a00 5c004500460049005c0061002e006500660069000000"
    "7fff 0400"
)


def test_the_bytes_are_those_of_the_specification() -> None:
    option = LoadOption(load_option.ACTIVE, "demo", device_path.file_path(WHERE, "EFI/a.efi"))
    assert load_option.serialise(option) == BYTES
    assert load_option.parse(BYTES) == option
    assert device_path.partition_of(option.path) == WHERE
    assert device_path.file_of(option.path) == "\\EFI\\a.efi"


@given(
    st.integers(0, 2**32 - 1),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    st.binary(max_size=200),
    st.binary(max_size=200),
)
def test_what_is_written_is_read(attributes: int, text: str, path: bytes, data: bytes) -> None:
    option = LoadOption(attributes, text, path, data)
    assert load_option.parse(load_option.serialise(option)) == option


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**63), st.integers(1, 2**63), st.uuids())
def test_partitions_come_back(number: int, start: int, blocks: int, uuid: UUID) -> None:
    where = Partition(number, start, blocks, uuid)
    assert device_path.partition_of(device_path.file_path(where, "a\\b/c.efi")) == where


@pytest.mark.parametrize("length", range(len(BYTES) - 1))
def test_what_is_cut_short_is_told_or_has_no_file(length: int) -> None:
    try:
        option = load_option.parse(BYTES[:length])
    except TruncatedError:
        return
    assert option.path == load_option.parse(BYTES).path


def test_paths_of_other_disks_name_no_partition() -> None:
    mbr = bytearray(load_option.parse(BYTES).path)
    mbr[40] = 1
    assert device_path.partition_of(bytes(mbr)) is None
    assert device_path.partition_of(b"") is None
    assert device_path.partition_of(struct.pack("<BBH", 4, 1, 4)) is None


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(LimitError):
        load_option.parse(bytes(load_option.MAX_SIZE + 1))
    with pytest.raises(LimitError):
        load_option.parse_numbers(bytes(load_option.MAX_SIZE + 1))
    with pytest.raises(FormatError):
        load_option.serialise(LoadOption(1, "a", bytes(1 << 16)))
    with pytest.raises(FormatError):
        load_option.serialise(LoadOption(1, "a\0b", b""))
    with pytest.raises(FormatError):
        device_path.file_path(WHERE, "x" * 40_000)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Boot0007", 7),
        ("BootABCD", 0xABCD),
        ("Bootabcd", None),
        ("BootOrder", None),
        ("Boot7", None),
    ],
)
def test_names_of_variables(name: str, number: int | None) -> None:
    assert load_option.number_of(name) == number
    if number is not None:
        assert load_option.variable_name(number) == name


# --- The firmware's list -------------------------------------------------------------------------


def variables(*order: int, entries: dict[int, bytes] | None = None) -> FakeEfiVariables:
    values = {(ORDER, GLOBAL_VARIABLE): EfiVariable(7, load_option.serialise_numbers(order))}
    for number, data in (entries or {}).items():
        values[load_option.variable_name(number), GLOBAL_VARIABLE] = EfiVariable(7, data)
    return FakeEfiVariables(values)


def test_an_entry_is_there_before_the_list_names_it() -> None:
    firmware = variables(3, 0, entries={3: b"", 0: BYTES})
    entries = FirmwareEntries(firmware)
    assert entries.add("new", WHERE, "EFI/b.efi") == 1
    assert firmware.changes == ["Boot0001", ORDER]
    assert entries.numbers(ORDER) == (3, 0, 1)


def test_the_same_file_takes_the_same_entry() -> None:
    firmware = variables(3, 0, entries={3: b"", 0: BYTES})
    entries = FirmwareEntries(firmware)
    assert entries.add("demo", WHERE, "/efi/A.EFI") == 0
    assert entries.add("demo", WHERE, "EFI/a.efi") == 0
    assert firmware.changes.count(ORDER) == 0
    assert entries.add("shim", WHERE, "EFI/a.efi", b"other") == 1


def test_numbers_that_lists_name_are_not_taken() -> None:
    firmware = variables(1, 2)
    firmware.write(NEXT, GLOBAL_VARIABLE, b"\0\0")
    assert FirmwareEntries(firmware).add("new", WHERE, "EFI/b.efi") == 3


def test_nothing_leads_to_an_entry_when_it_goes() -> None:
    firmware = variables(3, 0, entries={3: b"", 0: BYTES})
    firmware.write(NEXT, GLOBAL_VARIABLE, b"\0\0")
    firmware.changes.clear()
    FirmwareEntries(firmware).remove([0])
    assert firmware.changes == [NEXT, ORDER, "Boot0000"]
    assert FirmwareEntries(firmware).numbers(ORDER) == (3,)


def test_the_first_one_stays_first() -> None:
    entries = FirmwareEntries(variables(3, 0, 7))
    assert not entries.put_first(3)
    assert entries.put_first(7)
    assert entries.numbers(ORDER) == (7, 3, 0)


def test_what_cannot_be_read_is_no_entry_and_stays() -> None:
    firmware = variables(0, entries={0: b"junk", 1: BYTES})
    assert set(FirmwareEntries(firmware).all()) == {1}
    full = variables(entries=dict.fromkeys(range(0x10000), b""))
    with pytest.raises(OutputError, match="no number is left"):
        FirmwareEntries(full).add("new", WHERE, "EFI/b.efi")
