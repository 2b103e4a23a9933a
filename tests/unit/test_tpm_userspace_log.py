"""systemd's log of measurements, components of systemd-pcrlock, and event logs in JSON."""

from __future__ import annotations

import hashlib
import json
import lzma
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import cel, eventlog, pcrlock
from sysgraft.formats import tpm_userspace_log as log
from sysgraft.formats.eventlog import Event
from sysgraft.formats.tpm_userspace_log import Record
from sysgraft.lab import answers

ASSETS: Final = Path(__file__).parents[1] / "assets/lab"
DIGESTS: Final = {bank: hashlib.new(bank, b"ready").digest() for bank in log.BANKS}
CONTENT: Final = {"string": "ready", "eventType": "phase", "timestamp": 1}
READY: Final = Record(11, None, DIGESTS, "systemd", CONTENT)
FIELDS: Final[dict[str, Any]] = {
    "pcr": 11,
    "digests": [{"hashAlg": bank, "digest": digest.hex()} for bank, digest in DIGESTS.items()],
    "content_type": "systemd",
    "content": CONTENT,
}


def asset(name: str) -> bytes:
    return lzma.decompress((ASSETS / f"{name}.xz").read_bytes())


def written(**changes: object) -> bytes:
    """A record with other fields; None leaves one out."""
    fields = {k: v for k, v in {**FIELDS, **changes}.items() if v is not None}
    return b"\x1e" + json.dumps(fields).encode() + b"\n"


# --- The log -------------------------------------------------------------------------------------


def test_a_log_of_systemd_257() -> None:
    items, _ = answers.split(asset("debian-257.answers"))
    found = log.parse(items["userspace-log"])
    assert [(each.pcr, each.event_type) for each in found] == [
        (15, "machine-id"),
        (15, "filesystem"),
        (11, "phase"),
        (11, "phase"),
    ]
    assert [each.text for each in found][2:] == ["sysinit", "ready"]
    assert found[3].digests == DIGESTS
    assert {each.content_type for each in found} == {"systemd"}


def test_records() -> None:
    assert log.parse(b"") == ()
    assert log.parse(written() + written(content=None)) == (READY, replace(READY, content=None))
    (nv,) = log.parse(written(pcr=None, nv_index=0x1D10200))
    assert (nv.pcr, nv.nv_index, nv.text) == (None, 0x1D10200, "ready")
    (bare,) = log.parse(written(content_type=5, content="words"))
    assert (bare.content_type, bare.content, bare.text, bare.event_type) == ("", None, None, None)
    (odd,) = log.parse(written(content={"string": 5}))
    assert odd.text is None


def test_digests_of_banks_that_systemd_does_not_know_are_left_out() -> None:
    digests = [{"hashAlg": "sm3_256", "digest": "00"}, *FIELDS["digests"][:1]]
    (found,) = log.parse(written(digests=digests))
    assert list(found.digests) == ["sha1"]


PLACES: Final[tuple[object, ...]] = (None, 24, -1, True, "11", 11.0)
LISTS: Final[tuple[object, ...]] = (None, 5, {}, [5], [{}], [[]])
SHA1: Final = FIELDS["digests"][0]


@pytest.mark.parametrize(
    "data",
    [
        written()[1:],
        b"\n" + written(),
        written()[:-3],
        b"\x1e",
        b"\x1e[]",
        written() + b"\x1e",
        written().replace(b'"pcr": 11', b'"pcr": 11, "pcr": 12'),
        written().replace(b"1}", b"NaN}"),
        written().replace(b"1}", b"1e999}"),
        *(written(pcr=value) for value in PLACES),
        written(nv_index=5),
        written(pcr=None, nv_index=2**32 - 1),
        written(pcr=None, nv_index="5"),
        *(written(digests=value) for value in LISTS),
        written(digests=[SHA1, SHA1]),
        written(digests=[{**SHA1, "digest": "00"}]),
        written(digests=[{**SHA1, "digest": "x"}]),
        written(digests=[{**SHA1, "digest": 5}]),
        written(digests=[{**SHA1, "hashAlg": 5}]),
        written(digests=[{**SHA1, "hashAlg": "\ud800"}]),
    ],
)
def test_damaged_logs(data: bytes) -> None:
    with pytest.raises(FormatError):
        log.parse(data)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [{"hashAlg": f"x{number}", "digest": ""} for number in range(17)]
    assert len(log.parse(written(digests=many[:16]))) == 1
    with pytest.raises(LimitError, match="more than 16 digests"):
        log.parse(written(digests=many))
    with pytest.raises(LimitError, match="limit is 65536"):
        log.parse(written(content={"string": "x" * log.MAX_RECORD}))
    monkeypatch.setattr(log, "MAX_RECORDS", 2)
    assert len(log.parse(written() * 2)) == 2
    with pytest.raises(LimitError, match="2 records"):
        log.parse(written() * 3)
    monkeypatch.setattr(log, "MAX_LOG", 5)
    with pytest.raises(LimitError, match="limit is 5"):
        log.parse(written())


def test_the_first_texts_of_a_log() -> None:
    assert list(log.split(b"x\x1ea\x1eb\x1ec", most=2)) == [b"a", b"b"]
    assert list(log.split(b"no separator")) == []


# --- Components ----------------------------------------------------------------------------------


def test_a_component() -> None:
    bare = replace(READY, content_type="", content=None)
    nv = replace(bare, pcr=None, nv_index=7)
    text = pcrlock.render([READY, nv])
    assert json.loads(text) == {
        "records": [
            {"pcr": 11, "digests": FIELDS["digests"]},
            {"nv_index": 7, "digests": FIELDS["digests"]},
        ]
    }
    assert pcrlock.parse(text.encode()) == (bare, nv)
    assert pcrlock.render([]) == '{"records":[]}\n'
    assert pcrlock.parse(b"{}") == pcrlock.parse(b'{"records": []}\n') == ()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"records": {}}', b'{"records": [5]}', b'{"records": [{}]}', b"{} {}"]
)
def test_what_is_no_component(data: bytes) -> None:
    with pytest.raises(FormatError):
        pcrlock.parse(data)


def test_limits_of_components(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LimitError, match="4194305 bytes"):
        pcrlock.parse(b" " * (pcrlock.MAX_SIZE + 1))
    monkeypatch.setattr(pcrlock, "MAX_RECORDS", 1)
    pcrlock.parse(pcrlock.render([READY]).encode())
    with pytest.raises(LimitError, match="more than 1 records"):
        pcrlock.parse(pcrlock.render([READY] * 2).encode())


# --- An event log in JSON ------------------------------------------------------------------------


def test_an_event_log_in_json() -> None:
    firmware = eventlog.parse(asset("debian-257.log"))
    found = json.loads(cel.render(firmware, [READY]))
    measured = [event for event in firmware.events if event.is_measured]
    assert [each["recnum"] for each in found] == list(range(1, len(measured) + 2))
    assert found[0] == {
        "pcr": measured[0].pcr,
        "recnum": 1,
        "digests": [{"hashAlg": b, "digest": d.hex()} for b, d in measured[0].digests.items()],
        "content_type": "pcclient_std",
        "content": {
            "event_type": measured[0].type_name,
            "event_data": measured[0].data.hex(),
        },
    }
    assert found[-1] == {**FIELDS, "recnum": len(found)}
    assert json.loads(cel.render(None)) == []


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (4, "EV_SEPARATOR"),
        (0x8000_000A, "EV_EFI_PLATFORM_FIRMWARE_BLOB2"),
        (0x8000_000B, "EV_EFI_HANDOFF_TABLES"),
        (2, "2"),
        (0x13, "19"),
        (0x8000_000D, "2147483661"),
        (0xFFFF_FFFE, "4294967294"),
    ],
)
def test_types_are_named_as_systemd_pcrlock_does(number: int, name: str) -> None:
    firmware = eventlog.parse(asset("debian-257.log"))
    event = Event(0, number, {"sha1": bytes(20), "sm3_256": bytes(32)}, b"\xff")
    (found,) = cel.records(replace(firmware, events=(event,)))
    assert found["content"] == {"event_type": name, "event_data": "ff"}
    assert found["digests"] == [{"hashAlg": "sha1", "digest": "00" * 20}]


def test_a_bomb_is_refused() -> None:
    one = b'\x1e{"pcr":1,"digests":[],"content":{"a":[' + b"{}," * 20_000 + b"{}]}}\n"
    assert len(log.parse(one * 20)) == 20
    with pytest.raises(LimitError, match="objects, lists and commas"):
        log.parse(one * 40)


def test_content_that_is_not_systemds_is_left_out() -> None:
    nv = replace(READY, pcr=None, nv_index=7, content_type="else")
    (found,) = cel.records(None, [nv])
    assert list(found) == ["nv_index", "recnum", "digests"]
