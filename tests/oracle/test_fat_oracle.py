"""FAT volumes that mkfs.vfat and mtools make, read as mtools reads them."""

from __future__ import annotations

import os
import random
import re
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import FileBlob
from sysgraft.formats import fat
from sysgraft.formats.esp import find_esp
from sysgraft.formats.fat_table import Runs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.oracle("mkfs.vfat"),
    pytest.mark.oracle("mcopy"),
    pytest.mark.oracle("mdir"),
    pytest.mark.oracle("fsck.fat"),
]

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}
# Not FAT32 with few clusters: mtools takes that for FAT12 or FAT16, unlike firmware and Linux.
FORMS = {
    "fat12": ("-F12", 4),
    "fat16": ("-F16", 32),
    "fat32": ("-F32 -s1", 48),
    "fat16 with 4 KiB sectors": ("-F16 -S4096 -s1", 40),
    "fat32 with 4 KiB sectors": ("-F32 -S4096 -s1", 300),
    "fat16 with large clusters": ("-F16 -s64", 150),
    "one table": ("-F12 -f1 -r128", 4),
}


def run(*words: str | Path) -> str:
    done = subprocess.run(
        words, env=ENVIRONMENT, capture_output=True, timeout=120, check=False, text=True
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def make_tree(root: Path) -> None:
    """Files of many names and sizes, some of them deep."""
    chance = random.Random(5)
    boot = root / "EFI/BOOT"
    boot.mkdir(parents=True)
    (boot / "BOOTX64.EFI").write_bytes(chance.randbytes(300_000))
    (boot / "BOOTX64.EFI.extra.d").mkdir()
    (boot / "BOOTX64.EFI.extra.d/demo.raw").write_bytes(chance.randbytes(4096))
    (root / "lower.txt").write_bytes(b"lower case, short")
    (root / "Mixed.Txt").write_bytes(b"")
    (root / "größe – 日本語 €.conf").write_bytes(b"unicode")  # noqa: RUF001
    (root / ("n" * 200 + ".efi")).write_bytes(chance.randbytes(512))
    deep = root
    for number in range(12):
        deep /= f"Level number {number}"
    deep.mkdir(parents=True)
    (deep / "bottom").write_bytes(chance.randbytes(5000))
    many = root / "many"
    many.mkdir()
    for number in range(150):
        (many / f"entry-{number:03}.conf").write_bytes(chance.randbytes(number * 7))
    for place in sorted(root.rglob("*")):
        when = 1_700_000_000 + 2 * chance.randrange(1_000_000)
        os.utime(place, (when, when))


def make_volume(path: Path, options: str, megabytes: int, tree: Path) -> None:
    with path.open("wb") as file:
        file.truncate(megabytes << 20)
    run("mkfs.vfat", *options.split(), "-n", "SYSGRAFT", "-i", "1234abcd", path)
    run("mcopy", "-i", path, "-s", "-p", "-m", *sorted(tree.iterdir()), "::")


def fragment(path: Path, tree: Path) -> None:
    """Fill the volume, delete every second of many files, and store a large one in the gaps."""
    free = int(re.sub(r"\D", "", run("mdir", "-i", path, "::").splitlines()[-2]))
    with (tree / "filler").open("wb") as file:
        file.truncate(free - 40_000)
    run("mcopy", "-i", path, "-m", tree / "filler", "::")
    names = [f"entry-{number:03}.conf" for number in range(1, 150, 2)]
    run("mdel", "-i", path, *(f"::/many/{name}" for name in names))
    for name in names:
        (tree / "many" / name).unlink()
    data = random.Random(6).randbytes(60_000)
    (tree / "fragmented.bin").write_bytes(data)
    run("mcopy", "-i", path, "-m", tree / "fragmented.bin", "::")


def listed(image: Path) -> set[str]:
    """The paths that mdir tells; folders end with a slash."""
    lines = run("mdir", "-i", image, "-/", "-b", "-a", "::").splitlines()
    return {line.removeprefix("::/") for line in lines}


@pytest.mark.parametrize("form", FORMS)
def test_a_volume_is_read_as_mtools_reads_it(tmp_path: Path, form: str) -> None:
    tree, image, out = tmp_path / "tree", tmp_path / "image", tmp_path / "out"
    make_tree(tree)
    make_volume(image, *FORMS[form], tree)
    fragment(image, tree)
    run("fsck.fat", "-n", image)
    out.mkdir()
    run("mcopy", "-i", image, "-s", "-p", "-m", "-n", "::", out)
    with image.open("rb") as file:
        volume = fat.open_volume(FileBlob(file))
        assert volume.label == "SYSGRAFT"
        assert volume.geometry.serial == 0x1234ABCD
        walked = dict(volume.walk())
        expected = {str(place.relative_to(tree)) for place in tree.rglob("*")}
        assert set(walked) == expected
        assert {path + "/" if e.is_dir else path for path, e in walked.items()} == listed(image)
        for path, entry in walked.items():
            theirs = out / path
            assert entry.is_dir == theirs.is_dir()
            if entry.is_dir:
                continue
            content = volume.content(entry)
            assert content.read_at(0, content.size) == theirs.read_bytes()
            assert theirs.read_bytes() == (tree / path).read_bytes()
            assert entry.modified is not None
            assert entry.modified.replace(tzinfo=UTC) == datetime.fromtimestamp(
                int(theirs.stat().st_mtime), UTC
            )
            assert volume.find(path.upper() if path.isascii() else path) == entry
        pieces = volume.content(walked["fragmented.bin"])
        assert isinstance(pieces, Runs)
        if volume.geometry.cluster_size <= 4096:
            assert len(pieces._starts) > 3


@pytest.mark.parametrize(
    ("options", "kilobytes"),
    [
        ("-F12", 64),
        ("-F12 -s16 -S1024", 16 << 10),
        ("-F12 -f1 -R5 -r48", 1440),
        ("-F16 -s1", 3 << 10),
        ("-F16 -s128 -S2048", 2 << 20),
        ("-F32 -s8", 4 << 10),
        ("-F32 -s1 -a", 600),
        ("-F32 -S4096 -R2", 1 << 20),
        ("-F32", 9 << 20),
    ],
)
def test_boot_sectors_are_read_as_fsck_reads_them(
    tmp_path: Path, options: str, kilobytes: int
) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(kilobytes << 10)
    run("mkfs.vfat", *options.split(), image)
    told = run("fsck.fat", "-n", "-v", image)

    def number(pattern: str) -> int:
        found = re.search(pattern, told)
        return int(found[1]) if found else 0

    with image.open("rb") as made:
        geometry = fat.open_volume(FileBlob(made)).geometry
    assert geometry.bits == number(r"(\d+) bit entries") == int(options[2:4])
    assert geometry.sector_size == number(r"(\d+) bytes per logical")
    assert geometry.cluster_size == number(r"(\d+) bytes per cluster")
    assert geometry.fat_offset == number(r"First FAT starts at byte (\d+)")
    assert geometry.fat_size == number(r"(\d+) bytes per FAT")
    assert geometry.root_offset == number(r"Root directory starts at byte (\d+)")
    assert geometry.root_size == 32 * number(r"(\d+) root directory entries")
    assert geometry.root_cluster == number(r"Root directory start at cluster (\d+)")
    assert geometry.data_offset == number(r"Data area starts at byte (\d+)")
    assert geometry.cluster_limit - 2 == number(r"(\d+) data clusters")
    assert geometry.size == geometry.sector_size * number(r"(\d+) sectors total")


def test_the_file_that_comes_back_is_not_loaded(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(600 << 20)
    run("mkfs.vfat", "-F32", "-s1", image)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(400 << 20)
        file.seek(300 << 20)
        file.write(b"here")
    run("mcopy", "-i", image, large, "::LARGE.BIN")
    with image.open("rb") as file:
        volume = fat.open_volume(FileBlob(file))
        entry = volume.find("large.bin")
        assert entry is not None
        content = volume.content(entry)
        assert isinstance(content, Runs)
        assert content.read_at((300 << 20) - 2, 8) == b"\0\0here\0\0"
        assert content.size == 400 << 20
        assert len(content._starts) < 10, "819,200 clusters are a few runs"


@pytest.mark.oracle("sgdisk")
def test_the_partition_of_a_disk_is_found(tmp_path: Path) -> None:
    tree, volume_path, disk = tmp_path / "tree", tmp_path / "volume", tmp_path / "disk"
    make_tree(tree)
    make_volume(volume_path, "-F32", 48, tree)
    with disk.open("wb") as file:
        file.truncate(60 << 20)
    run("sgdisk", "-n1:2048:+1M", "-t1:8300", "-n2:6144:+48M", "-t2:ef00", disk)
    with disk.open("r+b") as file:
        file.seek(6144 * 512)
        file.write(volume_path.read_bytes())
    with disk.open("rb") as file, volume_path.open("rb") as alone:
        found = dict(fat.open_volume(find_esp(FileBlob(file))).walk())
        assert found == dict(fat.open_volume(find_esp(FileBlob(alone))).walk())
        assert "EFI/BOOT/BOOTX64.EFI.extra.d/demo.raw" in found
