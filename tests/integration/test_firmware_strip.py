"""What a stripped root keeps: owners, times, devices, and links to what stays."""

from __future__ import annotations

import os
import stat
import tarfile
from typing import TYPE_CHECKING

import pytest

from command import sysgraft
from sysgraft.firmware.plan_document import File, Plan, Totals, render_plan

if TYPE_CHECKING:
    from pathlib import Path

OWNER = 4711


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with firmware and a link to it as Debian's alternatives make them."""
    root = tmp_path / "root"
    firmware = root / "usr/lib/firmware"
    firmware.mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (firmware / "regulatory.db-debian").write_bytes(b"db")
    (firmware / "unused.bin").write_bytes(b"unused")
    alternatives = root / "etc/alternatives"
    alternatives.mkdir(parents=True)
    (alternatives / "regulatory.db").symlink_to("/lib/firmware/regulatory.db-debian")
    (firmware / "regulatory.db").symlink_to("/etc/alternatives/regulatory.db")
    return root


def stripped(root: Path, output: Path, *words: str | Path) -> dict[str, tarfile.TarInfo]:
    done = sysgraft("firmware", "strip", root, "--output", output, "--force", *words)
    assert done.code == 0, done.err
    with tarfile.open(output) as tar:
        return {member.name: member for member in tar}


def test_times_stay_up_to_the_latest_one(root: Path, tmp_path: Path) -> None:
    file = root / "etc/motd"
    file.write_bytes(b"hello")
    os.utime(file, ns=(0, 1_600_000_000_123_456_789))
    found = stripped(root, tmp_path / "a.tar")
    assert found["etc/motd"].pax_headers["mtime"] == "1600000000.123456789"
    clamped = stripped(root, tmp_path / "b.tar", "--source-date-epoch", "1000")
    assert {member.mtime for member in clamped.values()} == {1000}


def test_owners_stay_so_that_no_program_becomes_roots(root: Path, tmp_path: Path) -> None:
    tool = root / "usr/tool"
    tool.write_bytes(b"tool")
    tool.chmod(0o4755)
    if os.geteuid() == 0:
        os.chown(tool, OWNER, OWNER)
        tool.chmod(0o4755)
    member = stripped(root, tmp_path / "a.tar")["usr/tool"]
    assert (member.uid, member.gid) == (tool.stat().st_uid, tool.stat().st_gid)
    assert member.mode == 0o4755


@pytest.mark.root
def test_devices_keep_their_numbers(root: Path, tmp_path: Path) -> None:
    (root / "dev").mkdir()
    os.mknod(root / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    member = stripped(root, tmp_path / "a.tar")["dev/null"]
    assert (member.devmajor, member.devminor) == (1, 3)


def test_the_result_is_not_written_into_its_source(root: Path) -> None:
    done = sysgraft("firmware", "strip", root, "--output", root / "etc/out.tar")
    assert done.code == 2
    assert "lies inside the source" in done.err
    assert not (root / "etc/out.tar").exists()


def test_links_that_are_kept_by_name_stay_wherever_they_lead(root: Path, tmp_path: Path) -> None:
    (root / "usr/lib/firmware/absolute.db").symlink_to("/usr/lib/firmware/regulatory.db-debian")
    (root / "usr/lib/firmware/outside.db").symlink_to("/opt/vendor.db")
    (root / "usr/lib/firmware/unused.db").symlink_to("unused.bin")
    keep = ("--keep", "regulatory.db", "--keep", "outside*")
    found = stripped(root, tmp_path / "a.tar", *keep)
    firmware = {name.rpartition("/")[2] for name in found if "usr/lib/firmware/" in name}
    assert firmware == {"regulatory.db", "regulatory.db-debian", "absolute.db", "outside.db"}
    done = sysgraft("firmware", "strip", root, "--output", tmp_path / "b.tar", *keep)
    assert "1 link" in done.out, done


def test_early_files_stay_in_whatever_form_the_root_has_them(root: Path, tmp_path: Path) -> None:
    (root / "usr/lib/firmware/disk.bin.xz").write_bytes(b"disk")
    file = File("disk.bin.zst", 4, "early", ())
    gone = File("gone.bin", 4, "early", ())
    plan = Plan(
        level="device", architecture="x86-64", kernels=(), machines=1, files=(file, gone),
        links=(), licenses=(), totals=Totals(2, 8, 2, 8, 0, 0, 2, 8),
    )  # fmt: skip
    (tmp_path / "plan.json").write_bytes(render_plan(plan))
    output = tmp_path / "a.tar"
    words = ("--plan", tmp_path / "plan.json", "--output", output, "--json")
    done = sysgraft("firmware", "strip", root, *words)
    assert done.code == 0, done.err
    assert done.document["missing"] == ["gone.bin"]
    with tarfile.open(output) as tar:
        assert "usr/lib/firmware/disk.bin.xz" in tar.getnames()
