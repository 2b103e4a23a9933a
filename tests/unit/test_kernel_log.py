"""The forms a kernel's log is kept in."""

from __future__ import annotations

import json

import pytest

from sysgraft.errors import LimitError
from sysgraft.formats import kernel_log
from sysgraft.formats.kernel_log import MAX_LINES, parse, parse_line
from sysgraft.formats.kmsg import KERNEL, Record

TEXT = "rtw_8821au 1-4:1.0: Direct firmware load for rtw88/rtw8821a_fw.bin failed with error -2"
TIME = 49_065_898


@pytest.mark.parametrize(
    ("prefix", "time"),
    [
        ("", None),
        ("[   49.065898] ", TIME),
        ("<4>[   49.065898] ", TIME),
        ("kern  :warn  : [   49.065898] ", TIME),
        ("[   49.065898] [  T812] ", TIME),
        ("[   49.065898][  T812] ", TIME),
        ("[   49.065898 <    0.000006>] ", TIME),
        ("[Thu Sep  4 09:19:13 2025] ", None),
        ("[Sep 4 09:19] ", None),
        ("[Nov27 09:29] ", None),
        ("[  +0.000006] ", None),
        ("[<    0.000006>] ", None),
        ("2025-09-04T09:19:13,065898+00:00 ", None),
        ("Sep 04 09:19:13 localhost kernel: ", None),
        ("Sep  4 09:19:13 localhost kernel: [   49.065898] ", TIME),
        ("Sep 04 09:19:13.065898 node-7.example kernel: ", None),
        ("2025-09-04T09:19:13.065898+02:00 node kernel: ", None),
        ("2025-09-04T09:19:13+0000 node kernel: ", None),
        ("Thu 2025-09-04 09:19:13 UTC node kernel: ", None),
        ("1756977553.065898 node kernel: ", None),
        ("[   49.065898] node kernel: ", TIME),
        ("raspberrypi kernel: ", None),
        ("kernel: ", None),
        ("  > [   49.065898] ", TIME),
        ("| ", None),
    ],
)
def test_what_stands_before_a_message(prefix: str, time: int | None) -> None:
    assert parse_line((prefix + TEXT).encode()) == Record(TEXT, time)


@pytest.mark.parametrize(
    ("line", "origin"),
    [
        ("Sep 04 09:19:14 localhost systemd[1]: Starting", "systemd"),
        ("[   49.065898] node systemd-udevd[312]: x", "systemd-udevd"),
        ("2025-09-04T09:19:13.065898+02:00 node dracut-install: x", "dracut-install"),
    ],
)
def test_programs_are_not_the_kernel(line: str, origin: str) -> None:
    record = parse_line(line.encode())
    assert record is not None
    assert record.origin == origin


@pytest.mark.parametrize("line", [b"", b"   ", b"[    1.000000] ", b"\t>\r"])
def test_lines_that_say_nothing(line: bytes) -> None:
    assert parse_line(line) is None


def test_several_forms_in_one_piece() -> None:
    pasted = f"[   49.065898] {TEXT}\r\nand later:\r\nSep 04 09:19:13 localhost kernel: {TEXT}\r\n"
    assert [each.text for each in parse(pasted.encode())] == [TEXT, "and later:", TEXT]


def test_a_log_of_records() -> None:
    data = f"4,1,{TIME},-;{TEXT}\n SUBSYSTEM=usb\n DEVICE=+usb:1-4:1.0\n".encode()
    assert parse(data) == [Record(TEXT, TIME, KERNEL, "usb", "+usb:1-4:1.0")]


def test_json_of_dmesg() -> None:
    entries = [
        {"pri": 4, "time": 49.065898, "msg": TEXT + "\n"},
        {"time": "x", "msg": "b"},
        {"msg": 3},
        "c",
    ]
    assert parse(json.dumps({"dmesg": entries}).encode()) == [Record(TEXT, TIME), Record("b")]


JOURNAL = {
    "__CURSOR": "s=1",
    "_TRANSPORT": "kernel",
    "_HOSTNAME": "node",
    "_SOURCE_MONOTONIC_TIMESTAMP": str(TIME),
    "_KERNEL_SUBSYSTEM": "usb",
    "_KERNEL_DEVICE": "+usb:1-4:1.0",
    "SYSLOG_IDENTIFIER": "kernel",
    "MESSAGE": TEXT,
}


def test_json_of_the_journal() -> None:
    other = {"MESSAGE": list(b"caf\xff"), "_TRANSPORT": "stdout", "SYSLOG_IDENTIFIER": "x"}
    data = "\n".join(map(json.dumps, (JOURNAL, other, {"MESSAGE": None}, [1], 7))) + "\n{broken\n"
    assert parse(data.encode()) == [
        Record(TEXT, TIME, KERNEL, "usb", "+usb:1-4:1.0"),
        Record("caf\\xff", None, "x"),
    ]


def test_the_export_format() -> None:
    lines = "\n".join(f"{key}={value}" for key, value in JOURNAL.items())
    binary = b"two\nlines"
    data = (
        lines.encode()
        + b"\n\n__CURSOR=s=2\n_TRANSPORT=kernel\nMESSAGE\n"
        + len(binary).to_bytes(8, "little")
        + binary
        + b"\n_BOOT_ID=x\n\n"
    )
    assert parse(data) == [
        Record(TEXT, TIME, KERNEL, "usb", "+usb:1-4:1.0"),
        Record("two\nlines"),
    ]


def test_the_export_format_with_lengths_that_lie() -> None:
    data = b"__CURSOR=s\nMESSAGE\n" + b"\xff" * 8 + b"text\nMESSAGE=b"
    assert [each.text for each in parse(data)] == ["text\nMESSAGE=b"]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitError, match="lines"):
        parse(b"\n" * (MAX_LINES + 1))
    monkeypatch.setattr(kernel_log, "MAX_SIZE", 10)
    with pytest.raises(LimitError, match="10 bytes"):
        parse(b"x" * 11)
