"""Event logs of boots that never were: made of what a prediction says they would measure."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Final

from executables import make_pe
from sysgraft.formats import eventlog
from sysgraft.formats.eventlog import Algorithm, Event, Log
from sysgraft.measure.pcr import BANKS
from sysgraft.seal.prediction import BootRequest, predict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sysgraft.measure import events

SIZES: Final = {"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
BOTH: Final = ("sha1", "sha256")


def make_uki(
    *, version: str = "262.1", cmdline: bytes = b"quiet", more: Sequence[tuple[str, bytes]] = ()
) -> bytes:
    """A small UKI."""
    return make_pe(
        [
            (".text", b"\xc3"),
            (".sdmagic", f"#### LoaderInfo: systemd-stub {version} ####\0".encode()),
            (".osrel", b"ID=test\nVERSION_ID=1\n"),
            (".cmdline", cmdline),
            (".linux", b"MZ kernel"),
            (".initrd", b"070701"),
            *more,
        ]
    )


def make_addon(cmdline: bytes) -> bytes:
    """An addon with a command line."""
    return make_pe([(".text", b"\xc3"), (".cmdline", cmdline)])


def image_event(path: str) -> bytes:
    """The data of an event that tells of a program, loaded from this file."""
    name = (path + "\0").encode("utf-16-le")
    nodes = struct.pack("<BBH", 4, 4, 4 + len(name)) + name + struct.pack("<BBH", 0x7F, 0xFF, 4)
    return struct.pack("<QQQQ", 0x1000, 4096, 0, len(nodes)) + nodes


def hashed(data: bytes, banks: Sequence[str]) -> dict[str, bytes]:
    return {bank: hashlib.new(bank, data).digest() for bank in banks}


def header(banks: Sequence[str]) -> Event:
    """The first event of a log with these banks."""
    data = b"Spec ID Event03\0" + struct.pack("<I4BI", 0, 0, 2, 0, 2, len(banks))
    data += b"".join(struct.pack("<HH", BANKS[bank], SIZES[bank]) for bank in banks) + b"\0"
    return Event(0, eventlog.EV_NO_ACTION, {"sha1": bytes(20)}, data)


def as_logged(event: events.Event) -> Event:
    """How the firmware writes down what was predicted."""
    data = event.data
    if event.component == "program":
        data = image_event(f"\\EFI\\Linux\\{event.name}")
    return Event(event.pcr, event.type, event.digests, data)


def make_log(measured: Iterable[Event], banks: Sequence[str] = BOTH) -> bytes:
    """A crypto-agile log of these events."""
    algorithms = tuple(Algorithm(BANKS[bank], SIZES[bank]) for bank in banks)
    return eventlog.serialise(Log(algorithms, (header(banks), *measured), 0, is_crypto_agile=True))


def old_log(measured: Iterable[Event]) -> bytes:
    """A log of the older form."""
    kept = tuple(Event(e.pcr, e.type, {"sha1": e.digests["sha1"]}, e.data) for e in measured)
    return eventlog.serialise(Log((Algorithm(4, 20),), kept, 0, is_crypto_agile=False))


def boot_events(request: BootRequest, banks: Sequence[str] = BOTH) -> list[Event]:
    """What the firmware's log would have of such a boot."""
    (only,) = predict(request, banks=banks).sets
    return [as_logged(each) for each in only.events]


def values_of(
    data: bytes, later: Mapping[int, Sequence[str]] | None = None
) -> dict[str, dict[str, str]]:
    """What the TPM holds after a log, and after words that were measured later."""
    log = eventlog.parse(data)
    found = {}
    for bank in log.banks:
        values = {pcr: bytes(SIZES[bank]) for pcr in range(24)}
        values |= dict.fromkeys(range(17, 23), b"\xff" * SIZES[bank])
        values |= eventlog.replay(log, bank)
        for pcr, words in (later or {}).items():
            for word in words:
                digest = hashlib.new(bank, word.encode()).digest()
                values[pcr] = hashlib.new(bank, values[pcr] + digest).digest()
        found[bank] = {str(pcr): value.hex() for pcr, value in values.items()}
    return found


def record(pcr: int, word: str, kind: str = "phase", *, digest_of: str | None = None) -> bytes:
    """A record of systemd's log."""
    digests = hashed((digest_of or word).encode(), BOTH)
    fields = {
        "pcr": pcr,
        "digests": [{"hashAlg": bank, "digest": value.hex()} for bank, value in digests.items()],
        "content_type": "systemd",
        "content": {"string": word, "eventType": kind},
    }
    return b"\x1e" + json.dumps(fields).encode() + b"\n"


def write(folder: Path, name: str, content: bytes | str | dict[str, dict[str, str]]) -> Path:
    """A file in a folder, which is made if need be."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
