"""Targets: event logs, and what explains them."""

from __future__ import annotations

import functools
import json
import lzma
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from log_kit import boot_events, make_addon, make_log, make_uki, old_log, values_of
from log_kit import record as userspace_record
from seeds import ASSETS
from sysgraft.cli.pcr_explain import as_json as explained_json
from sysgraft.cli.pcr_predict import as_json as predicted_json
from sysgraft.errors import SysgraftError
from sysgraft.formats import (
    cel,
    eventlog,
    eventlog_events,
    tpm_userspace_log,
)
from sysgraft.lab import measured
from sysgraft.measure.hints import hints
from sysgraft.seal import approved
from sysgraft.seal.explanation import ExplainRequest, explain
from sysgraft.seal.prediction import BootRequest, predict
from sysgraft.seal.replay import replay_files
from target import File, Target

if TYPE_CHECKING:
    from collections.abc import Sequence

_SMALL_LOG: Final = 24_000


LOG: Final = File("log")


DOCUMENT: Final = File("approved.json")


@functools.cache
def boot() -> BootRequest:
    """A UKI with sidecars; the folder goes away with the process that made it."""
    folder = Path(File("x.efi").put(make_uki())).parent
    extra = folder / "extra"
    extra.mkdir()
    for name, data in (("a.raw", b"a"), ("c.cred", b"c"), ("d.addon.efi", make_addon(b"debug"))):
        (extra / name).write_bytes(data)
    return BootRequest(uki=str(folder / "x.efi"), extras=(str(extra),))


@functools.cache
def logs() -> Sequence[bytes]:
    """Event logs, of both forms, and a real one."""
    events = boot_events(boot())
    real = lzma.decompress((ASSETS / "eventlog/ovmf-stub-257.bin.xz").read_bytes())
    return (
        make_log(events),
        old_log(events),
        real[:_SMALL_LOG] if len(real) > _SMALL_LOG else real,
    )


def read_log(data: bytes) -> None:
    """An event log, what its events mean, and what it comes to."""
    log = eventlog.parse(data)
    assert eventlog.parse(eventlog.serialise(log)).events == log.events
    for event in log.events[:300]:
        eventlog_events.describe(event)
        eventlog.startup_locality(event)
    eventlog_events.secure_boot(log.events)
    for bank in log.banks:
        with_bank = eventlog.replay
        try:
            with_bank(log, bank)
        except SysgraftError:
            continue
    hints(log.events)
    json.dumps(cel.records(log))


def find_logs(data: bytes) -> None:
    """Logs anywhere in the memory of a guest."""
    memory = data
    for number, found in enumerate(eventlog.find_logs(memory)):
        assert found.log.size <= len(data)
        if number > 50:
            break


def search_memory(data: bytes) -> None:
    """What the lab makes of a guest's memory."""
    measured.search(data, {"sha256": dict.fromkeys(range(24), bytes(32))})


def read_userspace_log(data: bytes) -> None:
    """The log of systemd."""
    records = tpm_userspace_log.parse(data)
    json.loads(cel.render(None, records))
    for each in records:
        assert each.text is None or isinstance(each.text, str)


def replay(data: bytes) -> None:
    """``pcr replay``: firmware's log."""
    found = replay_files(LOG.put(data))
    assert found.ok in (True, False)


def explain_log(data: bytes) -> bool:
    """``pcr explain``: against files."""
    found = explain(ExplainRequest(log=LOG.put(data), boot=boot()))
    json.dumps(explained_json(found))
    return found.ok


@functools.cache
def _further() -> tuple[str, str, tuple[str, ...]]:
    """Systemd's log, values of a TPM, and files that may have been there before."""
    words = {11: ["enter-initrd", "leave-initrd"]}
    log = b"".join(userspace_record(11, word) for word in words[11])
    found = values_of(_good_log(), words)
    known = Path(File("old.raw").put(b"old"))
    (known.parent / "gone.cred").write_bytes(b"gone")
    return (
        File("userspace").put(log),
        File("values.json").put(json.dumps(found).encode()),
        (str(known.parent),),
    )


def explain_more(data: bytes) -> bool:
    """``pcr explain``: with everything that may be at hand, about other files than there are."""
    userspace, tpm, known = _further()
    request = ExplainRequest(
        log=LOG.put(data), boot=boot(), userspace_log=userspace, values=tpm, known=known
    )
    found = explain(request)
    json.dumps(explained_json(found))
    return found.ok


@functools.cache
def other_logs() -> Sequence[bytes]:
    """Of boots with other sidecars, another command line, another image."""
    made = [_good_log()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "x.efi").write_bytes(make_uki(cmdline=b"other"))
        for number, files in enumerate(({"a.raw": b"old", "gone.cred": b"gone"}, {"b.raw": b"b"})):
            extra = folder / f"extra{number}"
            extra.mkdir()
            for file, data in files.items():
                (extra / file).write_bytes(data)
            requests = [
                BootRequest(uki=uki_, extras=(str(extra),))
                for uki_ in (boot().uki, str(folder / "x.efi"))
            ]
            made += [make_log(boot_events(request)) for request in requests]
    return tuple(made)


@functools.cache
def _good_log() -> bytes:
    return logs()[0]


@functools.cache
def _log_file() -> str:
    return File("good-log").put(_good_log())


def explain_document(data: bytes) -> bool:
    """``pcr explain``: against a document that somebody wrote."""
    approved.parse(data)
    found = explain(ExplainRequest(log=_log_file(), approved=(DOCUMENT.put(data),)))
    json.dumps(explained_json(found))
    return found.ok


@functools.cache
def documents() -> Sequence[bytes]:
    """Predictions."""
    found = {"schema": approved.SCHEMA, **predicted_json(predict(boot(), banks=("sha256",)))}
    # Where the files are is different in every process.
    text = json.dumps(found).replace(os.path.dirname(boot().uki), "/boot")
    return (text.encode(),)


TARGETS: Final = (
    Target(name="eventlog", seeds=logs, read=read_log, weight=30),
    Target(
        name="eventlog-in-memory",
        seeds=lambda: (bytes(5000) + logs()[0] + bytes(3000) + logs()[1],),
        read=find_logs,
        tokens=(b"Spec ID Event03\0", b"StartupLocality\0"),
        weight=10,
    ),
    Target(
        name="guest-memory",
        seeds=lambda: (bytes(2000) + logs()[0] + bytes(500),),
        read=search_memory,
        tokens=(b"Spec ID Event03\0",),
        weight=5,
    ),
    Target(
        name="userspace-log",
        seeds=lambda: (
            b"".join(userspace_record(11, word) for word in ("enter-initrd", "leave-initrd")),
            userspace_record(15, "file-system:/:x", "filesystem", digest_of="y"),
        ),
        read=read_userspace_log,
        tokens=(b"\x1e", b'"pcr"', b'"nv_index"', b'"digests"', b'"hashAlg"', b'"content_type"'),
        weight=20,
    ),
    Target(name="pcr-replay", seeds=logs, read=replay, weight=8),
    Target(name="pcr-explain", seeds=lambda: logs()[:1], read=explain_log, weight=5),
    Target(
        name="pcr-explain-document",
        seeds=documents,
        read=explain_document,
        tokens=(b'"events"', b'"sets"', b'"digests"', b'"pcr"', b'"files"', b'"sha256"', b'"type"'),
        weight=8,
    ),
    Target(name="pcr-explain-more", seeds=other_logs, read=explain_more, weight=3),
)
