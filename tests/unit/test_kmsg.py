"""Records of /dev/kmsg."""

from __future__ import annotations

import pytest

from sysgraft.formats.kmsg import KERNEL, MAX_TEXT, Record, is_record, parse_records, subject

CARD = (
    b"4,812,49065898,-;rtw_8821au 1-4:1.0: Direct firmware load for rtw88/rtw8821a_fw.bin failed"
    b" with error -2\n SUBSYSTEM=usb\n DEVICE=+usb:1-4:1.0\n"
)


def parsed(data: bytes) -> list[Record]:
    return list(parse_records(data.split(b"\n")))


def test_a_record_knows_its_device() -> None:
    (record,) = parsed(CARD)
    assert record.text.endswith("failed with error -2")
    assert (record.time, record.origin, record.subsystem) == (49_065_898, KERNEL, "usb")
    assert subject(record) == "usb:1-4:1.0"


@pytest.mark.parametrize("device", ["c189:3", "b8:0", "n2", ""])
def test_numbers_are_no_names(device: str) -> None:
    assert subject(Record("text", device=device)) == ""


def test_escapes_are_undone() -> None:
    (record,) = parsed(rb"6,1,2,-;a\x0ab \x5cx41 \xc3\xa9 \xff")
    assert record.text == "a\nb \\x41 é \\xff"


def test_a_log_that_was_cut_off_at_its_beginning() -> None:
    data = b"mware load failed\n DEVICE=+pci:0000:00:01.0\n" + CARD
    assert [subject(each) for each in parsed(data)] == ["usb:1-4:1.0"]


def test_what_belongs_to_a_record_is_not_of_the_next() -> None:
    first, second = parsed(CARD + b"6,813,49065999,c;continued\n")
    assert (first.device, second.device, second.text) == ("+usb:1-4:1.0", "", "continued")


def test_further_fields_of_the_header() -> None:
    (record,) = parsed(b"6,1,2,-,caller=T12,more=x;text\n")
    assert (record.text, record.time) == ("text", 2)


def test_programs_write_there_too() -> None:
    records = parsed(b"30,1,2,-;systemd[1]: Started\n12,2,3,-;no name\n")
    assert [each.origin for each in records] == ["systemd", "user"]


def test_a_record_is_cut_where_the_kernel_would_cut_it() -> None:
    (record,) = parsed(b"6,1,2,-;" + b"x" * 100_000)
    assert len(record.text) == MAX_TEXT


@pytest.mark.parametrize(
    "line", [b"", b"6,1;x", b"[    1.0] x", b"a,b,c,-;x", b"6,1,2,-", b"\xff" * 9, b"99999,1,2,-;x"]
)
def test_no_record(line: bytes) -> None:
    assert not is_record(line)
    assert parsed(line) == []
