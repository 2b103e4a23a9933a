"""Packages that dpkg-deb builds hold what the folder holds."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sysgraft.build.collect import Options, open_tree

if TYPE_CHECKING:
    from pathlib import Path

CONTROL = """Package: demo-firmware
Version: 2:20260622-1
Architecture: {}
Maintainer: Nobody <nobody@example.org>
Description: blobs
 with a second line: and a colon
"""


@pytest.mark.oracle("dpkg-deb")
@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd"])
def test_a_package_is_its_folder(sample_tree: Path, tmp_path: Path, compression: str) -> None:
    (sample_tree / "lib/firmware").mkdir(parents=True)
    (sample_tree / "lib/firmware/moved.bin").write_text("moved")
    with open_tree([str(sample_tree)], Options()) as collected:
        expected = {
            path: (
                inode.mode,
                inode.target,
                inode.content and inode.content.read_at(0, inode.content.size),
            )
            for path, inode in collected.tree.items()
        }
    package = tmp_path / "package"
    shutil.copytree(sample_tree, package, symlinks=True)
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN/control").write_text(CONTROL.format("arm64"))
    target = tmp_path / "demo.deb"
    subprocess.run(
        ["dpkg-deb", f"-Z{compression}", "--root-owner-group", "--build", package, target],
        check=True,
        capture_output=True,
    )
    with open_tree([str(target)], Options(source_date_epoch=0)) as collected:
        found = {
            path: (
                inode.mode,
                inode.target,
                inode.content and inode.content.read_at(0, inode.content.size),
            )
            for path, inode in collected.tree.items()
        }
        assert collected.architecture == "arm64"
        assert collected.sources == ("Debian package demo-firmware 2:20260622-1 (arm64)",)
    assert found == expected


@pytest.mark.oracle("dpkg-deb")
def test_packages_for_all_architectures_say_nothing(sample_tree: Path, tmp_path: Path) -> None:
    (sample_tree / "DEBIAN").mkdir()
    (sample_tree / "DEBIAN/control").write_text(CONTROL.format("all"))
    target = tmp_path / "demo.deb"
    subprocess.run(["dpkg-deb", "--build", sample_tree, target], check=True, capture_output=True)
    with open_tree([f"deb:{target}"], Options()) as collected:
        assert collected.architecture is None
