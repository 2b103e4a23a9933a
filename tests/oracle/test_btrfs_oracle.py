"""btrfs against btrfs-progs: what mkfs.btrfs makes, and what its dump says is in it."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.disk.subvolumes import read_btrfs
from sysgraft.errors import UnsupportedError
from sysgraft.formats.btrfs.volume import Subvolume, open_volume
from sysgraft.host.files import OpenFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from conftest import Debian13

SIZE: Final = 160 << 20


def empty(path: Path) -> Path:
    path.touch()
    os.truncate(path, SIZE)
    return path


def run(*argv: str | Path) -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env={"PATH": path, "LC_ALL": "C.UTF-8"}
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the folder has its ``/mnt``: a tree of a system, and a place for the image."""
    for name in ("root/usr/lib", "root/etc", "root/var/lib/machines/one", "home", "deep/a/b/c"):
        (tmp_path / "tree" / name).mkdir(parents=True)
    (tmp_path / "tree/root/etc/fstab").write_text("nothing\n")
    return tmp_path


def make(debian13: Debian13, folder: Path, *options: str) -> Path:
    """An image by mkfs.btrfs 6.14, which makes subvolumes of folders."""
    image = empty(folder / "image")
    argv = ["mkfs.btrfs", "-q", "--rootdir", "/mnt/tree", *options, "/mnt/image"]
    debian13.run(argv, binds={folder: "/mnt"})
    return image


def dumped(debian13: Debian13, image: Path) -> dict[int, tuple[int, str]]:
    """Each subvolume with the one it lies in and its name there, as the dump has them."""
    argv = ["btrfs", "inspect-internal", "dump-tree", "-t", "1", f"/mnt/{image.name}"]
    text = debian13.run(argv, binds={image.parent: "/mnt"}).stdout
    pattern = r"key \((\d+) ROOT_BACKREF (\w+)\).*\n\s+root backref key .* name (.*)"
    return {
        int(number): (5 if parent in ("5", "FS_TREE") else int(parent), name)
        for number, parent, name in re.findall(pattern, text)
    }


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize(
    ("subvolumes", "default"),
    [
        ((), ""),
        (("root", "home"), ""),
        (("default:root", "home"), "root"),
        (("root", "default:home"), "home"),
        (("ro:root", "root/var/lib/machines", "default:deep/a/b"), "deep/a/b"),
    ],
)
def test_subvolumes(
    debian13: Debian13, folder: Path, subvolumes: Sequence[str], default: str
) -> None:
    image = make(debian13, folder, *(f"--subvol={each}" for each in subvolumes))
    with OpenFile(image) as blob:
        volume = open_volume(blob)
        found = volume.subvolumes()
        paths = {each.path for each in found}
        assert paths == {"", *(each.rpartition(":")[2] for each in subvolumes)}
        assert volume.path(volume.default()) == default
        theirs = dumped(debian13, image)
        assert {each.number for each in found} == {5, *theirs}
        for each in found[1:]:
            parent, name = theirs[each.number]
            assert each.path.rpartition("/")[2] == name
            assert any(other.number == parent for other in found)
        if "root" in paths:
            number = next(each.number for each in found if each.path == "root")
            assert volume.names(number) == {"usr", "etc", "var"}


@pytest.mark.oracle("debian-13")
def test_hundreds_of_subvolumes_in_a_tree_of_levels(debian13: Debian13, folder: Path) -> None:
    names = [f"tree/many/subvolume-{number:03}" for number in range(120)]
    for name in names:
        (folder / name).mkdir(parents=True)
    options = [f"--subvol={name.removeprefix('tree/')}" for name in names]
    image = make(debian13, folder, "--subvol=default:root", *options)
    argv = ["btrfs", "inspect-internal", "dump-super", "/mnt/image"]
    said = debian13.run(argv, binds={folder: "/mnt"}).stdout
    level = re.search(r"^root_level\s+(\d+)", said, re.MULTILINE)
    assert level is not None
    assert int(level[1]) > 0
    with OpenFile(image) as blob:
        found = read_btrfs(blob)
    assert len(found.subvolumes) == 122
    assert found.default in found.subvolumes
    assert found.default == found.likely_system()


@pytest.mark.oracle("mkfs.btrfs")
@pytest.mark.parametrize("checksum", ["crc32c", "sha256", "blake2"])
@pytest.mark.parametrize("profile", ["single", "dup"])
@pytest.mark.parametrize("node", ["4096", "65536"])
def test_checksums_profiles_and_nodes(
    tmp_path: Path, checksum: str, profile: str, node: str
) -> None:
    image = empty(tmp_path / "image")
    options = ("--csum", checksum, "--metadata", profile, "--nodesize", node)
    run("mkfs.btrfs", "-q", *options, image)
    with OpenFile(image) as blob:
        volume = open_volume(blob)
        assert volume.default() == 5
        assert volume.subvolumes() == (Subvolume(5, ""),)


@pytest.mark.oracle("mkfs.btrfs")
def test_mixed_chunks(tmp_path: Path) -> None:
    image = empty(tmp_path / "image")
    run("mkfs.btrfs", "-q", "--mixed", "--nodesize", "4096", image)
    with OpenFile(image) as blob:
        assert open_volume(blob).default() == 5


@pytest.mark.oracle("mkfs.btrfs")
def test_xxhash_is_refused(tmp_path: Path) -> None:
    image = empty(tmp_path / "image")
    run("mkfs.btrfs", "-q", "--csum", "xxhash", image)
    with OpenFile(image) as blob, pytest.raises(UnsupportedError, match="xxhash64"):
        open_volume(blob)


@pytest.mark.oracle("mkfs.btrfs", "btrfstune")
def test_another_metadata_uuid(tmp_path: Path) -> None:
    image = empty(tmp_path / "image")
    run("mkfs.btrfs", "-q", image)
    run("btrfstune", "-f", "-m", image)
    with OpenFile(image) as blob:
        assert open_volume(blob).default() == 5


@pytest.mark.oracle("mkfs.btrfs")
def test_several_devices_are_refused(tmp_path: Path) -> None:
    one, two = (empty(tmp_path / name) for name in ("one", "two"))
    run("mkfs.btrfs", "-q", "--data", "raid0", "--metadata", "raid1", one, two)
    with OpenFile(one) as blob, pytest.raises(UnsupportedError, match="2 devices"):
        open_volume(blob)
