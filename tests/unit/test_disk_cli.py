"""``sysgraft disk``: what it prints, its documents, its exit codes."""

from __future__ import annotations

import os
import re
import struct
from typing import TYPE_CHECKING

import pytest
from test_disk_check import GENERIC, GOOD, esp
from test_schemas import REFERENCE, Document, entries, errors_of, schema_named

import btrfs_kit
from command import Result, sysgraft
from disk_kit import EXT4, Part, disk_of
from sysgraft.disk.report import RULES

if TYPE_CHECKING:
    from pathlib import Path

BTRFS = [Part("esp", esp()), Part(GENERIC, btrfs_kit.fedora().image(), name="root")]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(disk_of(BTRFS)))
    return path


def run(*words: str | Path, code: int = 0) -> Result:
    arch = () if "--restore" in words else ("--arch", "x86-64")
    result = sysgraft("disk", *words, *arch)
    assert result.code == code, result.out + result.err
    return result


def document(*words: str | Path, code: int = 0) -> Document:
    found: Document = run(*words, "--json", code=code).document
    assert errors_of(f"disk.{words[0]}", found) == []
    return found


def test_a_report(disk: Path) -> None:
    text = run("check", disk, "--partition", "2=root", code=1).out
    assert "linux-generic" in text
    assert " root-type: partition 2 (as it was said) has the type linux-generic" in text
    assert "to mend:" in text
    assert f"  sfdisk --no-tell-kernel --part-type {disk} 2 4f68bce3-" in text
    assert "btrfs subvolume set-default 256 PLACE" in text


def test_a_good_disk(disk: Path) -> None:
    disk.write_bytes(bytes(disk_of(GOOD)))
    assert "to mend" not in run("check", disk).out
    assert document("check", disk)["ok"] is True


def test_the_document_of_a_check(disk: Path) -> None:
    found = document("check", disk, "--partition", "2=root", code=1)
    assert [each["name"] for each in entries(found, "checks")] == list(RULES)
    one, two = (dict(each) for each in entries(found, "partitions"))
    assert (one["role"], one["evidence"]) == ("esp", "content")
    assert (two["role"], two["evidence"], two["type"]) == ("root", "option", "linux-generic")
    volume = two["btrfs"]
    assert isinstance(volume, dict)
    assert volume["default"] == {"id": 5, "path": ""}
    assert volume["systems"] == [256]


def test_documents_of_broken_disks(disk: Path) -> None:
    data = disk_of(GOOD)
    data[512 + 50] ^= 1
    disk.write_bytes(bytes(data))
    found = document("check", disk, code=1)
    assert [each["code"] for each in entries(found, "findings")] == ["primary-damaged"]
    disk.write_bytes(bytes(1 << 20))
    assert document("check", disk, code=1)["diskUuid"] is None
    mbr = bytearray(1 << 20)
    struct.pack_into("<B3xB3xII", mbr, 446, 0x80, 0x83, 64, 100)
    mbr[510:512] = b"\x55\xaa"
    disk.write_bytes(bytes(mbr))
    found = document("check", disk, code=1)
    assert found["mbr"] == {
        "kind": "plain",
        "partitions": [{"number": 1, "type": 0x83, "name": "Linux"}],
    }


def test_kickstart(disk: Path) -> None:
    text = run("check", disk, "--partition", "2=root", "--kickstart", code=1).out
    assert text.startswith("# Discoverable partitions of ")
    assert run("check", disk, "--kickstart", "--json", code=2).out == ""


@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("check", "none"),
        ("check", "disk.raw", "--partition", "x"),
        ("check", "disk.raw", "--partition", "9=root"),
        ("check", "disk.raw", "--root", "."),
        ("retype", "disk.raw", "--no-auto", "2=maybe"),
        ("retype", "disk.raw", "--no-auto", "2=on", "--no-auto", "2=off"),
        ("retype", "disk.raw", "--partition", "2=esp"),
        ("retype", "disk.raw", "--restore", "none"),
        ("retype", "disk.raw", "--restore", "none", "--partition", "2=root"),
    ],
)
@pytest.mark.usefixtures("disk")
def test_bad_input(words: tuple[str, ...]) -> None:
    result = run(*words, code=2)
    assert result.out == ""
    assert "Traceback" not in result.err


def test_names_that_are_no_words(disk: Path) -> None:
    dashed, odd = disk.parent / "-d.raw", os.fsdecode(b"d\xff.raw")
    disk.rename(dashed)
    text = sysgraft("disk", "check", "--partition", "2=root", "--kickstart", "--", "-d.raw").out
    assert " --part-type ./-d.raw 2 " in text
    dashed.rename(odd)
    for more in ((), ("--kickstart",), ("--json",)):
        result = run("check", odd, "--partition", "2=root", *more, code=1)
        assert "Traceback" not in result.err
        assert more == ("--json",) or "is not UTF-8" in result.out


def test_an_unknown_architecture(disk: Path) -> None:
    assert sysgraft("disk", "check", disk, "--arch", "vax").code == 2


def test_a_life_of_a_disk(disk: Path) -> None:
    before = disk.read_bytes()
    change = ("--partition", "2=root", "--growfs", "2=on")
    planned = document("retype", disk, *change, "--dry-run")
    assert (planned["written"], planned["backup"]) == (False, None)
    assert "nothing was written" in run("retype", disk, *change, "--dry-run").out
    text = run("retype", disk, *change).out
    assert "partition 2: type linux-generic -> root-x86-64 (root: as it was said)" in text
    assert "partition 2: attributes none -> GUID:59" in text
    assert "saved before: disk.raw.gpt-backup" in text
    assert run("retype", disk, *change).out == "nothing to change\n"
    assert document("retype", disk, *change)["changes"] == []
    backup = ("--restore", "disk.raw.gpt-backup")
    assert "differs: primary-header" in run("retype", disk, *backup, "--dry-run").out
    assert len(entries(document("retype", disk, *backup, "--dry-run"), "restored")) == 4
    assert "restored: backup-header" in run("retype", disk, *backup).out
    assert disk.read_bytes() == before
    assert run("retype", disk, *backup).out == "nothing to restore\n"


def test_a_document_of_changes(disk: Path) -> None:
    found = document("retype", disk, "--partition", "2=root")
    (change,) = entries(found, "changes")
    assert change["newType"] == "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
    assert found["backup"] == "disk.raw.gpt-backup"


def test_a_damaged_table(disk: Path) -> None:
    data = disk_of([Part("esp", esp()), Part(GENERIC, EXT4)])
    data[512 + 50] ^= 1
    disk.write_bytes(bytes(data))
    assert "hint: --force makes the primary table anew" in run("retype", disk, code=2).err
    text = run("retype", disk, "--force").out
    assert "the primary table is made anew from the other one" in text


def test_the_schema_names_all_rules() -> None:
    properties = schema_named("disk.check")["properties"]
    assert isinstance(properties, dict)
    assert properties["checks"]["items"]["properties"]["name"]["enum"] == list(RULES)


def test_the_library(disk: Path) -> None:
    import sysgraft as library  # noqa: PLC0415

    options = library.DiskCheckOptions(arch="x86-64", roles={2: "root"})
    report = library.check_disk(str(disk), options)
    assert not report.ok
    assert "set-default" in library.disk_kickstart(report)
    retyping = library.DiskRetypeOptions(arch="x86-64", roles={2: "root"}, dry_run=True)
    assert library.retype_disk(str(disk), retyping).changes


def test_the_guide_names_all_rules_and_evidence() -> None:
    page = (REFERENCE.parent / "guide/discoverable-partitions.md").read_text()
    table = page[page.index("| Check |") : page.index("## In a kickstart file")]
    first = "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)
    assert sorted(re.findall(r"`([a-z-]+)`", first)) == sorted(RULES)
    for word in ("mounted", "option", "content", "type"):
        assert f"| `{word}` |" in page
