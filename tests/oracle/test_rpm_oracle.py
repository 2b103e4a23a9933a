"""Packages that rpmbuild builds, against what rpm says of them and what cpio unpacks of them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.build.collect import Options, open_tree
from sysgraft.errors import UnsupportedError
from sysgraft.formats import cpio_reader, file_capabilities

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """
Name: demo-firmware
Epoch: 2
Version: 20260622
Release: 1
Summary: blobs
License: MIT
%description
Blobs.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/usr/lib/firmware/demo %{buildroot}/usr/lib/state
cd %{buildroot}/usr/lib/firmware/demo
echo one > one.bin
ln one.bin aaa.bin
ln one.bin zzz.bin
ln -s one.bin link.bin
ln -s /usr/bin/prog absolute
: > empty
seq 1 90000 > large.bin
mkdir deep
chmod 0700 deep
echo '#!/bin/sh' > %{buildroot}/usr/bin/prog
echo later > %{buildroot}/usr/lib/state/ghost
echo outside > %{buildroot}/outside
touch -d @1234567890 %{buildroot}/usr/bin/prog
%post
echo never
%files
%caps(cap_net_raw,cap_net_admin=ep) %attr(0755,root,root) /usr/bin/prog
%dir /usr/lib/firmware/demo
/usr/lib/firmware/demo/*
%attr(4755,daemon,root) /usr/lib/firmware/demo/empty
%ghost /usr/lib/state/ghost
/outside
"""
# rpm's names of payload compressions ("_binary_payload"); w.ufdio compresses nothing.
PAYLOADS = ("w9.gzdio", "w1.gzdio", "w9.bzdio", "w2.xzdio", "w2.lzdio", "w3.zstdio", "w.ufdio")

pytestmark = [pytest.mark.oracle("rpmbuild"), pytest.mark.oracle("cpio")]


def build(folder: Path, *defines: str, spec: str = SPEC, what: str = "-bb") -> Path:
    (folder / "demo.spec").write_text(spec)
    argv = [shutil.which("rpmbuild") or "rpmbuild", what, "--quiet"]
    for define in (f"_topdir {folder}/top", "use_source_date_epoch_as_buildtime 1", *defines):
        argv += ["--define", define]
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1600000000"}
    subprocess.run([*argv, folder / "demo.spec"], check=True, capture_output=True, env=env)
    return next((folder / "top").glob("*RPMS/**/*.rpm"))


def archive_of(package: Path) -> bytes:
    done = subprocess.run(["rpm2cpio", package], check=True, capture_output=True)
    return done.stdout


@dataclass
class Dumped:
    """A line of ``rpm -qp --dump``."""

    size: int
    mtime: int
    mode: int
    owners: tuple[str, str]
    target: str


def dump(package: Path) -> dict[str, Dumped]:
    argv = ["rpm", "-qp", "--nosignature", "--dump", str(package)]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    lines = [line.rsplit(" ", 10) for line in text.splitlines()]
    return {
        words[0]: Dumped(
            int(words[1]),
            int(words[2]),
            int(words[4], 8),
            (words[5], words[6]),
            words[10] if words[10] != "X" else "",
        )
        for words in lines
    }


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_package_is_what_rpm_and_cpio_say(tmp_path: Path, payload: str) -> None:
    package = build(tmp_path, f"_binary_payload {payload}")
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    subprocess.run(
        ["cpio", "-i", "--quiet", "--make-directories", "--no-absolute-filenames"],
        input=archive_of(package),
        cwd=unpacked,
        check=True,
    )
    listed = {path: line for path, line in dump(package).items() if path != "/usr/lib/state/ghost"}
    with open_tree([str(package)], Options(kind="root")) as collected:
        tree = {"/" + path.decode(): inode for path, inode in collected.tree.items() if path}
        assert collected.sources == ("RPM package demo-firmware 2:20260622-1 (x86_64)",)
        assert collected.architecture == "x86-64"
        for path, line in listed.items():
            inode, file = tree[path], unpacked / path[1:]
            assert inode.mtime == line.mtime, path
            assert inode.mode == line.mode & ~(0o4000 if line.owners[0] != "root" else 0), path
            assert inode.target.decode() == line.target, path
            if inode.content is not None:
                assert inode.content.size == line.size
                assert inode.content.read_at(0, line.size) == file.read_bytes()
            else:
                assert stat.S_IFMT(inode.mode) == stat.S_IFMT(file.lstat().st_mode)
        # Beside what is listed only folders that no package owns.
        assert all(tree[path].is_dir for path in tree.keys() - listed.keys())
        names = [f"/usr/lib/firmware/demo/{name}.bin" for name in ("aaa", "one", "zzz")]
        assert len({id(tree[name]) for name in names}) == 1
        assert len({(unpacked / name[1:]).stat().st_ino for name in names}) == 1
        expected = file_capabilities.from_text("cap_net_admin,cap_net_raw=ep")
        assert tree["/usr/bin/prog"].xattrs == ((b"security.capability", expected),)
        assert any("%post" in note for note in collected.notes)
        assert any("daemon" in note for note in collected.notes)


def test_all_compressions_hold_the_same(tmp_path: Path) -> None:
    seen = []
    for payload in PAYLOADS:
        folder = tmp_path / payload
        folder.mkdir()
        archive = archive_of(build(folder, f"_binary_payload {payload}"))
        seen.append(
            [(e.name, e.mode, e.data.size) for e in cpio_reader.entries(BytesBlob(archive))]
        )
    assert all(entries == seen[0] for entries in seen)


def test_old_digests(tmp_path: Path) -> None:
    """MD5 of files, as rpm 4.x before 4.6 wrote them."""
    package = build(tmp_path, "_binary_filedigest_algorithm 1")
    with open_tree([str(package)], Options()) as collected:
        assert b"usr/lib/firmware/demo/large.bin" in collected.tree


def test_packages_for_all_architectures_say_nothing(tmp_path: Path) -> None:
    package = build(tmp_path, spec=SPEC.replace("License", "BuildArch: noarch\nLicense"))
    with open_tree([f"rpm:{package}"], Options()) as collected:
        assert collected.architecture is None
        assert collected.sources == ("RPM package demo-firmware 2:20260622-1 (noarch)",)


def test_source_packages_are_refused(tmp_path: Path) -> None:
    package = build(tmp_path, what="-bs")
    assert package.name.endswith(".src.rpm")
    with (
        pytest.raises(UnsupportedError, match="a source package"),
        open_tree([str(package)], Options()),
    ):
        pass
