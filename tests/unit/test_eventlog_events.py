"""What is said of the events of a log."""

from __future__ import annotations

import lzma
import struct
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

import pytest

from sysgraft.formats import eventlog
from sysgraft.formats.eventlog import Event
from sysgraft.formats.eventlog_events import TAGS, decode_text, describe
from sysgraft.formats.eventlog_records import EVENT_TYPES

LOG = Path(__file__).parents[1] / "assets/eventlog/ovmf-stub-257.bin.xz"
TYPES = {name: number for number, name in EVENT_TYPES.items()}
GLOBAL = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
SECURITY = UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
OTHER = UUID("00112233-4455-6677-8899-aabbccddeeff")


def said(kind: str, data: bytes, pcr: int = 1) -> str:
    return describe(Event(pcr, TYPES[kind], MappingProxyType({}), data))


def wide(text: str) -> bytes:
    return text.encode("utf-16-le")


def variable(guid: UUID, name: str, value: bytes) -> bytes:
    return guid.bytes_le + struct.pack("<QQ", len(name), len(value)) + wide(name) + value


def tagged(tag: int, data: bytes) -> bytes:
    return struct.pack("<II", tag, len(data)) + data


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("EV_IPL", wide("Credentials initrd\0"), "Credentials initrd"),
        ("EV_IPL", wide("quiet ro\0"), "quiet ro"),
        ("EV_IPL", b"grub_cmd: boot\0", "grub_cmd: boot"),
        ("EV_IPL", wide("früh →\0"), "früh →"),
        ("EV_IPL", b"\x00\x01\x02", "000102"),
        ("EV_IPL", b"", "no data"),
        ("EV_IPL", wide("\x1b[31m\0"), "1b005b00330031006d000000"),
        ("EV_SEPARATOR", bytes(4), "separator"),
        ("EV_SEPARATOR", b"\xff" * 4, "separator"),
        ("EV_SEPARATOR", b"\1\0\0\0", "separator after an error"),
        ("EV_SEPARATOR", b"WBCL", "WBCL"),
        ("EV_EFI_ACTION", b"Exit Boot Services Invocation", "Exit Boot Services Invocation"),
        ("EV_EVENT_TAG", tagged(0x13AED6DB, wide("1\0")), "profile: 1"),
        ("EV_EVENT_TAG", tagged(0x49DFFE0F, wide("a.addon.efi\0")), "initrd addon: a.addon.efi"),
        ("EV_EVENT_TAG", tagged(0xDAC08E1A, wide("a\0")), "microcode addon: a"),
        ("EV_EVENT_TAG", tagged(0x6C46F751, wide("a\0")), "devicetree addon: a"),
        ("EV_EVENT_TAG", tagged(0xF5BC582A, b""), "loader.conf"),
        ("EV_EVENT_TAG", tagged(0x8F3B22EC, b"Linux initrd\0"), "initrd: Linux initrd"),
        ("EV_EVENT_TAG", tagged(0x8F3B22ED, b"LOADED_IMAGE::LoadOptions\0"),
         "kernel command line: LOADED_IMAGE::LoadOptions"),
        ("EV_EVENT_TAG", tagged(1, b"\xfe"), "tag 0x00000001: fe"),
        ("EV_EVENT_TAG", tagged(1, b"abc")[:-1], "01000000030000006162"),
        ("EV_EFI_VARIABLE_DRIVER_CONFIG", variable(GLOBAL, "SecureBoot", b"\1"),
         "EFI variable SecureBoot: 01"),
        ("EV_EFI_VARIABLE_DRIVER_CONFIG", variable(SECURITY, "dbx", bytes(900)),
         "image security variable dbx: 900 bytes"),
        ("EV_EFI_VARIABLE_AUTHORITY", variable(OTHER, "Own", b""),
         f"{OTHER} variable Own: no data"),
        ("EV_EFI_VARIABLE_BOOT", variable(GLOBAL, "a\nb", b""), r"EFI variable a\nb: no data"),
        ("EV_EFI_BOOT_SERVICES_APPLICATION", struct.pack("<QQQQ", 1, 4096, 0, 4) + b"\x7f\xff\4\0",
         "program of 4096 bytes, device path 7fff0400"),
        ("EV_EFI_PLATFORM_FIRMWARE_BLOB", struct.pack("<QQ", 0x820000, 917504),
         "917504 bytes at 0x820000"),
        ("EV_POST_CODE", b"ACPI DATA", "ACPI DATA"),
        ("EV_POST_CODE", struct.pack("<QQ", 16, 5), "5 bytes at 0x10"),
        ("EV_EFI_PLATFORM_FIRMWARE_BLOB2", b"\4POST" + struct.pack("<QQ", 16, 5),
         "POST: 5 bytes at 0x10"),
        ("EV_EFI_HANDOFF_TABLES2", b"\x06SMBIOS" + bytes(30), "SMBIOS"),
        ("EV_EFI_GPT_EVENT", bytes(56) + OTHER.bytes_le + bytes(20) + b"\2" + bytes(7),
         f"partition table of disk {OTHER}, partitions: 2"),
        ("EV_NO_ACTION", b"Whatever\0\1\2", "Whatever: 0102"),
        ("EV_NO_ACTION", b"\xff\0\1", "ff0001"),
    ],
)  # fmt: skip
def test_events_are_described(kind: str, data: bytes, words: str) -> None:
    assert said(kind, data) == words


def test_the_startup_locality_is_told() -> None:
    data = b"StartupLocality\0\3"
    assert said("EV_NO_ACTION", data, pcr=0) == "TPM started from locality 3"
    assert said("EV_NO_ACTION", data, pcr=1) == "StartupLocality: 03"


def test_long_data_are_cut() -> None:
    assert said("EV_IPL", bytes(1000)) == "0" * 256 + "…"
    assert said("EV_IPL", wide("x" * 1000)) == "x" * 256 + "…"


@pytest.mark.parametrize("kind", list(TYPES))
def test_no_data_make_it_fail(kind: str) -> None:
    longest = variable(GLOBAL, "SecureBoot", bytes(100))
    for length in range(len(longest)):
        for filler in (longest[:length], b"\xff" * length, bytes(length), b"\0\xd8" * length):
            assert said(kind, filler, pcr=0).isprintable()


def test_text_is_told_from_other_bytes() -> None:
    assert (
        decode_text(wide("plain\0")) == decode_text(b"plain\0") == decode_text(b"plain") == "plain"
    )
    assert decode_text(b"even") == "even"
    assert decode_text("日本".encode()) == "日本"
    assert decode_text(b"") is decode_text(b"\0") is decode_text(b"\xff\xfe") is None
    assert decode_text(b"a\0b") is None


def test_a_real_log_is_told_whole() -> None:
    log = eventlog.parse(lzma.decompress(LOG.read_bytes()))
    told = [f"{event.pcr} {describe(event)}" for event in log.events]
    assert told[0] == "0 log header, sha1, sha256, sha384, sha512"
    sections = [".linux", ".osrel", ".cmdline", ".initrd", ".uname", ".sbat"]
    assert [line for line in told if line.startswith("11 ")] == [
        f"11 {name}" for name in sections for _ in range(2)
    ]
    for line in (
        "7 EFI variable SecureBoot: 00",
        "7 image security variable dbx: no data",
        "12 Credentials initrd",
        "13 System extension initrd",
        "9 kernel command line: LOADED_IMAGE::LoadOptions",
        "9 initrd: Linux initrd",
        "5 Exit Boot Services Returned with Success",
    ):
        assert line in told


def test_tags_are_those_of_different_things() -> None:
    assert len(set(TAGS.values())) == len(TAGS)
