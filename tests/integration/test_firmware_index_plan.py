"""``sysgraft firmware index`` and ``firmware plan``, from folders to a plan, and refusals."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

from firmware_kit import DISK, GRAPHICS, WIFI, machine, write_firmware, write_kernel
from sysgraft.cli.main import main
from sysgraft.firmware.inventory import Machine, render_machine
from sysgraft.firmware.plan_document import parse_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def sysgraft(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*words: object) -> Said:
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def index(sysgraft: Callable[..., Said], tmp_path: Path) -> Path:
    write_kernel(tmp_path / "root")
    write_firmware(tmp_path / "root")
    path = tmp_path / "firmware.index"
    root = tmp_path / "root"
    said = sysgraft(
        "firmware", "index", "--kernel-tree", root, "--firmware-tree", root, "--output", path
    )
    assert (said.code, said.err) == (0, "")
    assert "6.12.0-kit x86-64: 9 modules, 6 declare firmware" in said.out
    assert "15 files of 2.1 kB, 2 links" in said.out
    return path


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "machine.json"
    path.write_bytes(render_machine(machine(WIFI, GRAPHICS, DISK)))
    return path


def test_an_index_is_brought_up_to_date(
    sysgraft: Callable[..., Said], index: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (root / "usr/lib/firmware/new.bin").write_text("new")
    trees = ("firmware", "index", "--kernel-tree", root, "--firmware-tree", root)
    fresh, updated = tmp_path / "fresh", tmp_path / "updated"
    assert sysgraft(*trees, "--output", fresh).code == 0
    assert sysgraft(*trees, "--output", updated, "--update", index).code == 0
    assert fresh.read_bytes() == updated.read_bytes() != index.read_bytes()
    before = index.read_bytes()
    said = sysgraft(*trees, "--output", index)
    assert said.code == 2
    assert "the file exists" in said.err
    assert index.read_bytes() == before


def test_firmware_from_an_archive_is_the_same(
    sysgraft: Callable[..., Said], index: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "firmware.tar"
    with tarfile.open(archive, "w") as file:
        file.add(tmp_path / "root/usr/lib/firmware", "usr/lib/firmware")
    packed = tmp_path / "packed.index"
    trees = ("--kernel-tree", tmp_path / "root", "--firmware-tree", archive)
    assert sysgraft("firmware", "index", *trees, "--output", packed).code == 0
    assert packed.read_bytes() == index.read_bytes()
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    broken = ("firmware", "index", "--firmware-tree", tmp_path / "broken.tar")
    assert sysgraft(*broken, "--output", tmp_path / "none").code == 2
    assert not (tmp_path / "none").exists()


def test_a_plan_for_people(sysgraft: Callable[..., Said], index: Path, inventory: Path) -> None:
    said = sysgraft(
        "firmware", "plan", "--index", index, "--machine", inventory, "--level", "device"
    )
    assert said.code == 0
    early, _, late = said.out.partition("\nlate: ")
    assert early.startswith("early: 4 files, ")
    assert "i915/adlp_guc_70.bin  8 B" in early
    assert "i915: rule, high (graphics of the console)" in early
    assert "qla2xxx: declared, medium (storage)" in early
    assert "iwlwifi-so-a0-gf-a0-83.ucode" in late
    assert "nowhere: 1 name that drivers declare\n  regulatory.db.p7s  cfg80211" in late
    assert "for the initrd or UKI" in late
    assert "taken whole: helper_late, qla2xxx" in said.err


def test_a_plan_as_a_file(
    sysgraft: Callable[..., Said], index: Path, inventory: Path, tmp_path: Path
) -> None:
    output = tmp_path / "plan.json"
    words = ("firmware", "plan", "--index", index, "--machine", inventory, "--output", output)
    assert sysgraft(*words, "--early", "net", "--late", "storage", "--class", "edge").code == 0
    plan = parse_plan(output.read_bytes())
    assert plan.name == "edge"
    when = {file.path: file.when for file in plan.files}
    assert when["regulatory.db"] == "early"
    assert when["qlogic/v2/fw.bin"] == "late"
    said = sysgraft(*words)
    assert said.code == 2
    assert "the file exists" in said.err


def test_modaliases_alone(sysgraft: Callable[..., Said], index: Path) -> None:
    said = sysgraft("firmware", "plan", "--index", index, "--modalias", WIFI)
    assert said.code == 0
    assert "regulatory.db" in said.out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not an inventory of a machine"),
        (render_machine(Machine(architecture="arm64")), "the machine is arm64, the index has"),
    ],
)
def test_an_inventory_that_does_not_fit(
    sysgraft: Callable[..., Said], index: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    said = sysgraft("firmware", "plan", "--index", index, "--machine", path)
    assert said.code == 2
    assert f"error: {path}: {message}" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["index", "--output", "x"], "nothing to index"),
        (["index", "--kernel-tree", "missing", "--output", "x"], "there are no kernel modules"),
        (["index", "--firmware-tree", "missing", "--output", "x"], "no such folder"),
        (["plan", "--index", "missing", "--modalias", "a"], "cannot read the firmware index"),
        (["plan", "--index", "damaged", "--modalias", "a"], "damaged: not a firmware index"),
    ],
)
def test_what_is_refused(
    sysgraft: Callable[..., Said],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damaged").write_bytes(b"damaged")
    said = sysgraft("firmware", *words)
    assert said.code == 2
    assert message in said.err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["damaged"]


def test_nothing_to_plan_for(sysgraft: Callable[..., Said], index: Path) -> None:
    said = sysgraft("firmware", "plan", "--index", index)
    assert said.code == 2
    assert "nothing to plan for" in said.err
