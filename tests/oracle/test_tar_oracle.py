"""Archives that GNU tar and the compressors write hold what the folder holds."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING, TypeAlias

import pytest

from sysgraft.build.collect import Options, open_tree
from sysgraft.errors import UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

Shape: TypeAlias = dict[bytes, tuple[object, ...]]


def shape(argument: str, options: Options) -> Shape:
    """Everything of a tree but times; hard links by the first path of their inode."""
    with open_tree([argument], options) as collected:
        first: dict[int, bytes] = {}
        return {
            path: (
                inode.mode,
                inode.uid,
                inode.gid,
                inode.xattrs,
                inode.target,
                inode.content.read_at(0, inode.content.size) if inode.content else None,
                first.setdefault(id(inode), path),
            )
            for path, inode in collected.tree.items()
        }


@pytest.fixture
def rich_tree(sample_tree: Path) -> Path:
    """The sample tree with what archives find hard."""
    usr = sample_tree / "usr"
    deep = usr / ("d" * 100) / ("e" * 120)
    deep.mkdir(parents=True)
    (deep / ("n" * 90)).write_text("deep")
    (usr / "to-deep").symlink_to("/usr/" + "d" * 100 + "/" + "e" * 120)
    (deep / "hard").hardlink_to(deep / ("n" * 90))
    with open(os.path.join(os.fsencode(usr), b"odd \xff\n\\name"), "wb") as file:
        file.write(b"odd")
    (usr / "bin/demo").chmod(0o4755)
    (usr / "empty").mkdir(mode=0o1777)
    (usr / "empty").chmod(0o1777)
    (sample_tree / "lib").mkdir()
    (sample_tree / "lib/moved").write_text("moved")
    return sample_tree


def gnu_tar(folder: Path, target: Path, *options: str) -> str:
    subprocess.run(["tar", "-C", folder, *options, "-cf", target, "."], check=True)
    return str(target)


ROOT = Options(owner="root", source_date_epoch=0)


@pytest.mark.oracle("tar")
@pytest.mark.parametrize("form", ["gnu", "oldgnu", "posix"])
def test_every_format_holds_the_folders_tree(rich_tree: Path, tmp_path: Path, form: str) -> None:
    path = gnu_tar(rich_tree, tmp_path / "x.tar", f"--format={form}")
    assert shape(path, ROOT) == shape(str(rich_tree), ROOT)


@pytest.mark.oracle("tar")
@pytest.mark.parametrize("form", ["ustar", "v7"])
def test_old_formats(sample_tree: Path, tmp_path: Path, form: str) -> None:
    path = gnu_tar(sample_tree, tmp_path / "x.tar", f"--format={form}")
    assert shape(path, ROOT) == shape(str(sample_tree), ROOT)


@pytest.mark.oracle("tar", "gzip", "bzip2", "xz", "zstd")
@pytest.mark.parametrize("option", ["--gzip", "--bzip2", "--xz", "--lzma", "--zstd"])
def test_every_compression(rich_tree: Path, tmp_path: Path, option: str) -> None:
    path = gnu_tar(rich_tree, tmp_path / "x.tar", option)
    assert shape(path, ROOT) == shape(str(rich_tree), ROOT)


@pytest.mark.oracle("tar")
def test_owners_times_and_large_numbers(sample_tree: Path, tmp_path: Path) -> None:
    for form, nsec in (("gnu", 0), ("posix", 123456789)):
        path = gnu_tar(
            sample_tree,
            tmp_path / f"{form}.tar",
            *(f"--format={form}", "--owner=:3000000", "--group=:5"),
            "--mtime=2242-03-16 12:56:32.123456789 UTC",
        )
        with open_tree([path], Options()) as collected:
            inode = collected.tree[b"usr/bin/demo"]
            assert (inode.uid, inode.gid) == (3_000_000, 5)
            assert (inode.mtime, inode.mtime_nsec) == (8589934592, nsec)


@pytest.mark.root
@pytest.mark.oracle("tar", "setcap", "setfattr")
def test_extended_attributes_and_capabilities(sample_tree: Path, tmp_path: Path) -> None:
    program = sample_tree / "usr/bin/demo"
    subprocess.run(["setfattr", "-n", "user.note", "-v", "two\nlines=", program], check=True)
    subprocess.run(["setcap", "cap_net_raw+ep", program], check=True)
    os.chown(program, 0, 0)
    subprocess.run(["setcap", "cap_net_raw+ep", program], check=True)
    path = gnu_tar(sample_tree, tmp_path / "x.tar", "--xattrs", "--xattrs-include=*")
    found = shape(path, ROOT)
    assert found == shape(str(sample_tree), ROOT)
    names = dict(found[b"usr/bin/demo"][3])  # type: ignore[call-overload]
    assert names.keys() == {b"security.capability", b"user.note"}


@pytest.mark.oracle("tar")
def test_sparse_files_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr").mkdir(parents=True)
    with (root / "usr/sparse").open("wb") as file:
        file.truncate(10 << 20)
    for form in ("gnu", "posix"):
        path = gnu_tar(root, tmp_path / "x.tar", "--sparse", f"--format={form}")
        with pytest.raises(UnsupportedError, match="sparse"):
            shape(path, ROOT)
    assert stat.S_ISREG((root / "usr/sparse").stat().st_mode)


@pytest.mark.oracle("tar")
def test_a_later_member_of_an_archive_that_grew_counts(sample_tree: Path, tmp_path: Path) -> None:
    path = gnu_tar(sample_tree, tmp_path / "x.tar")
    (sample_tree / "usr/bin/demo").write_text("new")
    subprocess.run(["tar", "-C", sample_tree, "-rf", path, "./usr/bin/demo"], check=True)
    assert shape(path, ROOT) == shape(str(sample_tree), ROOT)
