"""TPM event logs: both forms, what is refused, where a log ends, what the PCRs become."""

from __future__ import annotations

import hashlib
import json
import lzma
import mmap
import struct
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from sysgraft.errors import (
    FormatError,
    LimitError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from sysgraft.formats import eventlog, eventlog_records
from sysgraft.formats.eventlog import Algorithm, Event

ASSETS = Path(__file__).parents[1] / "assets/eventlog"
SIZES = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
NUMBERS = {"sha1": 4, "sha256": 11, "sha384": 12, "sha512": 13}
SEPARATOR, IPL, NO_ACTION = 4, 13, 3


def spec_id(*algorithms: tuple[int, int], vendor: bytes = b"") -> bytes:
    data = b"Spec ID Event03\0" + struct.pack("<I4BI", 0, 0, 2, 0, 2, len(algorithms))
    pairs = b"".join(struct.pack("<HH", *each) for each in algorithms)
    return data + pairs + bytes([len(vendor)]) + vendor


def old_event(pcr: int, kind: int, data: bytes, digest: bytes = bytes(20)) -> bytes:
    return struct.pack("<II20sI", pcr, kind, digest, len(data)) + data


def new_event(pcr: int, kind: int, data: bytes, *digests: tuple[int, bytes]) -> bytes:
    listed = b"".join(struct.pack("<H", number) + digest for number, digest in digests)
    head = struct.pack("<III", pcr, kind, len(digests))
    return head + listed + struct.pack("<I", len(data)) + data


def header(*algorithms: tuple[int, int]) -> bytes:
    return old_event(0, NO_ACTION, spec_id(*algorithms))


def measured(pcr: int, data: bytes, *banks: str, kind: int = IPL) -> bytes:
    digests = [(NUMBERS[bank], hashlib.new(bank, data).digest()) for bank in banks]
    return new_event(pcr, kind, data, *digests)


SHA256 = (11, 32)
ONE = header(SHA256) + measured(11, b"one", "sha256")


@pytest.fixture(scope="module")
def real() -> bytes:
    return lzma.decompress((ASSETS / "ovmf-stub-257.bin.xz").read_bytes())


# --- Reading -------------------------------------------------------------------------------------


def test_a_log_has_the_layout_of_the_specification() -> None:
    data = bytes.fromhex(
        "00000000 03000000" + "00" * 20 + "25000000"
        "5370656320494420 4576656e74303300 00000000 00 02 00 02 02000000"
        "0400 1400 0b00 2000 00"
        "0b000000 0d000000 02000000"
        "0400" + "11" * 20 + "0b00" + "22" * 32 + "05000000 68656c6c6f"
    )
    log = eventlog.parse(data)
    assert log.algorithms == (Algorithm(4, 20), Algorithm(11, 32))
    assert log.banks == ("sha1", "sha256")
    assert log.size == len(data)
    assert log.is_crypto_agile
    first, second = log.events
    assert (first.pcr, first.type_name, first.is_measured) == (0, "EV_NO_ACTION", False)
    assert second == Event(11, 13, {"sha1": b"\x11" * 20, "sha256": b"\x22" * 32}, b"hello")
    assert (second.type_name, second.is_measured) == ("EV_IPL", True)
    assert eventlog.serialise(log) == data


def test_the_older_form_is_read() -> None:
    data = old_event(7, SEPARATOR, bytes(4), b"\x33" * 20) + old_event(8, IPL, b"grub", b"d" * 20)
    log = eventlog.parse(data)
    assert not log.is_crypto_agile
    assert log.banks == ("sha1",)
    assert [(e.pcr, e.type_name, e.digests["sha1"]) for e in log.events] == [
        (7, "EV_SEPARATOR", b"\x33" * 20),
        (8, "EV_IPL", b"d" * 20),
    ]
    assert eventlog.serialise(log) == data


def test_unknown_types_and_algorithms_keep_their_numbers() -> None:
    data = header((0x1234, 3), (0x27, 32)) + new_event(1, 0xABCD, b"", (0x1234, b"abc"))
    log = eventlog.parse(data)
    assert log.banks == ("0x1234", "sha3_256")
    assert log.events[1].type_name == "0x0000abcd"
    assert log.events[1].digests == {"0x1234": b"abc"}
    assert eventlog.serialise(log) == data
    with pytest.raises(UnsupportedError):
        eventlog.replay(log, "0x1234")


@pytest.mark.parametrize("unused", [b"\0", b"\xff"])
def test_space_that_is_not_used_is_not_read(unused: bytes) -> None:
    for length in (1, 31, 32, 33, 5000):
        for whole in (ONE, old_event(7, SEPARATOR, bytes(4))):
            assert eventlog.parse(whole + unused * length).size == len(whole)


@pytest.mark.parametrize(
    ("behind", "error", "reason"),
    [
        (b"\1", TruncatedError, "ends"),
        (new_event(24, IPL, b"", (11, bytes(32))), FormatError, "no PCR 24"),
        (new_event(1, IPL, b""), FormatError, "0 digests"),
        (new_event(1, IPL, b"", (11, bytes(32)), (11, bytes(32))), FormatError, "2 digests"),
        (new_event(1, IPL, b"", (4, bytes(20))), FormatError, "algorithm 0x0004"),
        (new_event(1, IPL, bytes((4 << 20) + 1), (11, bytes(32))), LimitError, "4194305 bytes"),
        (bytes(12) + b"\1", FormatError, "all zeros"),
    ],
)
def test_what_is_no_event_is_refused_or_ends_the_log(
    behind: bytes, error: type[FormatError], reason: str
) -> None:
    with pytest.raises(error, match=rf"event 2 at byte {len(ONE)}: .*{reason}") as caught:
        eventlog.parse(ONE + behind)
    assert type(caught.value) is error
    assert eventlog.parse_prefix(ONE + behind) == eventlog.parse(ONE)
    assert eventlog.parse_prefix(b"x" * 9 + ONE + behind, 9) == eventlog.parse(ONE)


def test_a_digest_twice_is_refused() -> None:
    twice = new_event(1, IPL, b"", (11, bytes(32)), (11, bytes(32)))
    with pytest.raises(FormatError, match="second"):
        eventlog.parse(header(SHA256, (4, 20)) + twice)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (spec_id(), LimitError),
        (spec_id(*[(number, 1) for number in range(100, 117)]), LimitError),
        (spec_id((11, 20)), FormatError),
        (spec_id((0x1234, 0)), FormatError),
        (spec_id((0x1234, 129)), FormatError),
        (spec_id((11, 32), (11, 32)), FormatError),
        (spec_id((11, 32))[:-1], FormatError),
        (spec_id((11, 32))[:-2], FormatError),
        (spec_id((11, 32)) + b"\0", FormatError),
        (spec_id((11, 32), vendor=b"abc")[:-1], FormatError),
        (spec_id()[:20], FormatError),
    ],
)
def test_wrong_headers_are_refused(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error) as caught:
        eventlog.parse(old_event(0, NO_ACTION, data))
    assert type(caught.value) is error


def test_vendor_information_is_kept() -> None:
    data = old_event(0, NO_ACTION, spec_id(SHA256, vendor=b"maker"))
    assert eventlog.serialise(eventlog.parse(data)) == data


def test_truncation_anywhere_is_refused(real: bytes) -> None:
    log = eventlog.parse(real)
    ends = [
        len(eventlog.serialise(replace(log, events=log.events[:count])))
        for count in range(1, len(log.events) + 1)
    ]
    assert ends[-1] == len(real)
    for length in range(1, len(real)):
        cut = real[:length]
        last = max((end for end in ends if end <= length), default=0)
        if last and not cut[last:].strip(b"\0"):  # as good as unused space
            assert eventlog.parse(cut).size == last
        else:
            with pytest.raises(TruncatedError):
                eventlog.parse(cut)
        if last:
            assert eventlog.parse_prefix(cut).size == last


def test_sizes_and_counts_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitError):
        eventlog.parse(bytes((16 << 20) + 1))
    monkeypatch.setattr(eventlog, "MAX_EVENTS", 10)
    assert len(eventlog.parse(header(SHA256) + measured(1, b"", "sha256") * 9).events) == 10
    data = header(SHA256) + measured(1, b"", "sha256") * 10
    with pytest.raises(LimitError, match="10 events"):
        eventlog.parse(data)
    assert len(eventlog.parse_prefix(data).events) == 10


def test_no_more_of_a_memory_is_read_than_a_log_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog_records, "MAX_LOG", len(ONE) + 5)
    assert eventlog.parse_prefix(ONE + measured(1, b"", "sha256")).size == len(ONE)


# --- Finding -------------------------------------------------------------------------------------


def test_logs_are_found_in_a_memory(tmp_path: Path, real: bytes) -> None:
    words = b"Spec ID Event03\0"  # as in the programs that write logs
    parts = [words, bytes(100), ONE, b"\xff" * 50, b"x", real, bytes(40), words, real[:5000], words]
    memory = b"".join(parts)
    places = [16 + 100, 16 + 100 + len(ONE) + 51]
    places.append(places[-1] + len(real) + 40 + 16)
    found = list(eventlog.find_logs(memory))
    assert [each.offset for each in found] == places
    assert found[0].log == eventlog.parse(ONE)
    assert found[1].log == eventlog.parse(real)
    assert found[2].log.events == found[1].log.events[: len(found[2].log.events)]
    (tmp_path / "ram").write_bytes(memory)
    with (tmp_path / "ram").open("rb") as file, mmap.mmap(
        file.fileno(), 0, access=mmap.ACCESS_READ
    ) as mapped:  # fmt: skip
        assert list(eventlog.find_logs(mapped)) == found


@pytest.mark.parametrize(
    "memory",
    [
        b"",
        b"Spec ID Event03\0",
        bytes(31) + b"Spec ID Event03\0",
        bytes(32) + b"Spec ID Event03\0" + bytes(100),
        old_event(0, 4, spec_id(SHA256)),  # not EV_NO_ACTION
        old_event(30, NO_ACTION, spec_id(SHA256)),
        old_event(0, NO_ACTION, b"\0" + spec_id(SHA256)),
        old_event(0, NO_ACTION, spec_id((11, 31))),
    ],
)
def test_the_words_alone_are_no_log(memory: bytes) -> None:
    assert not list(eventlog.find_logs(memory))


def test_old_logs_that_hold_the_words_are_passed_over() -> None:
    """Each event's data begin like a log: none of them is read as one, let alone to its end."""
    memory = old_event(1, SEPARATOR, b"Spec ID Event03\0") * 60_000
    read = Counted(memory)
    assert not list(eventlog.find_logs(read))
    assert read.bytes < 3 * len(memory)


class Counted(bytes):
    """Memory that knows how much of it was read."""

    bytes = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self.bytes += len(found)
        return found


@pytest.mark.parametrize(
    ("limit", "value", "sizes"),
    [
        ("MAX_PLACES", 3, [2, 2, 2]),
        ("MAX_LOGS", 2, [2, 2]),
        ("MAX_LOGS_EVENTS", 5, [2, 2, 1]),
        ("MAX_LOGS_SIZE", 1, [2]),
        ("MAX_EVENTS", 1, [1]),
    ],
)
def test_a_search_has_an_end(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, sizes: list[int]
) -> None:
    """What was found before is given; a log cut off by a limit is cut off between events."""
    monkeypatch.setattr(eventlog, limit, value)
    search = eventlog.find_logs(ONE * 4)
    found = [next(search) for _ in sizes]
    with pytest.raises(LimitError):
        next(search)
    assert [each.offset for each in found] == [number * len(ONE) for number in range(len(sizes))]
    assert [len(each.log.events) for each in found] == sizes


# --- PCR values ----------------------------------------------------------------------------------


def extend(bank: str, value: bytes, *data: bytes) -> bytes:
    for each in data:
        value = hashlib.new(bank, value + hashlib.new(bank, each).digest()).digest()
    return value


@pytest.mark.parametrize("bank", SIZES)
def test_events_are_extended_in_order(bank: str) -> None:
    banks = list(SIZES)
    log = eventlog.parse(
        header(*[(NUMBERS[each], SIZES[each]) for each in banks])
        + measured(11, b"a", *banks)
        + measured(4, b"b", *banks[::-1])
        + measured(11, b"c", *banks)
        + measured(5, b"not measured", *banks, kind=NO_ACTION)
    )
    assert eventlog.replay(log, bank) == {
        4: extend(bank, bytes(SIZES[bank]), b"b"),
        11: extend(bank, bytes(SIZES[bank]), b"a", b"c"),
    }
    assert list(eventlog.replay(log, bank)) == [4, 11]


def test_the_startup_locality_is_the_last_byte_of_pcr_0() -> None:
    locality = measured(0, b"StartupLocality\0\3", "sha256", kind=NO_ACTION)
    log = header(SHA256) + locality + measured(0, b"a", "sha256") + measured(1, b"a", "sha256")
    assert eventlog.replay(eventlog.parse(log), "sha256") == {
        0: extend("sha256", bytes(31) + b"\3", b"a"),
        1: extend("sha256", bytes(32), b"a"),
    }
    with pytest.raises(FormatError, match="locality"):
        eventlog.replay(eventlog.parse(log + locality), "sha256")


@pytest.mark.parametrize("data", [b"StartupLocality\0", b"StartupLocality\0\3\0", b"Startup"])
def test_other_words_are_no_startup_locality(data: bytes) -> None:
    log = header(SHA256) + measured(0, data, "sha256", kind=NO_ACTION) + measured(0, b"", "sha256")
    expected = {0: extend("sha256", bytes(32), b"")}
    assert eventlog.replay(eventlog.parse(log), "sha256") == expected


def test_dynamic_pcrs_begin_with_ones() -> None:
    log = header(SHA256) + b"".join(measured(pcr, b"", "sha256") for pcr in range(24))
    values = eventlog.replay(eventlog.parse(log), "sha256")
    for pcr in range(24):
        start = b"\xff" * 32 if 17 <= pcr <= 22 else bytes(32)
        assert values[pcr] == extend("sha256", start, b"")


def test_a_bank_or_digest_that_is_missing_is_named() -> None:
    log = eventlog.parse(header(SHA256, (4, 20)) + new_event(1, IPL, b"", (4, bytes(20))))
    with pytest.raises(FormatError, match="event 1 has no sha256"):
        eventlog.replay(log, "sha256")
    with pytest.raises(UsageError, match=r"sha384.*sha256, sha1"):
        eventlog.replay(log, "sha384")


def test_only_what_can_be_read_is_written() -> None:
    digest = MappingProxyType({"sha384": bytes(48)})
    log = eventlog.parse(ONE)
    with pytest.raises(UsageError):
        eventlog.serialise(replace(log, events=(log.events[0], Event(1, 1, digest, b""))))
    with pytest.raises(UsageError):
        eventlog.serialise(replace(log, events=(Event(1, 1, digest, b""),)))


@pytest.mark.parametrize("bank", SIZES)
def test_a_real_log_leads_to_what_the_tpm_held(real: bytes, bank: str) -> None:
    held = json.loads((ASSETS / "ovmf-stub-257.pcrs.json").read_text())[bank]
    log = eventlog.parse(real)
    assert log.banks == tuple(SIZES)
    untouched = {pcr: ("ff" if 17 <= pcr <= 22 else "00") * SIZES[bank] for pcr in range(24)}
    values = {pcr: value.hex() for pcr, value in eventlog.replay(log, bank).items()}
    del untouched[10]
    assert untouched | values == {int(pcr): value for pcr, value in held.items()}
    assert set(values) == {0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13}
