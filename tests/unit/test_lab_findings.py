"""What is made of a run: serial output, QEMU's events, the probe's answers, PCRs and event logs.

The assets are of one real boot, a Debian 13 with Secure Boot on and one extension.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sysgraft.base.progress import NoProgress
from sysgraft.errors import ToolError
from sysgraft.formats import eventlog
from sysgraft.formats.eventlog_events import secure_boot
from sysgraft.lab import afterwards, answers, measured, run, serial, watch
from sysgraft.lab.control import Control
from sysgraft.lab.memory import guest_memory
from sysgraft.lab.report import Banks, EventLog, Later, Merged
from sysgraft.measure.pcr11 import PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator

ASSETS = Path(__file__).parents[1] / "assets/lab"


def asset(name: str) -> bytes:
    return lzma.decompress((ASSETS / f"{name}.xz").read_bytes())


ANSWERS = asset("debian-257.answers")
LOG = eventlog.parse(asset("debian-257.log"))
PCRS: Banks = {
    bank: {int(pcr): bytes.fromhex(value) for pcr, value in values.items()}
    for bank, values in json.loads((ASSETS / "debian-257.pcrs.json").read_text()).items()
}


# --- The serial port -----------------------------------------------------------------------------

REFUSAL = (
    b'\x1b[2J\x1b[01;01HBdsDxe: loading Boot0001 "UEFI Misc Device" from PciRoot(0x0)\r\n'
    b'BdsDxe: failed to load Boot0001 "UEFI Misc Device" from PciRoot(0x0): Access Denied\r\n'
    b"BdsDxe: No bootable option or device was found.\r\n"
)


def listen(*pieces: bytes) -> serial.SerialLog:
    file = io.BytesIO()
    log = serial.SerialLog(file)
    for piece in pieces:
        end = file.tell()
        file.write(piece)
        file.seek(end)
        assert log.read() is bool(piece)
    return log


def listen_on(log: serial.SerialLog, piece: bytes) -> serial.SerialLog:
    file = log._file
    place = file.tell()
    file.write(piece)
    file.seek(place)
    log.read()
    return log


def test_a_refusal_has_the_firmwares_words() -> None:
    assert listen(REFUSAL).refusal == "Access Denied"


def test_a_refusal_is_heard_in_pieces_of_any_size() -> None:
    for size in (1, 7, 80):
        pieces = [REFUSAL[at : at + size] for at in range(0, len(REFUSAL), size)]
        assert listen(*pieces).refusal == "Access Denied"


def test_the_firmwares_shell_means_that_nothing_else_started() -> None:
    log = listen(
        b'BdsDxe: failed to load Boot0001 "x" from y: Unsupported\r\n'
        b'BdsDxe: starting Boot0002 "EFI Internal Shell" from Fv(7CB8BDC9)\r\n'
    )
    assert log.refusal == "Unsupported"
    assert listen(b"BdsDxe: No bootable option or device was found.").refusal == (
        "nothing to boot was found"
    )


def test_a_failure_alone_is_no_refusal() -> None:
    """Another boot option may follow."""
    assert listen(REFUSAL[: REFUSAL.index(b"BdsDxe: No")]).refusal is None


def test_a_panic_has_the_kernels_words() -> None:
    log = listen(b"x" * 5000, b"[    2.1] Kernel panic - not sync", b"ing: no init\r\n", b"trace")
    assert (log.panic, log.refusal) == ("no init", None)


def test_too_much_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial, "MAX_SERIAL", 100)
    assert listen(b"x" * 60, b"y" * 60).data == b"x" * 60 + b"y" * 40


def test_a_panic_without_end_is_cut_off() -> None:
    """Each of the words begins a panic; they are not all read to the end."""
    assert listen(b"Kernel panic - not syncing: " + b"x" * 5000).panic == "x" * 400
    said = b"Kernel panic - not syncing: " * (serial.MAX_SERIAL // 28)
    assert listen(said).panic == said[28:428].decode()
    assert listen(b"Kernel panic - not syncing: \xff\n").panic == "\ufffd"
    failed = b"BdsDxe: failed to load Boot0001 : A" * (serial.MAX_SERIAL // 40)
    assert listen(failed, REFUSAL).refusal == "Access Denied"


@pytest.mark.parametrize(
    "said", [b"Linux version 6.12.1 (x)\n", b"\r\n[    0.000000] x\n", b"\n[12345.000001] "]
)
def test_the_firmwares_words_are_not_a_kernels(said: bytes) -> None:
    for size in (1, 30, 10_000):
        data = b"EFI stub: x\n" + said + REFUSAL
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        log = listen(*pieces)
        assert log.refusal is None
        log.restart()
        assert listen_on(log, REFUSAL).refusal == "Access Denied"
    assert listen(b"EFI stub: [1.0] Linux version\n" + REFUSAL).refusal == "Access Denied"


def test_text_is_without_commands_to_a_terminal() -> None:
    assert serial.readable(REFUSAL[:30]) == "BdsDxe: loading Bo"
    commands = b"a\x1b]104\x07b\x1b[!pc\x1b[?7hd\x1bce\x1bP+q\x1b\\f\x1b(Bg\r\nh\x00i\tj\xffk"
    assert serial.readable(commands) == "abcdefg\nhi\tj\ufffdk"


# --- QEMU's control channel ----------------------------------------------------------------------

GREETING = {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": []}}


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, Control]]:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        yield theirs, Control(ours)


def send(channel: socket.socket, *messages: object) -> None:
    channel.sendall(b"".join(json.dumps(each).encode() + b"\r\n" for each in messages))


def test_a_greeting_is_answered_and_tells_the_version(
    channel: tuple[socket.socket, Control],
) -> None:
    theirs, control = channel
    send(theirs, GREETING)
    assert control.events(1) == []
    assert control.version == "7.2.22"
    assert json.loads(theirs.recv(1000))["execute"] == "qmp_capabilities"
    send(theirs, {"return": {}}, {"event": "RTC_CHANGE"}, {"event": "SHUTDOWN"})
    assert [each["event"] for each in control.events(1)] == ["RTC_CHANGE", "SHUTDOWN"]


def test_an_event_in_two_pieces_is_one(channel: tuple[socket.socket, Control]) -> None:
    theirs, control = channel
    theirs.sendall(b'{"event": "STO')
    assert control.events(1) == []
    theirs.sendall(b'P"}\r\n')
    assert control.events(1) == [{"event": "STOP"}]
    assert control.events(0) == []
    assert control.is_open


def test_an_end_is_seen(channel: tuple[socket.socket, Control]) -> None:
    theirs, control = channel
    theirs.close()
    assert control.events(1) == []
    assert not control.is_open


@pytest.mark.parametrize("data", [b"hello\n", b"[]\n", b"\xff\n", b"x" * (2 << 20)])
def test_what_is_not_qmp_is_an_error(data: bytes) -> None:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        control = Control(ours)
        sent = 0
        with pytest.raises(ToolError, match="QEMU"):
            while sent < len(data):
                sent += theirs.send(data[sent : sent + 10_000])
                control.events(1)


def test_a_restart_is_reset_and_continue(channel: tuple[socket.socket, Control]) -> None:
    theirs, control = channel
    control.restart()
    sent = [json.loads(line) for line in theirs.recv(10_000).splitlines()]
    assert [each["execute"] for each in sent] == [
        *("set-action", "system_reset", "set-action", "cont")
    ]
    assert [sent[0]["arguments"], sent[2]["arguments"]] == [
        {"reboot": "reset"},
        {"reboot": "shutdown"},
    ]


# --- How a run ends ------------------------------------------------------------------------------


class Process:
    """A QEMU that has ended already."""

    status = 1

    def wait(self, _: float) -> bool:
        return True

    def failure(self) -> ToolError:
        return ToolError("it ended")


def watched(
    channel: tuple[socket.socket, Control], said: bytes = b"", **settings: Any
) -> watch.End:
    return watch.Watch(
        process=Process(),  # type: ignore[arg-type]
        control=channel[1],
        serial=serial.SerialLog(io.BytesIO(said)),
        progress=NoProgress(),
        **{"timeout": 60.0, "reboots": 0, **settings},
    ).wait()


def shutdown(reason: str) -> dict[str, object]:
    return {"event": "SHUTDOWN", "data": {"guest": True, "reason": reason}}


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("guest-shutdown", "powered-off"),
        ("guest-reset", "reset"),
        ("guest-panic", "panicked"),
        ("host-signal", "reset"),
    ],
)
def test_the_guests_own_end(
    channel: tuple[socket.socket, Control], reason: str, ending: str
) -> None:
    send(channel[0], GREETING, shutdown(reason))
    assert watched(channel)[:2] == (ending, reason)


def test_restarts_are_granted_and_counted(channel: tuple[socket.socket, Control]) -> None:
    send(channel[0], GREETING, *[shutdown("guest-reset")] * 3)
    assert watched(channel, reboots=2).ending == "reset"
    assert channel[0].recv(10_000).count(b"system_reset") == 2
    send(channel[0], shutdown("guest-reset"), shutdown("guest-shutdown"))
    assert watched(channel, reboots=1).ending == "powered-off"


def test_a_panic_counts_more_than_the_restart_behind_it(
    channel: tuple[socket.socket, Control],
) -> None:
    said = b"Kernel panic - not syncing: no init\n"
    send(channel[0], shutdown("guest-reset"))
    assert watched(channel, said)[:2] == ("panicked", "no init")
    assert watched(channel, said)[:2] == ("panicked", "no init")


def test_a_refusal_ends_the_run(channel: tuple[socket.socket, Control]) -> None:
    assert watched(channel, REFUSAL)[:2] == ("refused", "Access Denied")


def test_a_file_that_grows_without_end_ends_the_run(
    channel: tuple[socket.socket, Control], tmp_path: Path
) -> None:
    (tmp_path / "results").write_bytes(bytes(4 << 20))
    written = watch.Written(str(tmp_path / "results"), 4 << 20, "to the results port")
    assert watched(channel, timeout=0.01, written=(written,)).ending == "timed-out"
    (tmp_path / "results").write_bytes(bytes((4 << 20) + 1))
    send(channel[0], shutdown("guest-shutdown"))
    end = watched(channel, written=(written,))
    assert end[:2] == ("stopped", "it wrote more than 4 MiB to the results port")


def test_the_firmware_is_heard_again_after_a_restart(
    channel: tuple[socket.socket, Control], monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts: list[bool] = []
    monkeypatch.setattr(serial.SerialLog, "restart", lambda _: restarts.append(True))
    send(channel[0], shutdown("guest-reset"), shutdown("guest-shutdown"))
    assert watched(channel, reboots=1).ending == "powered-off"
    assert restarts == [True]


def test_time_ends_the_run(channel: tuple[socket.socket, Control]) -> None:
    assert watched(channel, timeout=0.01)[:2] == ("timed-out", "after 0.01 seconds")


def test_an_emulator_that_ends_is_an_error(channel: tuple[socket.socket, Control]) -> None:
    channel[0].close()
    with pytest.raises(ToolError, match="it ended"):
        watched(channel)


# --- What the guest said -------------------------------------------------------------------------


def test_a_whole_guest() -> None:
    guest = answers.parse(ANSWERS)
    assert guest is not None
    assert guest.complete
    assert guest.kernel == "6.12.117+deb13-amd64"
    assert guest.os_release["PRETTY_NAME"] == "Debian GNU/Linux 13 (trixie)"
    assert guest.cmdline == "console=ttyS0 quiet systemd.show_status=no"
    assert (guest.secure_boot, guest.systemd) == (True, "257")
    assert guest.sysext == (Merged("/opt", ()), Merged("/usr", ("demo",)))
    assert guest.confext == (Merged("/etc", ()),)
    assert guest.failed_units == ()
    assert "Using extensions 'demo.sysext.raw'." in guest.journal
    assert guest.script is not None
    assert (guest.script.status, guest.script.output) == (0, b"from the script\n")
    assert guest.script.files == {"bytes": b"\xff\0"}


def test_a_guest_that_stopped_has_what_was_whole() -> None:
    whole = answers.parse(ANSWERS)
    assert whole is not None
    for length in range(len(ANSWERS) - len(b"end 0\n\n") + 1):
        guest = answers.parse(ANSWERS[:length])
        if guest is not None:
            assert not guest.complete
            assert guest.items.items() <= whole.items.items()
    assert answers.parse(ANSWERS[: len(ANSWERS) - 1]) == whole


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"noise",
        b"a 5\n1234",
        b"a 9999999999\nx",
        b"a -1\n\n",
        b"a\n1\n",
        b"\xff" * 100,
        b" 1\n" * 100,
    ],
)
def test_nothing_that_can_be_read_is_nothing_said(data: bytes) -> None:
    assert answers.parse(data) is None


@pytest.mark.parametrize(
    "item",
    [
        b"sysext 2\n{}\n",
        b"sysext 4\nnull\n",
        b"sysext 3\n[1]\n",
        b"sysext 20\n" + b"[" * 20 + b"\n",
        b'sysext 19\n[{"hierarchy":"/"}]\n',
        b"status 2\n-1\n",
        b"status 1\nx\n",
        b"status 4\n1000\n",
        b"status 5000\n" + b"9" * 5000 + b"\n",
        b"status 3\n1 2\n",
        "status 2\n\N{ARABIC-INDIC DIGIT ONE}\n".encode(),
        b"sysext 5000\n" + b"9" * 5000 + b"\n",
        b"sysext 100000\n" + b"[" * 100_000 + b"\n",
        b"systemd 5008\nsystemd " + b"9" * 5000 + b"\n",
        b"os-release 3\n'=x\n",
        b"secure-boot 1\n2\n",
        b"systemd 3\nxyz\n",
    ],
)
def test_answers_that_make_no_sense_are_not_known(item: bytes) -> None:
    guest = answers.parse(item + b"end 0\n")
    assert guest is not None
    assert guest.complete
    assert (guest.script, guest.secure_boot, guest.systemd) == (None, None, "")
    assert not guest.sysext


def test_the_last_of_two_answers_counts_and_endless_ones_do_not() -> None:
    guest = answers.parse(b"kernel 1\n1\nkernel 1\n2\nend 0\n")
    assert guest is not None
    assert guest.kernel == "2"
    many = b"".join(b"n%d 0\n\n" % number for number in range(answers.MAX_ITEMS + 10))
    items, complete = answers.split(many + b"end 0\n")
    assert (len(items), complete) == (answers.MAX_ITEMS, False)


# --- PCRs and event logs -------------------------------------------------------------------------


def records() -> tuple[afterwards.Record, ...]:
    items, _ = answers.split(ANSWERS)
    return (
        *afterwards.read_ima(items["ima-log"]),
        *afterwards.read_records(items["userspace-log"]),
    )


def extended(pcrs: Banks, pcr: int, data: bytes) -> Banks:
    """The values after one more measurement, in every bank."""
    result = {bank: dict(values) for bank, values in pcrs.items()}
    for bank, values in result.items():
        digest = hashlib.new(bank, data).digest()
        values[pcr] = hashlib.new(bank, values[pcr] + digest).digest()
    return result


def test_the_log_and_what_came_later_explain_every_bank() -> None:
    judged = measured.judge(LOG, PCRS, records())
    assert judged is not None
    assert judged.replays
    later = {each.pcr: each.words for each in judged.later}
    assert list(later) == [10, 11, 15]
    assert later[10][0] == "boot_aggregate"
    assert all(".ko" in name for name in later[10][1:])
    assert later[11] == ("sysinit", "ready")
    assert [word.partition(":")[0] for word in later[15]] == ["machine-id", "file-system"]
    assert secure_boot(LOG.events) is True


def test_without_the_guests_lists_only_phases_are_known() -> None:
    judged = measured.judge(LOG, PCRS)
    assert judged is not None
    assert judged.later == (Later(10), Later(11, ("sysinit", "ready")), Later(15))
    assert not judged.replays


@pytest.mark.parametrize("word", PHASES)
def test_further_phases_are_found(word: str) -> None:
    plain = {bank: dict(values) for bank, values in PCRS.items()}
    for bank, values in plain.items():
        values[11] = eventlog.replay(LOG, bank)[11]
    judged = measured.judge(LOG, extended(plain, 11, word.encode()))
    assert judged is not None
    assert Later(11, (word,)) in judged.later


def test_an_unknown_word_is_not_explained() -> None:
    judged = measured.judge(LOG, extended(PCRS, 11, b"ready"), records())
    assert judged is not None
    assert Later(11) in judged.later


@pytest.mark.parametrize("pcr", [12, 13, 14, 16, 23])
def test_any_other_pcr_may_be_extended_later(pcr: int) -> None:
    judged = measured.judge(LOG, extended(PCRS, pcr, b"x"), records())
    assert judged is not None
    assert Later(pcr) in judged.later
    assert not judged.replays


@pytest.mark.parametrize("pcr", range(8))
@pytest.mark.parametrize("bank", list(PCRS))
def test_a_log_that_does_not_explain_the_firmware_is_not_the_one(pcr: int, bank: str) -> None:
    other = extended(PCRS, pcr, b"x")
    assert measured.judge(LOG, {**PCRS, bank: other[bank]}, records()) is None


def test_a_log_with_a_digest_changed_in_one_bank_is_not_the_one() -> None:
    number = next(n for n, e in enumerate(LOG.events) if e.pcr == 4 and e.is_measured)
    event = LOG.events[number]
    digests = {**event.digests, "sha384": bytes(48)}
    events = (*LOG.events[:number], replace(event, digests=digests), *LOG.events[number + 1 :])
    assert measured.judge(replace(LOG, events=events), PCRS, records()) is None


def test_what_is_too_long_to_be_text_is_not_made_text() -> None:
    size = answers.MAX_TEXT + 1
    names = ("kernel", "cmdline", "os-release", "systemd", "sysext", "failed-units", "journal")
    data = b"".join(b"%s %d\n" % (name.encode(), size) + b"[" * size + b"\n" for name in names)
    guest = answers.parse(data + b"file:x %d\n" % size + bytes(size) + b"\nstatus 1\n3\nend 0\n")
    assert guest is not None
    assert (guest.kernel, guest.cmdline, guest.failed_units) == ("", "", ())
    assert guest.journal == "[" * answers.MAX_TEXT
    assert guest.script is not None
    assert (guest.script.status, guest.script.files) == (3, {"x": bytes(size)})


def test_halves_of_characters_can_be_written() -> None:
    text = b'[{"hierarchy": "/\\ud800", "extensions": ["\\udfff"]}]'
    guest = answers.parse(b"sysext %d\n" % len(text) + text + b"\nend 0\n")
    assert guest is not None
    assert guest.sysext == (Merged("/?", ("?",)),)


def test_a_record_needs_every_bank() -> None:
    """A digest in one bank may be anything in the others."""
    pcrs = extended({bank: dict(values) for bank, values in PCRS.items()}, 12, b"word")
    full = {bank: hashlib.new(bank, b"word").digest() for bank in pcrs}
    for lacking in pcrs:
        some = {bank: digest for bank, digest in full.items() if bank != lacking}
        assert afterwards.explain(12, PCRS, pcrs, (afterwards.Record(12, some, "word"),)) == ()
    record = afterwards.Record(12, full, "word")
    assert afterwards.explain(12, PCRS, pcrs, (record,)) == ("word",)


def test_a_log_without_a_bank_the_firmware_used_is_not_the_one() -> None:
    less = tuple(
        replace(e, digests={b: d for b, d in e.digests.items() if b != "sha256"})
        for e in LOG.events
    )
    algorithms = tuple(each for each in LOG.algorithms if each.name != "sha256")
    log = replace(LOG, algorithms=algorithms, events=less)
    assert measured.judge(log, PCRS, records()) is None
    unused = {**PCRS, "sha256": {pcr: bytes(32) for pcr in PCRS["sha256"]}}
    judged = measured.judge(log, unused)
    assert judged is not None
    assert [each.pcr for each in judged.later] == [10, 11, 15]


def written(text: object, measured_text: bytes) -> bytes:
    digests = [
        {"hashAlg": bank, "digest": hashlib.new(bank, measured_text).hexdigest()} for bank in PCRS
    ]
    fields = {"pcr": 11, "digests": digests, "content": {"string": text}}
    return b"\x1e" + json.dumps(fields).encode() + b"\n"


def test_a_records_words_are_held_to_its_digests() -> None:
    def texts(log: bytes) -> list[str]:
        return [each.text for each in afterwards.read_records(log)]

    assert texts(written("ready", b"ready")) == ["ready"]
    good, bad = written("ready", b"ready"), written("enter-initrd", b"something")
    assert texts(good + bad + good) == ["ready"]
    assert texts(written("\ud800", b"x")) == []
    assert texts(written("cryptsetup:root:1", b"with a key")) == ["cryptsetup:root:1"]
    assert texts(written("cryptsetup:\ud800", b"x")) == ["cryptsetup:?"]
    assert texts(written(None, b"x")) == ["without words"]


def test_lists_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    good = written("ready", b"ready")
    monkeypatch.setattr(afterwards, "MAX_RECORDS", 3)
    assert len(afterwards.read_records(good * 5)) == 3
    monkeypatch.setattr(afterwards, "MAX_LOG", 2 * len(good))
    assert len(afterwards.read_records(good * 5)) == 2
    monkeypatch.setattr(afterwards, "MAX_RECORD", len(good) - 2)
    assert afterwards.read_records(good) == ()


def test_a_wrong_list_explains_nothing() -> None:
    wrong = tuple(
        each._replace(digests={bank: digest[::-1] for bank, digest in each.digests.items()})
        for each in records()
    )
    judged = measured.judge(LOG, PCRS, wrong)
    assert judged is not None
    assert judged.later == (Later(10), Later(11, ("sysinit", "ready")), Later(15))


@pytest.mark.parametrize("template", [(), (b"",)], ids=["ima-ng", "ima-sig"])
def test_the_boot_aggregate_alone_is_recognised(template: tuple[bytes, ...]) -> None:
    digest = hashlib.sha256(b"".join(PCRS["sha256"][pcr] for pcr in range(10))).digest()
    fields = (b"sha256:\0" + digest, b"boot_aggregate\0", *template)
    data = b"".join(len(field).to_bytes(4, "little") + field for field in fields)
    plain = {bank: {**values, 10: bytes(len(values[10]))} for bank, values in PCRS.items()}
    judged = measured.judge(LOG, extended(plain, 10, data))
    assert judged is not None
    assert Later(10, ("boot_aggregate",)) in judged.later


def test_damaged_lists_end_early() -> None:
    items, _ = answers.split(ANSWERS)
    for name, read in (
        ("ima-log", afterwards.read_ima),
        ("userspace-log", afterwards.read_records),
    ):
        whole = read(items[name])
        for length in range(len(items[name])):
            assert whole[: len(read(items[name][:length]))] == read(items[name][:length])
    assert afterwards.read_records(b"no separator") == ()
    assert afterwards.read_records(b'\x1e{"nv_index": 1, "digests": []}') == ()


def test_a_violation_is_measured_as_ones() -> None:
    entry = (10).to_bytes(4, "little") + bytes(20) + (6).to_bytes(4, "little") + b"ima-ng"
    data = (1).to_bytes(4, "little") + b"x" + (2).to_bytes(4, "little") + b"f\0"
    (record,) = afterwards.read_ima(entry + len(data).to_bytes(4, "little") + data)
    assert (record.pcr, record.text) == (10, "f")
    assert record.digests["sha512"] == b"\xff" * 64


def test_a_log_that_does_not_begin_with_secure_boot_says_nothing_about_it() -> None:
    assert secure_boot(()) is None
    others = tuple(each for each in LOG.events if b"S\0e\0c\0u\0r\0e" not in each.data)
    assert secure_boot(others) is None


# --- The guest's memory --------------------------------------------------------------------------


def test_the_true_log_is_found_among_others_and_holes_stay_holes() -> None:
    data = eventlog.serialise(LOG)
    shorter = eventlog.serialise(replace(LOG, events=LOG.events[:-2]))
    with guest_memory(1024) as memory:
        places = (3 << 20, (700 << 20) + 17, (1023 << 20))
        half = data[: len(data) // 2]
        for place, each in zip(places, (shorter, data, half), strict=True):
            os.pwrite(memory.descriptor, each, place)
        before = os.fstat(memory.descriptor).st_blocks
        found, is_whole = measured.search(memory, PCRS, records())
        assert os.fstat(memory.descriptor).st_blocks == before
        assert len(memory) == 1024 << 20
        nothing, _ = measured.search(memory, extended(PCRS, 0, b"x"), records())
    assert found is not None
    assert found.log == LOG
    assert (nothing, is_whole) == (None, True)


def test_memory_without_a_log_has_none() -> None:
    with guest_memory(256) as memory:
        assert measured.search(memory, PCRS) == (None, True)
        os.pwrite(memory.descriptor, b"Spec ID Event03\0" * 3, 0)
        assert measured.search(memory, PCRS) == (None, True)


def test_a_log_many_times_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def judge(*arguments: Any) -> EventLog | None:
        judged.append(arguments)
        return EventLog(arguments[0], ())

    monkeypatch.setattr(measured, "judge", judge)
    data = eventlog.serialise(LOG)
    found, is_whole = measured.search(data * eventlog.MAX_LOGS, PCRS)
    assert (found, is_whole, len(judged)) == (EventLog(LOG, ()), True, 1)
    found, is_whole = measured.search(data * (eventlog.MAX_LOGS + 1), PCRS)
    assert (found, is_whole, len(judged)) == (EventLog(LOG, ()), False, 2)


def test_the_log_tells_whether_a_kernel_was_started() -> None:
    assert measured.left_firmware(LOG)
    number = next(n for n, e in enumerate(LOG.events) if e.data.endswith(b"with Success"))
    before = LOG.events[:number]
    assert not measured.left_firmware(replace(LOG, events=before))
    event = LOG.events[number]
    lies = (
        replace(event, pcr=6),
        replace(event, type=eventlog.EV_NO_ACTION),
        replace(event, digests={bank: bytes(len(d)) for bank, d in event.digests.items()}),
    )
    for lie in lies:
        assert not measured.left_firmware(replace(LOG, events=(*before, lie)))
    # Only the digest is in the PCR.
    assert measured.left_firmware(replace(LOG, events=(replace(event, data=b""),)))


def test_a_refusal_counts_if_the_tpm_agrees() -> None:
    end = watch.End("refused", "Access Denied", 1.5)
    refused = EventLog(replace(LOG, events=LOG.events[:5]), ())
    assert run.believed(end, refused) is end
    for log in (None, EventLog(LOG, ())):
        ending, reason, seconds = run.believed(end, log)
        assert (ending, seconds) == ("stopped", 1.5)
        assert reason == "only the serial port says that the firmware refused it: Access Denied"
    other = watch.End("powered-off", "guest-shutdown", 2.0)
    assert run.believed(other, None) is other
