"""``sysgraft pcr replay`` and ``sysgraft pcr explain`` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import log_kit
from command import Result, sysgraft
from log_kit import BOTH, make_addon, make_log, make_uki, record, values_of, write
from sysgraft.cli import pcr
from sysgraft.formats.eventlog import Event
from sysgraft.measure import events
from sysgraft.seal.prediction import BootRequest

SCHEMAS = Path(__file__).parents[2] / "docs/reference/schemas"
FILES = {"b.raw": b"bbb", "a.raw": b"aaa", "t.cred": b"t", "d.addon.efi": make_addon(b"debug")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an image, what lies beside it, and the log of booting it."""
    write(tmp_path, "x.efi", make_uki())
    for name, content in FILES.items():
        write(tmp_path, f"extra/{name}", content)
    request = BootRequest(uki=str(tmp_path / "x.efi"), extras=(str(tmp_path / "extra"),))
    write(tmp_path, "log", make_log(log_kit.boot_events(request)))
    return tmp_path


def files(place: Path) -> tuple[str | Path, ...]:
    return "--uki", place / "x.efi", "--extra", place / "extra"


def approve(place: Path) -> Path:
    result = sysgraft("pcr", "predict", *files(place), "--json")
    assert result.code == 0, result.err
    return write(place, "approved.json", result.out)


def document(result: Result) -> dict[str, Any]:
    """The JSON, which has to be what its schema says."""
    found = result.document
    name = found["schema"].replace("/", "-")
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    errors = [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(found)
    ]
    assert errors == []
    assert next(iter(found)) == "schema"
    return found


def test_both_are_verbs() -> None:
    assert {"replay", "explain"} <= {verb.name for verb in pcr.VERBS}
    for name in ("replay", "explain"):
        result = sysgraft("pcr", name, "--help")
        assert result.code == 0
        assert "examples:" in result.out


# --- replay --------------------------------------------------------------------------------------


def test_the_values_of_a_log(place: Path) -> None:
    result = sysgraft("pcr", "replay", place / "log", "--bank", "SHA256")
    assert result.code == 0
    values = values_of((place / "log").read_bytes())
    for number in (4, 11, 12, 13):
        assert values["sha256"][str(number)] in result.out
    assert values["sha1"]["11"] not in result.out
    assert "not known (--values)" in result.out


def test_events_are_listed(place: Path) -> None:
    userspace = write(place, "userspace", record(11, "enter-initrd"))
    result = sysgraft("pcr", "replay", place / "log", "--events", "--userspace-log", userspace)
    assert "System extension initrd" in result.out
    assert "enter-initrd" in result.out
    found = document(sysgraft("pcr", "replay", place / "log", "--events", "--json"))
    assert len(found["events"]) == found["log"]["events"] + 1
    assert document(sysgraft("pcr", "replay", place / "log", "--json"))["events"] is None


def test_values_the_log_leads_to(place: Path) -> None:
    later = {11: ("enter-initrd", "leave-initrd"), 13: ("os-separator",)}
    values = write(place, "values", values_of((place / "log").read_bytes(), later))
    result = sysgraft("pcr", "replay", place / "log", "--values", values)
    assert result.code == 0
    assert "enter-initrd, leave-initrd" in result.out
    found = document(sysgraft("pcr", "replay", place / "log", "--values", values, "--json"))
    assert (found["ok"], found["log"]["believable"]) == (True, True)
    assert found["log"]["phases"] == ["enter-initrd", "leave-initrd"]


def test_values_the_log_does_not_lead_to(place: Path) -> None:
    values = write(place, "values", values_of((place / "log").read_bytes(), {12: ("evil",)}))
    result = sysgraft("pcr", "replay", place / "log", "--values", values)
    assert result.code == 1
    assert "cannot be believed" in result.out
    assert "PCR 12  does NOT lead to the TPM's value" in result.out
    found = document(sysgraft("pcr", "replay", place / "log", "--values", values, "--json"))
    off = [each for each in found["log"]["checks"] if each["status"] == "differs"]
    assert [(each["pcr"], each["banks"]) for each in off] == [(12, ["sha1", "sha256"])]


def test_a_canonical_log(place: Path) -> None:
    userspace = write(place, "userspace", record(11, "enter-initrd"))
    for verb in ("replay", "explain"):
        result = sysgraft("pcr", verb, place / "log", "--userspace-log", userspace, "--cel")
        assert result.code == 0
        found = json.loads(result.out)
        assert [each["recnum"] for each in found] == list(range(1, len(found) + 1))
        assert found[-1]["content"]["string"] == "enter-initrd"


@pytest.mark.parametrize("verb", ["replay", "explain"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"no log", "ends at byte 6"),
        (bytes(17 << 20), "too large"),
        (b"\x0b\0\0\0\x0d\0\0\0" + bytes(20) + b"\xff\xff\xff\xff", "the limit is"),
    ],
)
def test_a_bad_log_is_bad_input(verb: str, data: bytes, said: str, place: Path) -> None:
    path = write(place, "bad", data)
    more = files(place) if verb == "explain" else ()
    result = sysgraft("pcr", verb, path, *more)
    assert result.code == 2
    assert said in result.err
    assert str(path) in result.err
    assert result.out == ""


def test_a_cut_log_is_bad_input(place: Path) -> None:
    whole = (place / "log").read_bytes()
    path = write(place, "bad", whole[:-3])
    result = sysgraft("pcr", "replay", path)
    assert result.code == 2
    assert "event" in result.err


@pytest.mark.parametrize("bank", ["md5", "sha384"])
def test_a_bank_that_is_not_there(bank: str, place: Path) -> None:
    assert sysgraft("pcr", "replay", place / "log", "--bank", bank).code == 2
    assert sysgraft("pcr", "explain", place / "log", *files(place), "--bank", bank).code == 2


# --- explain -------------------------------------------------------------------------------------


def test_all_is_as_approved(place: Path) -> None:
    approved = approve(place)
    for more in (files(place), ("--approved", approved)):
        result = sysgraft("pcr", "explain", place / "log", *more)
        assert result.code == 0, result.out + result.err
        assert result.out.count(" ok ") == 4
        assert result.out.count("not predicted") == 2
        assert document(sysgraft("pcr", "explain", place / "log", *more, "--json"))["ok"]


def test_the_file_is_named(place: Path) -> None:
    write(place, "extra/a.raw", b"approved")
    write(place, "extra/c.raw", b"missing")
    approved = approve(place)
    write(place, "known/2/a.raw", FILES["a.raw"])
    more = ("--approved", approved, "--known", place / "known", "--known", place / "extra")
    result = sysgraft("pcr", "explain", place / "log", *more)
    assert result.code == 1
    assert "PCR 13: System extension initrd" in result.out
    assert f"a.raw had another content ({place / 'known/2/a.raw'})" in result.out
    assert "c.raw was missing" in result.out
    found = document(sysgraft("pcr", "explain", place / "log", *more, "--json"))
    (off,) = [each for each in found["pcrs"] if each["findings"]]
    (finding,) = off["findings"]
    assert (off["pcr"], finding["explained"]) == (13, True)
    assert [each["kind"] for each in finding["files"]] == ["changed", "missing"]


def test_command_lines_are_shown_and_do_nothing_to_the_terminal(place: Path) -> None:
    approved = sysgraft("pcr", "predict", *files(place), "--cmdline", "ro quiet", "--json")
    path = write(place, "approved.json", approved.out)
    request = BootRequest(uki=str(place / "x.efi"), extras=(str(place / "extra"),))
    evil = events.wide("init=/bin/sh \x1b[2J\nPCR 12: ok")
    measured = [*log_kit.boot_events(request), Event(12, 13, log_kit.hashed(evil, BOTH), evil)]
    log = write(place, "log", make_log(measured))
    result = sysgraft("pcr", "explain", log, "--approved", path, "--pcr", "12")
    assert result.code == 1
    assert "\x1b" not in result.out
    assert "\nPCR 12: ok" not in result.out
    assert "approved is 'ro quiet'" in result.out
    found = document(sysgraft("pcr", "explain", log, "--approved", path, "--pcr", "12", "--json"))
    (finding,) = found["pcrs"][0]["findings"]
    assert finding["measuredText"].startswith("init=/bin/sh ")
    assert finding["approvedText"] == "ro quiet"


def test_an_unbelievable_log(place: Path) -> None:
    values = write(place, "values", values_of((place / "log").read_bytes(), {4: ("evil",)}))
    result = sysgraft("pcr", "explain", place / "log", *files(place), "--values", values)
    assert result.code == 1
    assert "cannot be believed" in result.out
    found = document(
        sysgraft("pcr", "explain", place / "log", *files(place), "--values", values, "--json")
    )
    assert (found["ok"], found["log"]["believable"]) == (False, False)
    assert all(each["findings"] == [] for each in found["pcrs"])


def test_values_that_do_not_tell_of_the_pcr(place: Path) -> None:
    values = values_of((place / "log").read_bytes())
    path = write(place, "values", {"sha256": {"0": values["sha256"]["0"]}})
    words = "pcr", "explain", place / "log", *files(place), "--values", path
    result = sysgraft(*words)
    assert result.code == 1
    assert "holds what the log leads to: sha256 PCR 0\n" in result.out
    assert "not confirmed  the TPM's values do not tell: sha1+sha256 PCR 4, 11-13" in result.out
    assert result.out.count("NOT confirmed") == 4
    assert "PCR 13: the log is not confirmed by the TPM here" in result.out
    found = document(sysgraft(*words, "--json"))
    assert (found["ok"], found["log"]["believable"]) == (False, True)
    assert {each["status"] for each in found["pcrs"] if each["required"]} == {"unconfirmed"}
    assert found["log"]["notConfirmed"][1] == {"bank": "sha256", "pcrs": [4, 11, 12, 13]}
    assert [each["confirmed"] for each in found["log"]["checks"]] == [["sha256"]]
    assert sysgraft("pcr", "replay", place / "log", "--values", path).code == 1
    assert not document(sysgraft("pcr", "replay", place / "log", "--values", path, "--json"))["ok"]
    path = write(place, "values", {"sha256": values["sha256"]})
    result = sysgraft(*words)
    assert result.code == 0
    assert "holds what the log leads to: sha256 PCR 0-23\n" in result.out
    found = document(sysgraft(*words, "--json"))
    assert all(each["confirmed"] for each in found["pcrs"])


def test_a_second_document_hides_nothing(place: Path) -> None:
    full = approve(place)
    less = sysgraft("pcr", "predict", *files(place), "--pcr", "11", "--json")
    path = write(place, "less.json", less.out)
    write(place, "evil/a.raw", b"evil")
    request = BootRequest(uki=str(place / "x.efi"), extras=(str(place / "evil"),))
    log = write(place, "log", make_log(log_kit.boot_events(request)))
    result = sysgraft("pcr", "explain", log, "--approved", full, "--approved", path)
    assert result.code == 1
    assert "PCR 13  NOT as approved" in result.out
    assert "less.json is about PCR 11 only" in result.out + result.err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--approved", "none.json"),
        ("--pcr", "99"),
        ("--known", "none"),
        ("--values", "none"),
    ],
)
def test_bad_use(words: tuple[str, ...], place: Path) -> None:
    # A file that is only looked into when something differs has to be there all the same.
    write(place, "extra/z.raw", b"z")
    more = files(place) if words and words[0] != "--approved" else ()
    result = sysgraft("pcr", "explain", place / "log", *more, *words)
    assert result.code == 2, result.out
    assert "Traceback" not in result.err


def test_documents_that_are_none(place: Path) -> None:
    for text in ("", "{}", "[" * 100_000, '{"schema": "sysgraft.pcr.predict/1"}'):
        path = write(place, "approved.json", text)
        result = sysgraft("pcr", "explain", place / "log", "--approved", path)
        assert result.code == 2
        assert str(path) in result.err
