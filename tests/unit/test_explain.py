"""Why a PCR is what it is: every kind of difference is named, with the file behind it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import log_kit
from log_kit import as_logged, hashed, image_event, make_addon, make_log, make_uki, values_of, write
from sysgraft.cli.pcr_predict import as_json
from sysgraft.errors import FormatError, LimitError, UsageError
from sysgraft.formats import eventlog, stub_archive
from sysgraft.formats.eventlog import Event
from sysgraft.measure import events, hints
from sysgraft.seal import approved, archive_search, archive_trial
from sysgraft.seal.archive_search import search
from sysgraft.seal.assembly import Settings
from sysgraft.seal.explanation import ExplainRequest, Explanation, explain
from sysgraft.seal.file_changes import changes
from sysgraft.seal.findings import MAX_FINDINGS
from sysgraft.seal.known import AtHand, gather
from sysgraft.seal.prediction import BootRequest, predict
from sysgraft.seal.spelling import spellings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.seal.finding import Finding

FILES = {
    "Bbb.raw": b"B" * 5000,
    "aaa.raw": b"a" * 4097,
    "token.cred": b"secret",
    "etc.confext.raw": b"c" * 700,
    "debug.addon.efi": make_addon(b"debug=1"),
}


@dataclass
class Place:
    """A folder with what was booted and what was approved."""

    folder: Path

    def request(self, name: str, **settings: Any) -> BootRequest:
        return BootRequest(
            uki=str(self.folder / name / "x.efi"),
            extras=(str(self.folder / name / "extra"),),
            settings=Settings(**settings),
        )

    def put(self, name: str, files: dict[str, bytes] = FILES, *, uki: bytes | None = None) -> None:
        write(self.folder, f"{name}/x.efi", make_uki() if uki is None else uki)
        (self.folder / name / "extra").mkdir(exist_ok=True)
        for each, content in files.items():
            write(self.folder, f"{name}/extra/{each}", content)

    def log(self, measured: Sequence[Event] | None = None, **settings: Any) -> str:
        """The log of booting what is in ``booted``."""
        found = measured or log_kit.boot_events(self.request("booted", **settings))
        return str(write(self.folder, "log.bin", make_log(found)))

    def document(self, *names: str, file: str = "approved.json", **settings: Any) -> str:
        """What is in ``approved``, with the sets in these folders."""
        request = self.request("approved", **settings)
        sets = tuple((name, (str(self.folder / name / "extra"),)) for name in names)
        if sets:
            request = replace(request, extras=(), sets=sets)
        result = predict(request, banks=("sha1", "sha256"))
        text = json.dumps({"schema": approved.SCHEMA, **as_json(result)})
        return str(write(self.folder, file, text))

    def parsed(self) -> Any:
        """The document, as JSON."""
        place = self.folder / "approved.json"
        self.document()
        return json.loads(place.read_text())

    def explain(
        self, *, known: Sequence[str] = (), now: str = "", measured: Any = None, **more: Any
    ) -> Explanation:
        return explain(
            ExplainRequest(
                log=self.log(measured),
                approved=more.pop("approved", None) or (self.document(),),
                known=tuple(str(self.folder / each) for each in known),
                boot=self.request(now) if now else None,
                **more,
            )
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.put("booted")
    found.put("approved")
    return found


def without(*names: str, **more: bytes) -> dict[str, bytes]:
    return {name: data for name, data in FILES.items() if name not in names} | more


def findings(result: Explanation) -> list[Finding]:
    return [finding for verdict in result.pcrs for finding in verdict.findings]


def told(result: Explanation) -> list[tuple[int, str, str]]:
    """PCR, kind and name of all that was found."""
    return [(each.pcr, each.kind, each.name) for each in findings(result)]


def only(result: Explanation) -> Finding:
    (found,) = findings(result)
    assert not result.ok
    return found


def files(finding: Finding) -> list[tuple[str, str, str]]:
    return [(each.kind, each.name, each.found_name) for each in finding.files]


# --- As approved ---------------------------------------------------------------------------------


def test_a_boot_as_approved(place: Place) -> None:
    result = place.explain()
    assert result.ok
    assert [(each.pcr, each.status, each.required) for each in result.pcrs] == [
        (4, "ok", True),
        (7, "not-predicted", False),
        (9, "not-predicted", False),
        (11, "ok", True),
        (12, "ok", True),
        (13, "ok", True),
    ]
    assert result.pcrs[0].as_predicted
    assert result.bank == "sha256"


def test_the_files_as_they_are_now_are_approved_where_nothing_else_is(place: Place) -> None:
    request = ExplainRequest(log=place.log(), boot=place.request("booted"))
    assert explain(request).ok
    place.put("booted", {"aaa.raw": b"altered"})
    assert only(explain(request)).name == "System extension initrd"


def test_nothing_is_approved(place: Place) -> None:
    with pytest.raises(UsageError, match="what is approved"):
        explain(ExplainRequest(log=place.log()))


def test_a_pcr_that_was_asked_for_has_to_be_approved(place: Place) -> None:
    result = place.explain(pcrs=(11, 7))
    assert [each.status for each in result.pcrs] == ["ok", "not-predicted"]
    assert not result.ok
    with pytest.raises(UsageError, match="nothing is approved for PCR 7, 9"):
        place.explain(pcrs=(7, 9))


def test_a_pcr_that_only_the_document_tells_of(place: Place) -> None:
    measured = log_kit.boot_events(place.request("booted"))
    measured.append(Event(7, 13, hashed(b"policy", log_kit.BOTH), b"policy"))
    document = place.parsed()
    document["pcrs"].append(7)
    document["sets"][0]["events"].append(
        {
            "pcr": 7,
            "component": "variable",
            "name": "policy",
            "type": "EV_IPL",
            "digests": {b: d.hex() for b, d in hashed(b"policy", log_kit.BOTH).items()},
            "data": "",
            "files": [],
        }
    )
    path = str(write(place.folder, "seven.json", json.dumps(document)))
    result = place.explain(approved=(path,), measured=measured)
    assert [each.status for each in result.pcrs if each.pcr == 7] == ["ok"]
    measured[-1] = Event(7, 13, hashed(b"other", log_kit.BOTH), b"other")
    result = place.explain(approved=(path,), measured=measured)
    assert [each[:2] for each in told(result)] == [(7, "missing"), (7, "added")]


# --- Files in archives ---------------------------------------------------------------------------


def test_a_missing_file(place: Place) -> None:
    place.put("approved", without(**{"zzz.raw": b"z"}))
    found = only(place.explain(known=["booted"]))
    assert (found.pcr, found.name) == (13, "System extension initrd")
    assert files(found) == [("missing", "zzz.raw", "")]
    assert "zzz.raw was missing" in found.text


def test_several_missing_files(place: Place) -> None:
    more = {f"more{number}.raw": bytes([number]) for number in range(4)}
    place.put("approved", {**FILES, **more})
    found = only(place.explain(known=["approved"]))
    assert files(found) == [("missing", name, "") for name in more]


def test_an_added_file(place: Place) -> None:
    place.put("booted", {"mmm.raw": b"m"})
    found = only(place.explain(known=["booted"]))
    assert files(found) == [("added", "mmm.raw", "mmm.raw")]
    assert str(place.folder / "booted/extra/mmm.raw") in found.text


@pytest.mark.parametrize(
    ("was", "is_"),
    [
        ("Bbb.raw", "Bbb.sysext.raw"),
        ("Bbb.raw", "bbb.raw"),
        ("Bbb.raw", "BBB.RAW"),
    ],
)
def test_a_renamed_file(was: str, is_: str, place: Place, tmp_path: Path) -> None:
    fresh = Place(tmp_path / "fresh")
    fresh.put("approved")
    fresh.put("booted", {**without(was), is_: FILES[was]})
    found = only(fresh.explain(known=["approved"]))
    assert files(found) == [("renamed", was, is_)]
    assert f"{was} was called {is_}" in found.text
    del place


def test_a_file_under_the_name_of_another_one_that_is_known(tmp_path: Path) -> None:
    fresh = Place(tmp_path)
    fresh.put("approved")
    fresh.put("booted", {**without("Bbb.raw"), "odd.raw": FILES["Bbb.raw"]})
    write(tmp_path, "old/odd.raw", b"whatever")
    found = only(fresh.explain(known=["approved", "old"]))
    assert files(found) == [("renamed", "Bbb.raw", "odd.raw")]


def test_another_version_of_a_file(place: Place) -> None:
    place.put("booted", {"aaa.raw": b"version 2"})
    write(place.folder, "versions/2/aaa.raw", b"version 2")
    found = only(place.explain(known=["approved", "versions"]))
    assert files(found) == [("changed", "aaa.raw", "aaa.raw")]
    assert found.files[0].label == str(place.folder / "versions/2/aaa.raw")


def test_the_content_of_one_file_under_the_name_of_another(place: Place) -> None:
    place.put("booted", {"aaa.raw": FILES["Bbb.raw"], "Bbb.raw": FILES["aaa.raw"]})
    found = only(place.explain(known=["approved"]))
    assert files(found) == [("changed", "Bbb.raw", "Bbb.raw"), ("changed", "aaa.raw", "aaa.raw")]


def test_two_changes(tmp_path: Path) -> None:
    fresh = Place(tmp_path)
    fresh.put("approved", {**FILES, "gone.raw": b"gone"})
    fresh.put("booted", {**FILES, "new.raw": b"new"})
    write(tmp_path, "more/new.raw", b"new")
    found = only(fresh.explain(known=["approved", "more"]))
    assert files(found) == [("missing", "gone.raw", ""), ("added", "new.raw", "new.raw")]


def test_an_altered_file_that_is_nowhere(place: Place) -> None:
    place.put("booted", {"aaa.raw": FILES["aaa.raw"][:-1] + b"!"})
    result = place.explain(known=["approved"])
    found = only(result)
    assert found.explained is False
    assert "no combination of the known files" in found.text
    assert "Bbb.raw, aaa.raw" in found.text
    assert not result.notes
    (note,) = place.explain().notes
    assert "not at hand" in note
    assert "aaa.raw" in note
    assert "token.cred" not in note


def test_files_as_they_are_now_explain_the_log(place: Place) -> None:
    place.put("booted", {"token.cred": b"another", "zzz.raw": b"z"})
    result = place.explain(now="booted")
    assert told(result) == [
        (12, "changed", "Credentials initrd"),
        (13, "changed", "System extension initrd"),
    ]
    assert all("the files as they are now" in each.text for each in findings(result))
    assert [files(each) for each in findings(result)] == [
        [("changed", "token.cred", "token.cred")],
        [("added", "zzz.raw", "zzz.raw")],
    ]


def test_no_archive_where_one_is_approved(tmp_path: Path) -> None:
    fresh = Place(tmp_path)
    fresh.put("approved")
    fresh.put("booted", without("aaa.raw", "Bbb.raw"))
    found = only(fresh.explain())
    assert (found.pcr, found.kind) == (13, "missing")
    assert files(found) == [("missing", "Bbb.raw", ""), ("missing", "aaa.raw", "")]


def test_an_archive_where_none_is_approved(tmp_path: Path) -> None:
    fresh = Place(tmp_path)
    fresh.put("booted", {**FILES, "one.raw": b"1", "two.raw": b"2", "three.raw": b"3"})
    fresh.put("approved", without("aaa.raw", "Bbb.raw"))
    found = only(fresh.explain(known=["booted"]))
    assert (found.pcr, found.kind) == (13, "added")
    names = ["Bbb.raw", "aaa.raw", "one.raw", "three.raw", "two.raw"]
    assert files(found) == [("added", name, name) for name in names]


def test_the_set_that_fits_best_is_taken(tmp_path: Path) -> None:
    fresh = Place(tmp_path)
    fresh.put("approved")
    fresh.put("booted", {"b.raw": b"b", "c.raw": b"c", "token.cred": b"t"})
    for name, own in (("one", {"a.raw": b"a"}), ("two", {"b.raw": b"b", "token.cred": b"t"})):
        fresh.put(name, own)
    path = fresh.document("one", "two", "approved")
    result = fresh.explain(approved=(path,), known=["booted"])
    assert result.approved.name == "two"
    assert files(only(result)) == [("added", "c.raw", "c.raw")]


def test_an_archive_of_another_approved_set(tmp_path: Path) -> None:
    fresh = Place(tmp_path)
    fresh.put("booted", {"a.raw": b"a", "token.cred": b"t"})
    fresh.put("approved", {})
    fresh.put("one", {"a.raw": b"a"})
    fresh.put("two", {"b.raw": b"b", "token.cred": b"t"})
    result = fresh.explain(approved=(fresh.document("one", "two"),))
    assert any("that of set" in each.text for each in findings(result))
    assert not result.ok


def test_several_documents(place: Place) -> None:
    first = place.document(file="first.json")
    place.put("approved", {"aaa.raw": b"next"})
    second = place.document(file="second.json")
    result = place.explain(approved=(second, first))
    assert result.ok
    assert result.approved.origin == first


def test_a_document_about_fewer_pcrs_hides_no_difference(place: Place) -> None:
    place.put("booted", {"aaa.raw": b"evil"})
    full = place.document(file="full.json")
    document = json.loads(Path(full).read_text())
    document["pcrs"] = [11]
    for each in document["sets"]:
        each["events"] = [event for event in each["events"] if event["pcr"] == 11]
    less = str(write(place.folder, "less.json", json.dumps(document)))
    for paths in ((full, less), (less, full)):
        result = place.explain(approved=paths)
        assert only(result).pcr == 13
        assert result.approved.origin == full
        assert any("less.json is about PCR 11 only" in note for note in result.notes)
    # Where only that PCR is asked for, either may be it.
    result = place.explain(approved=(less, full), pcrs=(11,))
    assert result.ok
    assert result.approved.origin == less
    assert not result.notes


def test_documents_about_different_pcrs_are_not_mixed(place: Place) -> None:
    document = place.parsed()
    paths = []
    for pcr in (11, 13):
        document["pcrs"] = [pcr]
        paths.append(str(write(place.folder, f"{pcr}.json", json.dumps(document))))
    with pytest.raises(UsageError, match="no document is about all of PCR 11, 13"):
        place.explain(approved=tuple(paths))


# --- Entries of systemd-boot ---------------------------------------------------------------------


def esp(folder: Path, name: str, lines: Sequence[str], **contents: bytes) -> BootRequest:
    root = folder / name
    write(root, "EFI/Linux/x.efi", make_uki())
    write(root, "EFI/systemd/systemd-bootx64.efi", loader())
    for number, each in enumerate(lines):
        write(root, f"more/{each}", contents.get(each.partition(".")[0], bytes([number + 65])))
    extras = "".join(f"extra /more/{each}\n" for each in lines)
    write(root, "loader/entries/one.conf", f"uki /EFI/Linux/x.efi\noptions ro\n{extras}")
    return BootRequest(esp=str(root), entry="one")


def loader() -> bytes:
    from executables import make_pe  # noqa: PLC0415

    magic = b"#### LoaderInfo: systemd-boot 262.1 ####\0"
    return make_pe([(".text", b"\xc3"), (".sdmagic", magic)])


LISTED = ["zeta.sysext.raw", "first.cred", "alpha.sysext.raw", "c.confext.raw"]


@pytest.mark.parametrize(
    ("booted", "expected"),
    [
        (LISTED[:2] + LISTED[3:], ("missing", "alpha.sysext.raw", "")),
        (
            [LISTED[1], LISTED[0], *LISTED[2:]],
            ("reordered", "", "first.cred, zeta.sysext.raw, alpha.sysext.raw, c.confext.raw"),
        ),
        (
            [*LISTED[:2], "new.sysext.raw", *LISTED[2:]],
            ("added", "new.sysext.raw", "new.sysext.raw"),
        ),
    ],
)
def test_files_of_an_entry_are_explained_together(
    booted: list[str], expected: tuple[str, str, str], tmp_path: Path
) -> None:
    contents = {each.partition(".")[0]: each.encode() for each in {*LISTED, *booted}}
    was = esp(tmp_path, "booted", booted, **contents)
    now = esp(tmp_path, "approved", LISTED, **contents)
    log = write(tmp_path, "log", make_log(log_kit.boot_events(was)))
    known = (str(tmp_path / "booted/more"),)
    result = explain(ExplainRequest(log=str(log), boot=now, known=known))
    assert not result.ok
    assert findings(result)
    for each in findings(result):
        assert each.name.startswith("Entry ")
        assert files(each) == [expected]


# --- Other things --------------------------------------------------------------------------------


def test_another_command_line(place: Place) -> None:
    log = place.log(cmdline="init=/bin/sh")
    document = place.document(cmdline="quiet splash")
    found = only(explain(ExplainRequest(log=log, approved=(document,))))
    assert (found.pcr, found.component, found.kind) == (12, "cmdline", "changed")
    assert (found.expected_text, found.found_text) == ("quiet splash", "init=/bin/sh")
    assert "is 'init=/bin/sh', approved is 'quiet splash'" in found.text


def test_a_command_line_that_is_not_approved_and_one_that_is_missing(place: Place) -> None:
    document = place.document()
    found = only(explain(ExplainRequest(log=place.log(cmdline="a"), approved=(document,))))
    assert (found.kind, found.found_text) == ("added", "a")
    found = only(explain(ExplainRequest(log=place.log(), approved=(place.document(cmdline="b"),))))
    assert (found.kind, found.expected_text) == ("missing", "b")


def test_a_text_that_was_not_measured_is_not_shown(place: Place) -> None:
    measured = log_kit.boot_events(place.request("booted", cmdline="evil"))
    forged = [
        replace(each, data=events.wide("harmless")) if each.data == events.wide("evil") else each
        for each in measured
    ]
    found = only(place.explain(measured=forged, approved=(place.document(cmdline="quiet"),)))
    assert found.found_text is None
    assert "harmless" not in found.text


def test_another_addon(place: Place) -> None:
    place.put("booted", {"debug.addon.efi": make_addon(b"debug=2")})
    result = place.explain(known=["booted"])
    assert told(result) == [
        (4, "changed", "debug.addon.efi"),
        (12, "changed", "command line of addons"),
    ]
    program, line = findings(result)
    assert str(place.folder / "booted/extra/debug.addon.efi") in program.text
    assert (line.expected_text, line.found_text) == ("debug=1", "debug=2")


@pytest.mark.parametrize(
    ("uki", "expected"),
    [
        (make_uki(cmdline=b"other"), ("changed", ".cmdline")),
        (make_uki(more=[(".uname", b"6.1")]), ("added", ".uname")),
    ],
)
def test_another_section(uki: bytes, expected: tuple[str, str], place: Place) -> None:
    place.put("booted", uki=uki)
    result = place.explain(known=["booted/x.efi"])
    program, section = findings(result)
    assert (program.pcr, program.kind, program.name) == (4, "changed", "x.efi")
    assert (section.pcr, section.kind, section.name) == (11, *expected)
    if expected[0] == "changed":
        assert f"it is that of {place.folder / 'booted/x.efi'}" in section.text


def test_a_section_that_is_missing(place: Place) -> None:
    place.put("approved", uki=make_uki(more=[(".uname", b"6.1")]))
    result = place.explain()
    assert told(result) == [(4, "changed", "x.efi"), (11, "missing", ".uname")]


def test_another_program_before_the_image(place: Place) -> None:
    measured = log_kit.boot_events(place.request("booted"))
    place_of = next(n for n, e in enumerate(measured) if e.type == 0x8000_0003)
    stranger = Event(
        4, 0x8000_0003, hashed(b"evil", log_kit.BOTH), image_event("\\EFI\\evil\\shim.efi")
    )
    measured.insert(place_of, stranger)
    found = only(place.explain(measured=measured))
    assert (found.pcr, found.kind) == (4, "added")
    assert "before x.efi" in found.text
    assert "\\EFI\\evil\\shim.efi" in found.text


def test_programs_in_another_order(place: Place) -> None:
    measured = log_kit.boot_events(place.request("booted"))
    programs = [n for n, e in enumerate(measured) if e.type == 0x8000_0003]
    first, second = programs
    measured[first], measured[second] = measured[second], measured[first]
    assert [each.kind for each in findings(place.explain(measured=measured))] == ["moved"]


def test_another_profile(place: Place) -> None:
    profiles = [(".profile", b"ID=a\n"), (".profile", b"ID=b\n")]
    for name in ("booted", "approved"):
        place.put(name, uki=make_uki(more=profiles))
    log, document = place.log(profile=1), place.document()
    result = explain(ExplainRequest(log=log, approved=(document,)))
    assert (12, "added", "profile: 1") in told(result)
    assert (11, "changed", ".profile") in told(result)


# --- The firmware --------------------------------------------------------------------------------


def test_what_the_firmware_adds_is_a_note(place: Place) -> None:
    measured = log_kit.boot_events(place.request("booted"))
    text = b"Returning from EFI Application from Boot Option"
    measured.insert(1, Event(4, 0x8000_0007, hashed(text, log_kit.BOTH), text))
    result = place.explain(measured=measured)
    assert result.ok
    assert result.pcrs[0].as_predicted is False
    assert any("Returning from" in note for note in result.pcrs[0].notes)


@pytest.mark.parametrize("kind", [0x8000_0007, 5, 4])
def test_nothing_hides_as_an_event_of_the_firmware(kind: int, place: Place) -> None:
    measured = log_kit.boot_events(place.request("booted"))
    text = b"Returning from EFI Application from Boot Option" if kind != 4 else bytes(4)
    measured.insert(1, Event(4, kind, hashed(b"a program", log_kit.BOTH), text))
    assert only(place.explain(measured=measured)).pcr == 4


def test_a_firmware_that_measures_less(place: Place) -> None:
    measured = [
        each
        for each in log_kit.boot_events(place.request("booted"))
        if each.type != events.EV_EFI_ACTION
    ]
    result = place.explain(measured=measured)
    assert result.ok
    assert any("did not measure" in note for note in result.pcrs[0].notes)


# --- Trust ---------------------------------------------------------------------------------------


def test_a_log_that_the_tpm_denies_is_not_believed(place: Place) -> None:
    booted = make_log(log_kit.boot_events(place.request("booted", cmdline="evil")))
    values = write(place.folder, "values.json", values_of(booted))
    result = place.explain(values=str(values))
    assert result.replay.is_believable is False
    assert not findings(result)
    assert not result.ok


def test_phases_and_separators_are_told(place: Place) -> None:
    later = {11: ("enter-initrd",), 12: ("os-separator",), 13: ("os-separator",)}
    log = make_log(log_kit.boot_events(place.request("booted")))
    values = write(place.folder, "values.json", values_of(log, later))
    result = place.explain(values=str(values))
    assert result.ok
    assert result.replay.phases == ("enter-initrd",)
    assert {each.pcr: each.later for each in result.pcrs if each.later} == later


@pytest.mark.parametrize("known", [[], [0], [0, 4, 11, 12]])
def test_nothing_is_ok_that_the_tpm_does_not_confirm(known: list[int], place: Place) -> None:
    """The log is a lie, and values of other PCRs do not show it."""
    truth = values_of(make_log(log_kit.boot_events(place.request("booted"))))["sha256"]
    some = {"sha256": {str(pcr): truth[str(pcr)] for pcr in known}}
    path = str(write(place.folder, "values.json", some))
    result = place.explain(values=path)
    assert not result.ok
    by_pcr = {each.pcr: each for each in result.pcrs if each.required}
    for pcr, each in by_pcr.items():
        assert each.status == ("ok" if pcr in known else "unconfirmed")
        assert each.confirmed is (pcr in known)
    assert any("not confirmed" in note for note in by_pcr[13].notes)
    assert result.replay.not_confirmed["sha256"][-1] == 13
    if 11 in known:
        assert place.explain(values=path, pcrs=(4, 11, 12)).ok
    assert all(each.confirmed is None for each in place.explain().pcrs)


def test_another_bank_confirms_nothing(place: Place) -> None:
    """What is in the bank of the TPM's values is the truth; beside it the log lies."""
    place.put("booted", {"aaa.raw": b"evil"})
    true = log_kit.boot_events(place.request("booted"))
    mixed = [
        replace(each, digests={**each.digests, "sha256": good.digests["sha256"]})
        for each, good in zip(true, log_kit.boot_events(place.request("approved")), strict=True)
    ]
    values = {"sha1": values_of(make_log(true))["sha1"]}
    path = str(write(place.folder, "values.json", values))
    result = place.explain(measured=mixed, values=path)
    assert result.replay.is_believable
    assert not result.ok
    assert {each.status for each in result.pcrs if each.required} == {"unconfirmed"}
    assert only(place.explain(measured=mixed, values=path, bank="sha1")).pcr == 13


def test_the_bank_that_the_tpm_has_is_compared(place: Place) -> None:
    banks = ("sha1", "sha256", "sha384")
    measured = log_kit.boot_events(place.request("booted"), banks)
    log = write(place.folder, "log.bin", make_log(measured, banks))
    boot = place.request("booted")
    for bank, chosen in (("sha384", "sha384"), ("sha1", "sha256")):
        values = {bank: values_of(log.read_bytes())[bank]}
        path = str(write(place.folder, "values.json", values))
        result = explain(ExplainRequest(log=str(log), values=path, boot=boot))
        assert result.bank == chosen
        assert result.ok is (bank == chosen)


def test_hints_of_the_stub() -> None:
    def of(*found: Event) -> set[tuple[str, int, int]]:
        return {each[:3] for each in hints.hints(found)}

    def ipl(pcr: int, text: str) -> Event:
        return Event(pcr, 13, {}, events.wide(text))

    assert of(ipl(13, "Global system extension initrd"), ipl(11, ".uname")) == {
        ("systemd-stub", 258, 0)
    }
    assert of(ipl(12, "Entry credentials initrd")) == {("systemd-boot", 261, 0)}
    kernel = bytes.fromhex("04031400f8d1c555cd04b5468a20e56cbb3052d07fff0400")
    data = bytes(24) + len(kernel).to_bytes(8, "little") + kernel
    assert of(Event(4, 0x8000_0003, {}, data)) == {("systemd-stub", 0, 257)}
    assert of(ipl(11, ".linux"), ipl(12, "quiet")) == set()


# --- Banks ---------------------------------------------------------------------------------------


def test_a_log_with_sha1_only(place: Place) -> None:
    measured = log_kit.boot_events(place.request("booted"))
    log = write(place.folder, "old.bin", log_kit.old_log(measured))
    result = explain(ExplainRequest(log=str(log), boot=place.request("booted")))
    assert result.ok
    assert result.bank == "sha1"
    assert result.replay.notes


def test_a_bank_that_is_not_everywhere(place: Place) -> None:
    with pytest.raises(UsageError, match="the bank sha512 is not in the log"):
        place.explain(bank="sha512")
    document = place.parsed()
    document["banks"] = ["sha384"]
    for each in document["sets"][0]["events"]:
        each["digests"] = {"sha384": "00" * 48}
    path = write(place.folder, "other.json", json.dumps(document))
    with pytest.raises(UsageError, match="no bank is in the log"):
        place.explain(approved=(str(path),))


def test_sidecars_alone(place: Place) -> None:
    request = BootRequest(
        extras=(str(place.folder / "booted/extra/aaa.raw"),), settings=Settings(version=262)
    )
    log = write(place.folder, "log.bin", make_log(log_kit.boot_events(request)))
    result = explain(ExplainRequest(log=str(log), boot=request))
    assert result.ok
    assert [each.pcr for each in result.pcrs if each.status == "ok"] == [12, 13]


# --- Documents -----------------------------------------------------------------------------------


def test_a_document_is_what_was_predicted(place: Place) -> None:
    result = predict(place.request("approved"), banks=("sha1", "sha256"))
    read = approved.read_approved(place.document())
    made = approved.of_prediction(result)
    assert replace(read, origin="", sets=made.sets) == made
    assert [(e.name, e.digests) for e in read.sets[0].events] == [
        (e.name, e.digests) for e in made.sets[0].events
    ]
    assert read.sets[0].files == made.sets[0].files
    assert [as_logged(e) for e in read.sets[0].events] == [
        as_logged(e) for e in made.sets[0].events
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "sysgraft.pcr.predict/2"},
        {"schema": None},
        {"sets": []},
        {"sets": [5]},
        {"sets": None},
        {"banks": []},
        {"banks": ["sha256", "sha256"]},
        {"banks": ["md5"]},
        {"pcrs": [24]},
        {"pcrs": [True]},
        {"stub": "262"},
        {"files": [{"role": "uki"}]},
        {"files": [{"role": "uki", "name": "x", "size": -1, "sha256": None}]},
        {"files": [{"role": "uki", "name": "x", "size": 1, "sha256": "00"}]},
    ],
)
def test_documents_that_are_refused(change: dict[str, object], place: Place) -> None:
    document = place.parsed()
    with pytest.raises(FormatError):
        approved.parse(json.dumps({**document, **change}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"component": "spell"},
        {"component": None},
        {"type": "EV_NEW"},
        {"type": 5},
        {"pcr": 24},
        {"digests": {}},
        {"digests": {"sha1": "00", "sha256": "00"}},
        {"data": "xyz"},
        {"files": "x"},
        {"name": 7},
    ],
)
def test_events_that_are_refused(change: dict[str, object], place: Place) -> None:
    document = place.parsed()
    document["sets"][0]["events"][0] |= change
    with pytest.raises(FormatError):
        approved.parse(json.dumps(document).encode())


def test_documents_have_limits(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps(place.parsed()).encode()
    for name in ("MAX_SIZE", "MAX_SETS", "MAX_EVENTS", "MAX_FILES", "MAX_ITEMS", "MAX_PLACES"):
        with monkeypatch.context() as patch:
            patch.setattr(approved, name, 0)
            with pytest.raises(LimitError):
                approved.parse(data)


@pytest.mark.parametrize("name", ["MAX_DOCUMENTS", "MAX_ALL_EVENTS", "MAX_PLACES"])
def test_documents_have_limits_together(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = place.document()
    read = approved.read_approved(one)
    most = {"MAX_DOCUMENTS": 1, "MAX_ALL_EVENTS": len(read.sets[0].events)}
    monkeypatch.setattr(approved, name, most.get(name, len(read.sets[0].files)))
    assert approved.read_documents([one]) == (read,)
    with pytest.raises(LimitError):
        approved.read_documents([one, one])


def test_files_in_common_do_not_multiply(place: Place) -> None:
    document = place.parsed()
    document["files"] = [{"role": "x", "name": "x", "size": 1, "sha256": None}] * 8000
    document["sets"] = [{"name": "", "events": [], "files": document["files"][:1]}] * 1000
    with pytest.raises(LimitError, match="1000 sets with 8000 files"):
        approved.parse(json.dumps(document).encode())


# --- Searching -----------------------------------------------------------------------------------


def test_a_search_ends_at_its_limits(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    at_hand = gather(None, [str(place.folder / "approved")], "sha256")
    base = tuple((n, at_hand.named[n][0]) for n in ("Bbb.raw", "aaa.raw"))
    target = {"System extension initrd": bytes(32)}
    whole = search(target, [base], at_hand, bank="sha256")
    assert whole.complete
    assert whole.files is None
    for name, value in (("MAX_CANDIDATES", 10), ("MAX_WORK", 50_000), ("MAX_EFFORT", 20)):
        with monkeypatch.context() as patch:
            patch.setattr(archive_trial, name, value)
            found = search(target, [base], at_hand, bank="sha256")
            assert not found.complete
            assert found.tried < whole.tried


def archive(number: int, text: str = "System extension initrd", pcr: int = 13) -> Event:
    """One of any number of archives that nobody knows."""
    digests = hashed(str(number).encode(), log_kit.BOTH)
    return Event(pcr, events.EV_IPL, digests, events.wide(text))


def test_a_kind_of_archive_is_searched_for_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []

    def count(targets: dict[str, bytes], *rest: Any, **more: Any) -> archive_search.Outcome:
        searched.extend(targets)
        return search(targets, *rest, **more)

    monkeypatch.setattr(archive_search, "search", count)
    measured = [
        *log_kit.boot_events(place.request("booted")),
        *(archive(number) for number in range(30)),
        *(archive(number, "Global system extension initrd") for number in range(10)),
        *(archive(number, f"Entry {number} initrd", 12) for number in range(10)),
        *(archive(number, "Strange initrd", 12) for number in range(10)),
        archive(1, "Entry system extension initrd", 12),
    ]
    found = findings(place.explain(measured=measured, known=["approved"]))
    assert len(found) == 61
    assert searched.count("System extension initrd") == 1
    assert searched.count("Global system extension initrd") == 1
    assert searched.count("Strange initrd") == 1
    assert searched.count("Entry system extension initrd") == 1
    not_searched = [each for each in found if "not searched for: another archive" in each.text]
    assert len(not_searched) == 29 + 9 + 9
    assert all(each.explained is False for each in not_searched)


def test_searches_share_one_budget(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_trial, "MAX_CANDIDATES", 40)
    names = ("System extension initrd", "Global system extension initrd")
    measured = [
        *log_kit.boot_events(place.request("booted")),
        *(archive(number, name) for number, name in enumerate(names)),
    ]
    found = findings(place.explain(measured=measured, known=["approved"]))
    tried = [int(each.text.partition(" archives tried")[0].rpartition("(")[2]) for each in found]
    assert all(tried)
    assert sum(tried) <= 40


def test_archives_of_other_kinds_cost_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search for archives that the files at hand never make together ends as well."""
    at_hand = gather(None, [str(place.folder / "approved")], "sha256")
    base = (("token.cred", at_hand.named["token.cred"][0]),)
    targets = {"Entry credentials initrd": bytes(32), "Entry system extension initrd": bytes(32)}
    monkeypatch.setattr(archive_trial, "MAX_CANDIDATES", 3)
    found = search(targets, [base], at_hand, bank="sha256")
    assert (found.files, found.tried, found.complete) == (None, 0, False)


def test_many_differences_are_counted(place: Place) -> None:
    measured = [
        *log_kit.boot_events(place.request("booted")),
        *(archive(number) for number in range(100)),
    ]
    result = place.explain(measured=measured, known=["approved"])
    (off,) = [each for each in result.pcrs if each.findings]
    assert (off.status, len(off.findings)) == ("differs", MAX_FINDINGS)
    assert off.notes == (f"{100 - MAX_FINDINGS} more differences, which are not told one by one",)


def test_many_words_of_the_firmware_are_counted(place: Place) -> None:
    texts = [b"Returning from EFI Application from Boot Option %d" % n for n in range(40)]
    more = [Event(4, 0x8000_0007, hashed(text, log_kit.BOTH), text) for text in texts]
    result = place.explain(measured=[*log_kit.boot_events(place.request("booted")), *more])
    assert result.ok
    assert any("Boot Option 15 and 24 more" in note for note in result.pcrs[0].notes)


def test_one_missing_file_of_very_many_is_found_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"many{number:03}.raw": bytes([number]) for number in range(60)}
    place.put("booted", many)
    place.put("approved", {**many, "n.raw": b"n"})
    monkeypatch.setattr(archive_trial, "MAX_CANDIDATES", 70)
    found = only(place.explain(known=["approved"]))
    assert files(found) == [("missing", "n.raw", "")]


def test_the_batches_do_not_matter(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("approved", {**FILES, "gone.raw": b"gone", "last.raw": b"last"})
    monkeypatch.setattr(archive_trial, "_BATCH", 3)
    assert len(only(place.explain(known=["approved"])).files) == 2


def test_dear_archives_come_last_and_come(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    large = {f"large{number}.raw": bytes([number]) * 20_000 for number in range(3)}
    place.put("approved", {**FILES, **large})
    monkeypatch.setattr(archive_trial, "_DEAR", 15_000)
    monkeypatch.setattr(archive_trial, "MAX_WORK", 100_000)
    # What was booted has none of the large files, and is found before they use up the limit.
    assert len(only(place.explain(known=["approved"])).files) == 3
    place.put("booted", {"large0.raw": large["large0.raw"], "large1.raw": b"1"})
    write(place.folder, "v/large1.raw", b"1")
    found = only(place.explain(known=["approved", "v"]))
    assert files(found) == [("changed", "large1.raw", "large1.raw"), ("missing", "large2.raw", "")]


def test_another_order_than_the_stubs(place: Place) -> None:
    at_hand = gather(None, [str(place.folder / "approved")], "sha256")
    base = tuple((name, at_hand.named[name][0]) for name in ("Bbb.raw", "aaa.raw"))
    folder = stub_archive.Folder(".extra/sysext", 0o555, 0o444)
    listed = [stub_archive.File(name, len(FILES[name]), name) for name, _ in base[::-1]]
    whole = b"".join(
        step.head + FILES[str(step.key)] + step.padding
        for step in stub_archive.pack(folder, listed)
    )
    digest = hashlib.sha256(whole + stub_archive.TRAILER).digest()
    found = search({"System extension initrd": digest}, [base], at_hand, bank="sha256")
    assert found.files == base[::-1]
    (change,) = changes(base, base[::-1], at_hand)
    assert change.text == "the files were packed in another order: aaa.raw, Bbb.raw"


def test_an_archive_of_a_kind_that_is_not_known() -> None:
    found = search({"Strange initrd": bytes(32)}, [()], AtHand(), bank="sha256")
    assert found == archive_search.Outcome(None, 0, complete=False)


def test_spellings() -> None:
    found = list(spellings("wifi_1.2.raw", ["disk_7.raw", "other.raw"]))
    assert found[:1] == ["wifi_1.2.sysext.raw"]
    for each in ("wifi.raw", "wifi_7.raw", "WIFI_1.2.RAW", "other.raw"):
        assert each in found


def test_changes_between_lists_of_files() -> None:
    nothing = AtHand()
    a, b, c = bytes([1]), bytes([2]), bytes([3])
    assert changes((("x", a),), (("x", a),), nothing) == ()
    (moved,) = changes((("x", a), ("y", b)), (("y", b), ("x", a)), nothing)
    assert moved.kind == "reordered"
    kinds = [
        each.kind for each in changes((("x", a), ("y", b), ("z", c)), (("x", c), ("w", b)), nothing)
    ]
    assert kinds == ["changed", "renamed", "missing"]


def test_the_log_is_read_before_anything_else(place: Place) -> None:
    log = write(place.folder, "bad.bin", eventlog.serialise(eventlog.parse(make_log([])))[:-1])
    with pytest.raises(FormatError):
        explain(ExplainRequest(log=str(log), approved=("nothing",)))
