"""``sysgraft lab`` on the command line, without a machine that runs."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from command import sysgraft
from sysgraft.cli import lab_report, lab_run
from sysgraft.cli.main import build_parser
from sysgraft.cli.output import Output
from sysgraft.formats import eventlog
from sysgraft.host.tools import TOOLS
from sysgraft.lab import answers, keeping, measured, recipe
from sysgraft.lab.options import Disk, LabOptions
from sysgraft.lab.report import LabReport

if TYPE_CHECKING:
    from sysgraft.lab.report import Banks

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "tests/assets/lab"


def asset(name: str) -> bytes:
    return lzma.decompress((ASSETS / f"{name}.xz").read_bytes())


def report(**changes: Any) -> LabReport:
    """What a real run found out, or what it would have with some changes."""
    pcrs: Banks = {
        bank: {int(pcr): bytes.fromhex(value) for pcr, value in values.items()}
        for bank, values in json.loads((ASSETS / "debian-257.pcrs.json").read_text()).items()
    }
    log = measured.judge(eventlog.parse(asset("debian-257.log")), pcrs)
    settings = {
        "ending": "powered-off",
        "reason": "guest-shutdown",
        "seconds": 12.34,
        "serial": (ASSETS / "debian-257.serial").read_text(),
        "pcrs": pcrs,
        "event_log": log,
        "memory_searched": True,
        "secure_boot": True,
        "guest": answers.parse(asset("debian-257.answers")),
        "script_wanted": True,
        "emulator": "7.2.22",
        "firmware": "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "output": "",
    }
    return LabReport(**{**settings, **changes})


def errors_of(document: object) -> list[str]:
    path = ROOT / "docs/reference/schemas/sysgraft.lab.run-1.json"
    validator = Draft202012Validator(json.loads(path.read_text()))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"guest": None},
        {"event_log": None, "secure_boot": None},
        {"ending": "refused", "reason": "Access Denied", "output": "kept"},
        {"ending": "stopped", "event_log": None, "memory_searched": False},
        {"guest": answers.parse(b"kernel 3\n6.1\n")},
        {"pcrs": {}, "serial": "x" * (lab_report.MAX_TEXT + 1)},
    ],
    ids=["whole", "silent", "no-log", "refused", "stopped", "cut", "long"],
)
def test_every_report_is_what_its_schema_says(
    changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = Output(json_wanted=True)
    out.json("lab.run", 1, lab_report.as_json(report(**changes)))
    document = json.loads(capsys.readouterr().out)
    assert errors_of(document) == []
    assert errors_of({**document, "ending": "other"}) != []


def test_the_document_of_a_real_run() -> None:
    document: dict[str, Any] = dict(lab_report.as_json(report()))
    assert document["succeeded"] is True
    assert document["guest"]["sysext"] == {"/opt": [], "/usr": ["demo"]}
    assert document["script"]["status"] == 0
    assert document["script"]["output"] == {"text": "from the script\n", "whole": True}
    assert document["script"]["files"]["bytes"]["text"] is None
    assert document["script"]["files"]["bytes"]["size"] == 2
    assert document["eventLog"]["extendedLater"][1] == {"pcr": 11, "words": ["sysinit", "ready"]}
    stub = [each["text"] for each in document["eventLog"]["events"] if each["pcr"] == 13]
    assert stub == ["System extension initrd"]


def test_a_person_reads_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    lab_report.show(report(), Output(), events=True)
    said = capsys.readouterr().out
    assert said.startswith("the guest switched itself off after 12.3 s\n")
    for line in (
        "Secure Boot   on",
        "PCR 11 later  sysinit, ready",
        "PCR 10 later  something not known",
        "sysext        /usr: demo",
        "script        exit status 0",
        "from the script",
        "System extension initrd",
    ):
        assert line in said
    assert "BdsDxe" not in said  # of interest when something went wrong


def test_a_person_reads_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    refused = report(ending="refused", reason="Access Denied", guest=None, serial="one\n\x1btwo")
    lab_report.show(refused, Output(), events=False)
    said = capsys.readouterr().out
    assert said.startswith("the guest did not start: the firmware refused (Access Denied) after")
    assert "script        did not end" in said
    assert "    \\x1btwo\n" in said


def test_what_is_kept(tmp_path: Path) -> None:
    guest = answers.parse(asset("debian-257.answers").replace(b"file:bytes 2", b"file:../up 2"))
    for kept, names in (
        (report(), {"result-bytes", "script.log", "journal.log"}),
        (report(guest=guest), {"script.log", "journal.log"}),
        (report(guest=None), set()),
    ):
        keeping.keep(kept, str(tmp_path / "kept"), replace=True)
        there = {path.name for path in (tmp_path / "kept").iterdir()}
        assert there == {"serial.log", "event-log.bin", *names}
    log = (tmp_path / "kept/event-log.bin").read_bytes()
    assert log == asset("debian-257.log")


# --- Options -------------------------------------------------------------------------------------


def options(*words: str) -> LabOptions:
    return lab_run.lab_options(build_parser("lab").parse_args(["lab", "run", *words]))


def test_without_options_the_defaults_are_the_librarys() -> None:
    assert options("--uki", "a") == LabOptions(uki="a")


def test_every_option_arrives() -> None:
    words = [
        *("--uki", "u", "--extra", "x", "--extra", "y", "--disk", "d", "--writable-disk", "w"),
        *("--script", "s", "--secure-boot", "k", "--tpm", "t", "--timeout", "1.5"),
        *("--reboots", "2", "--memory", "3G", "--cpus", "4", "--accel", "kvm"),
        *("--qemu-argument=-a", "--qemu-argument", "b", "--output", "o", "--force"),
    ]
    assert options(*words) == LabOptions(
        uki="u",
        extras=("x", "y"),
        disks=(Disk("d"), Disk("w", writable=True)),
        script="s",
        secure_boot="k",
        tpm="t",
        timeout=1.5,
        reboots=2,
        memory=3072,
        cpus=4,
        accelerator="kvm",
        qemu_arguments=("-a", "b"),
        output="o",
        replace=True,
    )
    assert options("--esp", "e", "--no-probe") == LabOptions(esp="e", probe=False)
    assert options("--cdrom", "c") == LabOptions(cdrom="c")


@pytest.mark.parametrize(
    ("text", "size"), [("512M", 512), ("4g", 4096), ("300", 300), ("1GiB", 1024)]
)
def test_sizes_of_memory(text: str, size: int) -> None:
    assert options("--uki", "a", "--memory", text).memory == size


# --- Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--uki", "none.efi"], "none.efi: No such file"),
        (["--esp", "none.raw"], "none.raw: No such file"),
        (["--uki", "u", "--memory", "much"], "--memory wants a size"),
        (["--uki", "u", "--esp", "e"], "either --uki or --esp"),
        (["--uki", "u.efi", "--secure-boot", "none"], "none: No such file"),
        (["--uki", "u.efi", "--secure-boot", "."], "the folder has no PK.esl"),
        (["--uki", "u.efi", "--extra", "none.raw"], "none.raw: No such file"),
        (["--uki", "u.efi", "--disk", "none.img"], "none.img: No such file"),
        (["--uki", "u.efi", "--script", "none.sh"], "none.sh: cannot read the script"),
        (["--uki", "u.efi", "--output", "."], "the folder holds other files too"),
        (["--uki", "arm.efi"], "no machine for arm64"),
    ],
)
def test_what_cannot_be_booted_is_said_before_anything_starts(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "u.efi").write_bytes(b"MZ")
    (tmp_path / "arm.efi").write_bytes(arm_program())

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a program was started")

    monkeypatch.setattr("sysgraft.lab.run.background", refuse)
    done = sysgraft("lab", "run", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def arm_program() -> bytes:
    from executables import make_pe  # noqa: PLC0415 - heavy, and one test

    return make_pe(machine=0xAA64)


@pytest.mark.parametrize("program", ["qemu-system-x86_64", "swtpm", "mformat"])
def test_a_missing_program_names_its_package(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "u.efi").write_bytes(b"MZ")
    (tmp_path / "bin").mkdir()
    for other in {"qemu-system-x86_64", "swtpm", "mformat", "mmd", "mcopy"} - {program}:
        (tmp_path / "bin" / other).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / "bin" / other).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("sysgraft.host.run.SYSTEM_PATH", ())
    done = sysgraft("lab", "run", "--uki", tmp_path / "u.efi")
    assert done.code == 2
    assert f"the program {program} is not installed" in done.err
    assert f"package {TOOLS[program].package}" in done.err


# --- Guests --------------------------------------------------------------------------------------


def test_guests_that_are_there_are_shown(tmp_path: Path) -> None:
    folder = tmp_path / recipe.fingerprint()
    folder.mkdir()
    fields = {"suite": "trixie", "kernel": "6.12", "cmdline": "q", "packages": {"systemd": "257"}}
    (folder / "manifest.json").write_text(json.dumps(fields))
    cache = f"--cache={tmp_path}"
    done = sysgraft("lab", "guest", cache)
    assert (done.code, done.err) == (0, "")
    assert f"{folder}  (Debian trixie, Linux 6.12, systemd 257)" in done.out
    shown = sysgraft("lab", "guest", cache, "--show", "small.efi")
    assert shown.out == f"{folder}/small.efi\n"
    document = sysgraft("lab", "guest", cache, "--json").document
    path = ROOT / "docs/reference/schemas/sysgraft.lab.guest-1.json"
    Draft202012Validator(json.loads(path.read_text())).validate(document)
    assert document["files"]["small.efi"] == f"{folder}/small.efi"
    assert sysgraft("lab", "guest", cache, "--show", "other").code == 2


def test_guests_that_are_not_there_are_not_shown(tmp_path: Path) -> None:
    done = sysgraft("lab", "guest", f"--cache={tmp_path}", "--show", "small.efi")
    assert done.code == 2
    assert "have not been made" in done.err
