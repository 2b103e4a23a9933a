"""Logs, listings and inventories from anybody: errors of ours or a result, quickly and small."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine_kit import AFTER, BEFORE, LSPCI, LSUSB, MACHINE_FORM, UDEV
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.errors import FormatError
from sysgraft.firmware import devices
from sysgraft.firmware.device_names import DeviceNames
from sysgraft.firmware.doctor import diagnose_firmware
from sysgraft.firmware.inventory import (
    Device,
    Failure,
    Loaded,
    Machine,
    parse_machine,
    render_machine,
)
from sysgraft.firmware.log import read_log
from sysgraft.firmware.privacy import redact
from sysgraft.firmware.search import Reach
from sysgraft.firmware.shelves import Shelf
from sysgraft.firmware.verdicts import judge
from sysgraft.formats import kernel_log, kmsg, lspci, lsusb, udev_db
from sysgraft.formats.kmsg import Record, parse_records, unescape

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS: Final = (
    b"4,812,49065898,-;rtw 1-4:1.0: Direct firmware load for rtw88/a.bin failed with error -2\n"
    b" SUBSYSTEM=usb\n DEVICE=+usb:1-4:1.0\n6,813,49065899,c;a\\x0ab\n"
)
EXPORT: Final = b"__CURSOR=s=1\n_TRANSPORT=kernel\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=4\n\n"
JOURNAL: Final = b'{"MESSAGE": "a", "_TRANSPORT": "kernel", "_KERNEL_DEVICE": "+usb:1-4"}\n'
DMESG: Final = b'{"dmesg": [{"pri": 4, "time": 49.065898, "msg": "a"}]}'
LOGS: Final = (RECORDS, (BEFORE + AFTER).encode(), EXPORT, JOURNAL, DMESG)
SEEDS: Final = {
    "log": (kernel_log.parse, LOGS),
    "lspci": (lspci.parse, (LSPCI.encode(), MACHINE_FORM.encode())),
    "lsusb": (lsusb.parse, (LSUSB.encode(),)),
    "udev": (udev_db.parse, (UDEV.encode(),)),
}
PARSERS: Final = [parse for parse, _ in SEEDS.values()]


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A good input, cut, with bytes exchanged, or with something put in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["cut", "put", "set"]))
        if kind == "cut":
            del data[at : at + draw(st.integers(0, 40))]
        elif kind == "put":
            data[at:at] = draw(st.binary(max_size=40))
        elif data:
            data[at % len(data)] = draw(st.integers(0, 255))
    return bytes(data)


@pytest.mark.parametrize("parse", PARSERS)
@given(data=st.binary(max_size=400))
def test_anything(parse: Callable[[bytes], object], data: bytes) -> None:
    parse(data)


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_what_is_nearly_right(name: str) -> None:
    parse, seeds = SEEDS[name]

    @given(damaged(seeds))
    def check(data: bytes) -> None:
        parse(data)

    check()


@given(damaged(LOGS))
def test_a_damaged_log_makes_an_inventory(data: bytes) -> None:
    facts = read_log(kernel_log.parse(data), DeviceNames())
    machine = Machine(loaded=facts.loaded, failures=facts.failures)
    assert parse_machine(render_machine(machine)) == machine
    diagnose_firmware(machine)


@given(st.lists(damaged((LSPCI.encode(), MACHINE_FORM.encode())), max_size=3))
def test_damaged_listings_make_devices(listings: list[bytes]) -> None:
    found = devices.joined(devices.of_lspci(data) for data in listings)
    assert found == sorted(found, key=lambda each: (each.bus, each.name))
    assert len({(each.bus, each.name) for each in found}) == len(found)


# --- Round trips ---------------------------------------------------------------------------------

printed = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


def escaped(text: str) -> bytes:
    """As the kernel writes it: msg_add_ext_text() of Linux kernel/printk/printk.c."""
    return b"".join(
        bytes((byte,)) if 32 <= byte < 127 and byte != 0x5C else b"\\x%02x" % byte
        for byte in text.encode()
    )


@given(st.lists(st.tuples(printed, st.integers(0, 1 << 60), st.sampled_from(["", "+usb:1-4"]))))
def test_records_round_trip(messages: list[tuple[str, int, str]]) -> None:
    data = b"".join(
        b"6,%d,%d,-;%s\n" % (number, time_, escaped(text))
        + (b" SUBSYSTEM=usb\n DEVICE=%s\n" % device.encode() if device else b"")
        for number, (text, time_, device) in enumerate(messages)
    )
    expected = [
        Record(text, time_, kmsg.KERNEL, "usb" if device else "", device)
        for text, time_, device in messages
    ]
    assert list(parse_records(data.split(b"\n"))) == expected


@given(printed)
def test_escapes_round_trip(text: str) -> None:
    assert unescape(escaped(text)) == text


texts = st.text(max_size=20)
inventories = st.builds(
    Machine,
    kernel=texts,
    os=st.dictionaries(texts, texts, max_size=3),
    devices=st.lists(st.builds(Device, texts, texts, texts, texts), max_size=4).map(tuple),
    loaded=st.lists(st.builds(Loaded, texts, texts), max_size=4).map(tuple),
    failures=st.lists(
        st.builds(Failure, texts, texts, texts, texts, st.integers(0, 200), st.booleans()),
        max_size=4,
    ).map(tuple),
    modules=st.lists(texts, max_size=4).map(tuple),
)


@given(inventories)
def test_inventories_round_trip(machine: Machine) -> None:
    data = render_machine(machine)
    assert parse_machine(data) == machine
    assert next(iter(json.loads(data))) == "schema"
    for need in judge(machine):
        assert need.why
    diagnose_firmware(machine)


def test_inventories_of_many_facts_take_time_in_proportion() -> None:
    many = range(20_000)
    machine = Machine(
        failures=tuple(
            Failure(f"iwlwifi-{n}-{n}.ucode", "x", f"pci:{n % 100}", error=2) for n in many
        ),
        loaded=tuple(Loaded(f"iwlwifi-x{n}-{n}.ucode", sha256="0" * 64) for n in many),
    )
    start = time.process_time()
    assert len(judge(machine)) == len(many)
    same = tuple(Loaded("a", sha256="0" * 64) for _ in many)
    content = BytesBlob(bytes(1 << 20))
    shelf = Shelf("x", "extension", {b"a": Inode(0o100644, content=content)})
    assert len(diagnose_firmware(Machine(loaded=same), [shelf]).attested) == len(many)
    assert time.process_time() - start < 10


@given(st.binary(max_size=200))
def test_an_inventory_of_anybody(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_machine(data)


@given(st.text(max_size=40))
def test_any_name_is_looked_for(name: str) -> None:
    located = Reach([], "6.12").find(name)
    assert (located.taken, located.others) == (None, ())


# --- Bombs: what is long takes time in proportion, and no more -----------------------------------

LONG: Final = 4 << 20
BOMBS: Final = {
    "one line": b"x" * LONG,
    "colons": b"a:" * (LONG // 2),
    "brackets": b"[" * LONG,
    "blanks": b" " * LONG,
    "digits": b"1" * LONG,
    "prefixes": b"a 0000:00:01.0: " * (LONG // 16),
    "firmware": b"Direct firmware load for " * (LONG // 25),
    "cures": b"".join(
        b"a 1-1: Direct firmware load for %d failed with error -2\n"
        b"a 1-1: Firmware version 1.0, H2C version 1\n" % number
        for number in range(30_000)
    ),
    "records": b"6,1,1,-;" * (LONG // 8),
    "continuations": b"6,1,1,-;a\n" + b" K=v\n" * (LONG // 5),
    "deep": b"{" + b'"a":[' * (LONG // 5),
    "export": b"__CURSOR=\n" + b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\x7f" * (LONG // 16),
    "slots": b"00:00.0 \n" * (LONG // 9),
    "descriptors": b"Bus 001 Device 001: ID 1d6b:0002\n" + b"  Interface Descriptor:\n" * 100_000,
    "markup": b'<component type="firmware"><name>a</name>' + b"<firmware " * (LONG // 10),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("parse", PARSERS)
def test_bombs(parse: Callable[[bytes], object], name: str) -> None:
    start = time.process_time()
    try:
        found = parse(BOMBS[name])
    except FormatError:
        return
    if parse is kernel_log.parse:
        records: list[Record] = found  # type: ignore[assignment]
        read_log(records, DeviceNames())
    assert time.process_time() - start < 20


@pytest.mark.parametrize("character", list("0af:-._ \\x(["))
def test_no_message_takes_long_to_redact(character: str) -> None:
    start = time.process_time()
    redact(character * 8192)
    redact(f"{character}0a:" * 2000)
    assert time.process_time() - start < 5
