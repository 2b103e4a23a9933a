"""What event logs lead to, and whether the TPM's values bear them out."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING

import pytest

import log_kit
from log_kit import BOTH, hashed, make_log, record, values_of, write
from sysgraft.errors import FormatError, InputError, LimitError, TruncatedError, UsageError
from sysgraft.formats import device_path, eventlog, pcr_values, tpm_userspace_log
from sysgraft.formats.eventlog import Event
from sysgraft.measure.later import explain
from sysgraft.seal.log_files import read_log, read_userspace_log, read_values
from sysgraft.seal.replay import Replay, replay, replay_files

if TYPE_CHECKING:
    from pathlib import Path

IPL = 13


def event(pcr: int, text: str, banks: tuple[str, ...] = BOTH) -> Event:
    return Event(pcr, IPL, hashed(text.encode(), banks), text.encode())


LOG = make_log([event(11, "section"), event(12, "line"), event(4, "program"), event(13, "archive")])


def replayed(
    data: bytes = LOG, values: object = None, userspace: bytes | None = None, **more: object
) -> Replay:
    return replay(
        eventlog.parse(data),
        None if userspace is None else tpm_userspace_log.parse(userspace),
        None if values is None else pcr_values.parse(json.dumps(values).encode()),
        **more,  # type: ignore[arg-type]
    )


def statuses(found: Replay) -> dict[int, str]:
    return {each.pcr: each.status for each in found.checks if each.status != "same"}


# --- Values --------------------------------------------------------------------------------------


def test_a_log_is_replayed_in_all_banks() -> None:
    found = replayed()
    assert found.values.keys() == {"sha1", "sha256"}
    zeros, digest = bytes(32), hashlib.sha256(b"section").digest()
    assert found.values["sha256"][11] == hashlib.sha256(zeros + digest).digest()
    assert found.is_believable is None
    assert found.phases is None
    assert not found.not_computed


def test_systemds_log_goes_on_where_the_firmware_ends() -> None:
    words = ("enter-initrd", "leave-initrd")
    userspace = b"".join(record(11, word) for word in words)
    found = replayed(values=values_of(LOG, {11: words}), userspace=userspace)
    assert found.is_believable
    assert statuses(found) == {}
    assert found.phases == words
    assert found.firmware["sha256"][11] != found.values["sha256"][11]


@pytest.mark.parametrize(
    ("later", "phases"),
    [
        ({}, ()),
        ({11: ("enter-initrd",)}, ("enter-initrd",)),
        ({11: ("sysinit", "ready")}, ("sysinit", "ready")),
        ({11: ("enter-initrd", "storage-target-mode-start")}, None),
        ({12: ("os-separator",), 13: ("os-separator",), 7: ("os-separator",)}, ()),
    ],
)
def test_what_came_later_is_guessed(
    later: dict[int, tuple[str, ...]], phases: tuple[str, ...] | None
) -> None:
    found = replayed(values=values_of(LOG, later))
    assert found.is_believable
    assert statuses(found) == dict.fromkeys(sorted(later), "later")
    assert found.phases == (later.get(11, ()) if phases is None else phases)


def test_words_behind_the_end_of_systemds_log() -> None:
    found = replayed(
        values=values_of(LOG, {11: ("enter-initrd", "leave-initrd", "sysinit")}),
        userspace=record(11, "enter-initrd"),
    )
    assert found.is_believable
    assert found.phases == ("enter-initrd", "leave-initrd", "sysinit")


@pytest.mark.parametrize("pcr", [0, 4, 9, 11, 12, 13, 14])
def test_a_log_that_does_not_lead_to_the_values_is_not_believed(pcr: int) -> None:
    for later in ({pcr: ("something else",)}, {pcr: ("ready", "enter-initrd")}):
        found = replayed(values=values_of(LOG, later))
        assert statuses(found) == {pcr: "differs"}
        assert found.is_believable is False
        assert found.checks[pcr].banks == BOTH


def test_a_guess_has_to_hold_in_every_bank() -> None:
    values = values_of(LOG, {11: ("ready",)})
    values["sha1"]["11"] = values_of(LOG)["sha1"]["11"]
    assert statuses(replayed(values=values)) == {11: "differs"}


def test_an_event_taken_out_of_the_log_is_noticed() -> None:
    log = eventlog.parse(LOG)
    for place in range(1, len(log.events)):
        kept = [e for number, e in enumerate(log.events) if number not in (0, place)]
        found = replayed(make_log(kept), values_of(LOG))
        assert statuses(found) == {log.events[place].pcr: "differs"}


@pytest.mark.parametrize("pcr", [10, 15, 16, 17, 23])
def test_pcrs_of_the_running_system_are_in_no_firmware_log(pcr: int) -> None:
    found = replayed(values=values_of(LOG, {pcr: ("of its own",)}))
    assert statuses(found) == {pcr: "elsewhere"}
    assert found.is_believable


def test_a_pcr_of_the_running_system_that_its_log_tells_of_has_to_fit() -> None:
    values = values_of(LOG, {15: ("machine-id:1",)})
    right = replayed(values=values, userspace=record(15, "machine-id:1", "machine-id"))
    assert right.is_believable
    wrong = replayed(values=values, userspace=record(15, "machine-id:2", "machine-id"))
    assert statuses(wrong) == {15: "differs"}


def test_imas_first_measurement_is_known() -> None:
    values = values_of(LOG)
    joined = b"".join(bytes.fromhex(values["sha1"][str(pcr)]) for pcr in range(10))
    digest = b"sha1:\0" + hashlib.sha1(joined).digest()
    name = b"boot_aggregate\0"
    data = struct.pack("<I", len(digest)) + digest + struct.pack("<I", len(name)) + name
    for bank in BOTH:
        start = bytes.fromhex(values[bank]["10"])
        values[bank]["10"] = hashlib.new(bank, start + hashlib.new(bank, data).digest()).hexdigest()
    found = replayed(values=values)
    assert found.checks[10].words == ("boot_aggregate",)


def test_words_that_were_not_measured_are_told() -> None:
    found = replayed(userspace=record(15, "cryptsetup:x", "volume-key", digest_of="keyed"))
    assert any("something else than their words" in note for note in found.notes)
    assert not replayed(userspace=record(11, "ready")).notes


def test_no_words_lead_nowhere() -> None:
    values = {bank: {11: bytes(log_kit.SIZES[bank])} for bank in BOTH}
    assert explain(11, values, values) == ()


def test_values_of_some_pcrs_confirm_no_others() -> None:
    values = values_of(LOG)
    for bank in BOTH:
        del values[bank]["13"]
    del values["sha1"]["12"]
    found = replayed(values=values)
    assert found.is_believable
    assert not found.ok
    assert found.not_confirmed == {"sha1": (12, 13), "sha256": (13,)}
    assert found.checks[12].confirmed == ("sha256",)
    assert found.is_confirmed(12, "sha256")
    assert found.is_confirmed(12, "sha1") is False
    assert found.is_confirmed(13, "sha256") is False
    assert replayed().is_confirmed(13, "sha256") is None
    assert not replayed().not_confirmed
    # One bank is enough: a TPM need not have all that the log has.
    assert replayed(values={"sha256": values_of(LOG)["sha256"]}).ok


def test_what_the_tpm_denies_is_not_confirmed() -> None:
    found = replayed(values=values_of(LOG, {12: ("evil",)}))
    assert found.checks[12].confirmed == ()
    assert found.not_confirmed == {"sha1": (12,), "sha256": (12,)}
    assert replayed(values=values_of(LOG, {11: ("ready",)})).not_confirmed == {}


# --- Banks ---------------------------------------------------------------------------------------


def test_a_log_of_the_older_form() -> None:
    events = [event(11, "section"), event(7, "x")]
    found = replayed(log_kit.old_log(events), values_of(make_log(events)))
    assert found.values.keys() == {"sha1"}
    assert found.is_believable
    assert any("SHA-1 only" in note for note in found.notes)
    assert any("sha256" in note and "not compared" in note for note in found.notes)


def test_a_bank_that_an_event_lacks_cannot_be_computed() -> None:
    data = make_log([event(11, "a"), event(12, "b", ("sha256",))])
    found = replayed(data)
    assert found.values.keys() == {"sha256"}
    assert "sha1" in found.not_computed
    with pytest.raises(FormatError):
        replayed(data, banks=("sha1",))


def test_a_bank_that_python_does_not_know() -> None:
    extra = b"Spec ID Event03\0" + struct.pack("<I4BI", 0, 0, 2, 0, 2, 2)
    extra += struct.pack("<HHHH", 11, 32, 0x1234, 4) + b"\0"
    data = struct.pack("<II20sI", 0, 3, bytes(20), len(extra)) + extra
    data += struct.pack("<III", 11, IPL, 2) + struct.pack("<H", 11) + b"d" * 32
    data += struct.pack("<H", 0x1234) + b"four" + struct.pack("<I", 0)
    found = replayed(data)
    assert found.values.keys() == {"sha256"}
    assert found.not_computed.keys() == {"0x1234"}


def test_only_some_banks() -> None:
    assert replayed(banks=("sha1",)).values.keys() == {"sha1"}
    with pytest.raises(UsageError):
        replayed(banks=("sha512",))


def test_no_bank_in_common() -> None:
    values = {"sha384": {"11": "00" * 48}}
    with pytest.raises(UsageError, match="nothing to compare"):
        replayed(values=values)


# --- Files ---------------------------------------------------------------------------------------


def test_values_as_the_kernel_shows_them(tmp_path: Path) -> None:
    values = values_of(LOG, {11: ("ready",)})
    for bank, found in values.items():
        for pcr, value in found.items():
            write(tmp_path, f"pcr-{bank}/{pcr}", f"{value.upper()}\n")
    write(tmp_path, "pcr-sha256/power", "not a number\n")
    (tmp_path / "pcr-sha999").mkdir()
    (tmp_path / "pcr-sha384").mkdir()
    assert read_values(str(tmp_path)) == pcr_values.parse(json.dumps(values).encode())
    write(tmp_path, "log", LOG)
    result = replay_files(str(tmp_path / "log"), values=str(tmp_path))
    assert result.phases == ("ready",)


@pytest.mark.parametrize("content", ["", "no hex\n", "00" * 31, "00" * 33, "\0" * 40, "00" * 4096])
def test_what_is_no_value_is_refused(content: str, tmp_path: Path) -> None:
    write(tmp_path, "pcr-sha256/11", content)
    with pytest.raises(FormatError):
        read_values(str(tmp_path))


def test_a_folder_without_values(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no PCR values"):
        read_values(str(tmp_path))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"pcrs": []}',
        b'{"pcrs": {}}',
        b'{"sha255": {"1": "00"}}',
        b'{"sha256": []}',
        b'{"sha256": {"24": "%s"}}' % (b"00" * 32),
        b'{"sha256": {"01": "%s"}}' % (b"00" * 32),
        b'{"sha256": {"-1": "%s"}}' % (b"00" * 32),
        '{"sha256": {"²": "00"}}'.encode(),
        b'{"sha256": {"1": "00"}}',
        b'{"sha256": {"1": 5}}',
        b'{"sha256": {"1": "00", "1": "00"}}',
        b'{"sha256": {"%s": "00"}}' % (b"9" * 5000),
    ],
)
def test_documents_that_are_no_values_are_refused(document: bytes) -> None:
    with pytest.raises(FormatError):
        pcr_values.parse(document)


def test_values_of_a_report() -> None:
    report = {"schema": "sysgraft.lab.run/1", "pcrs": values_of(LOG), "serial": {}}
    assert pcr_values.parse(json.dumps(report).encode())["sha256"][12] != bytes(32)


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcr_values, "MAX_SIZE", 10)
    with pytest.raises(LimitError):
        pcr_values.parse(b'{"sha256": {}}')


def test_a_bomb_is_refused_and_a_long_journal_is_read() -> None:
    with pytest.raises(LimitError, match="objects, lists and commas"):
        pcr_values.parse(b'{"pcrs": [' + b"{}," * 300_000 + b"{}]}")
    report = {"serial": ',{[\\"' * 300_000, "pcrs": values_of(LOG)}
    assert pcr_values.parse(json.dumps(report).encode())["sha256"][12] != bytes(32)


def test_logs_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "log", LOG[:-1])
    with pytest.raises(TruncatedError) as caught:
        read_log(str(path))
    assert caught.value.file == str(path)
    for data in (b"", b"\0" * 100, b"no log at all, but long enough for one event" * 9):
        with pytest.raises(FormatError):
            read_log(str(write(tmp_path, "log", data)))
    with pytest.raises(InputError, match="regular"):
        read_log(str(tmp_path))
    with pytest.raises(InputError):
        read_log(str(tmp_path / "none"))
    with pytest.raises(FormatError):
        read_userspace_log(str(write(tmp_path, "u", b"{}")))
    monkeypatch.setattr(eventlog, "MAX_LOG", 100)
    with pytest.raises(LimitError):
        read_log(str(write(tmp_path, "log", LOG)))


# --- Device paths --------------------------------------------------------------------------------


def test_the_file_of_an_image_event() -> None:
    data = log_kit.image_event("\\EFI\\Linux\\x.efi")
    assert device_path.loaded_file(data) == "\\EFI\\Linux\\x.efi"
    assert device_path.last_name(device_path.loaded_file(data)) == "x.efi"
    for length in range(len(data)):
        device_path.loaded_file(data[:length])


def test_the_kernel_that_a_stub_hands_to_the_firmware() -> None:
    # As an event log of systemd-stub 257 has it.
    node = bytes.fromhex("04031400f8d1c555cd04b5468a20e56cbb3052d07fff0400")
    assert device_path.file_of(node) == device_path.KERNEL
    assert device_path.file_of(node[:10]) == ""
    assert device_path.file_of(bytes.fromhex("04030400") * 1000) == ""
    assert device_path.file_of(bytes(100)) == ""
