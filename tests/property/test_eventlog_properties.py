"""TPM event logs: every log survives, damaged ones are refused in one way."""

from __future__ import annotations

import hashlib
import struct
from contextlib import suppress
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.errors import FormatError
from sysgraft.formats import eventlog
from sysgraft.formats.eventlog import EV_NO_ACTION, Algorithm, Event, Log
from sysgraft.formats.eventlog_events import describe
from sysgraft.formats.eventlog_records import EVENT_TYPES

KNOWN = {4: 20, 11: 32, 12: 48, 13: 64, 18: 32, 0x27: 32}
NAMES = {4: "sha1", 11: "sha256", 12: "sha384", 13: "sha512"}
kinds = st.sampled_from(list(EVENT_TYPES)) | st.integers(0, 2**32 - 1)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    numbers = draw(st.lists(st.sampled_from([*KNOWN, 0x9999]), min_size=1, max_size=4, unique=True))
    algorithms = tuple(Algorithm(each, KNOWN.get(each, 7)) for each in numbers)
    pairs = b"".join(struct.pack("<HH", each.identifier, each.size) for each in algorithms)
    vendor = draw(st.binary(max_size=5))
    data = b"Spec ID Event03\0" + struct.pack("<I4BI", 0, 0, 2, 0, 2, len(algorithms)) + pairs
    first = MappingProxyType({"sha1": bytes(20)})
    header = Event(0, EV_NO_ACTION, first, data + bytes([len(vendor)]) + vendor)
    events = [header]
    for _ in range(draw(st.integers(0, 6))):
        digests = {a.name: draw(st.binary(min_size=a.size, max_size=a.size)) for a in algorithms}
        pcr = draw(st.integers(0, 23))
        events.append(
            Event(pcr, draw(kinds), MappingProxyType(digests), draw(st.binary(max_size=20)))
        )
    log = Log(algorithms, tuple(events), 0, is_crypto_agile=True)
    return Log(algorithms, tuple(events), len(eventlog.serialise(log)), is_crypto_agile=True)


@given(logs())
def test_logs_survive(log: Log) -> None:
    data = eventlog.serialise(log)
    assert eventlog.parse(data) == log
    assert eventlog.parse(data + b"\xff" * 9) == log
    assert [found.log for found in eventlog.find_logs(b"junk" + data + b"\xff" * 40)] == [log]


@given(logs())
def test_replay_is_the_plain_definition(log: Log) -> None:
    for number, bank in NAMES.items():
        if bank not in log.banks:
            continue
        values = dict.fromkeys(range(17, 23), b"\xff" * KNOWN[number])
        for event in log.events:
            if event.type != EV_NO_ACTION:
                old = values.get(event.pcr, bytes(KNOWN[number]))
                values[event.pcr] = hashlib.new(bank, old + event.digests[bank]).digest()
        touched = {event.pcr for event in log.events if event.type != EV_NO_ACTION}
        assert eventlog.replay(log, bank) == {pcr: values[pcr] for pcr in touched}


@given(logs(), st.data())
@settings(max_examples=400)
def test_damaged_logs_raise_only_our_errors(log: Log, data: st.DataObject) -> None:
    changed = bytearray(eventlog.serialise(log))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.sampled_from([0, 1, 3, 4, 11, 23, 24, 127, 255]))
    damaged = bytes(changed[: data.draw(st.integers(0, len(changed)))])
    with suppress(FormatError):
        found = eventlog.parse_prefix(damaged)
        assert eventlog.serialise(found) == damaged[: found.size]
        assert all(describe(event).isprintable() for event in found.events)
        for bank in found.banks:
            eventlog.replay(found, bank)
    with suppress(FormatError):
        assert eventlog.parse(damaged).events == found.events
    for offset, other in eventlog.find_logs(damaged):
        assert eventlog.serialise(other) == damaged[offset : offset + other.size]


@given(st.binary(max_size=300), kinds, st.integers(0, 23))
def test_any_data_are_told_on_one_line(data: bytes, kind: int, pcr: int) -> None:
    assert describe(Event(pcr, kind, MappingProxyType({}), data)).isprintable()
