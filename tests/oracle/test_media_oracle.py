"""Media as other programs see them: partitions, file systems, ISO 9660, El Torito."""

from __future__ import annotations

import json
import os
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from media_kit import MediaKit, media_kit
from node_root import STRANGER, listing, make_root
from pieces_kit import blob, joined
from sysgraft.base.blob import SubBlob
from sysgraft.formats import gpt
from sysgraft.formats.iso9660_writer import NewFile, VolumeOptions, plan_volume
from sysgraft.host.files import OpenFile

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13

__all__ = ["media_kit"]

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "MTOOLSRC": os.devnull}
MIB = 1 << 20


def run(*words: str | Path) -> str:
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def esp_of(image: Path, target: Path) -> Path:
    """The EFI system partition of an image, as a file."""
    with OpenFile(str(image)) as disk:
        esp = gpt.parse(disk).partitions[0]
        part = SubBlob(disk, esp.offset, esp.size)
        target.write_bytes(part.read_at(0, part.size))
    return target


@pytest.mark.oracle("sgdisk")
@pytest.mark.oracle("sfdisk")
@pytest.mark.oracle("fsck.fat")
@pytest.mark.oracle("mcopy")
@pytest.mark.parametrize("verb", ["disk", "iso"])
def test_partitions_and_file_system_are_clean(
    verb: str, media_kit: MediaKit, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    (tmp_path / "one.sysext.raw").write_bytes(b"one")
    words: list[str | Path] = [
        "--extra",
        tmp_path / "one.sysext.raw",
        "--carry",
        tmp_path / "one.sysext.raw",
    ]
    done = media_kit.media(verb, image, *media_kit.signed, *words, "--json")
    assert done.code == 0, done.err
    assert "No problems found" in run("sgdisk", "-v", image)
    assert "No errors detected" in run("sfdisk", "--verify", image)
    told = run("sfdisk", "--dump", image)
    assert "type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B" in told
    assert done.document["partitions"][0]["uuid"].upper() in told
    volume = esp_of(image, tmp_path / "esp")
    run("fsck.fat", "-n", "-v", volume)
    (tmp_path / "copy").mkdir()
    run("mcopy", "-s", "-n", "-i", volume, "::/EFI", "::/loader", tmp_path / "copy")
    files = files_below(tmp_path / "copy")
    assert files["EFI/Linux/active.efi"] == (media_kit.folder / "active.efi").read_bytes()
    assert files["EFI/Linux/passive.efi.extra.d/one.sysext.raw"] == b"one"
    wanted = {each["path"] for each in done.document["files"] if each["group"] != "carried"}
    assert files.keys() == wanted


@pytest.mark.root
@pytest.mark.oracle("losetup")
@pytest.mark.oracle("sfdisk")
def test_the_kernel_finds_the_partitions_of_large_sectors(
    media_kit: MediaKit, tmp_path: Path
) -> None:
    image, data = tmp_path / "image", tmp_path / "data"
    data.write_bytes(b"data" * 9999)
    words = ("--sector-size", "4096", "--esp-size", "64M", "--partition", f"home={data}")
    assert media_kit.media("disk", image, *media_kit.signed, *words).code == 0
    loop = run("losetup", "--find", "--show", "--read-only", "--sector-size", "4096", image).strip()
    try:
        told = run("sfdisk", "--dump", loop)
        assert "No errors detected" in run("sfdisk", "--verify", loop)
    finally:
        run("losetup", "--detach", loop)
    assert "sector-size: 4096" in told
    assert 'name="home"' in told


@pytest.mark.oracle("debian-13", "mkfs.ext4")
def test_systemd_can_boot_it(media_kit: MediaKit, debian13: Debian13, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    root, tree = tmp_path / "root", tmp_path / "tree"
    for path, text in (("usr/lib/os-release", "ID=kit\nVERSION_ID=1\n"), ("sbin/init", "")):
        (tree / path).parent.mkdir(parents=True)
        (tree / path).write_text(text)
    with open(root, "wb") as file:
        file.truncate(8 * MIB)
    run("mkfs.ext4", "-q", "-d", tree, root)
    words = ("--partition", f"root={root}", "--json")
    done = media_kit.media("disk", folder / "disk.raw", *media_kit.signed, *words)
    argv = ["systemd-dissect", "--json=short", "--image-policy=*", "/mnt/disk.raw"]
    said = json.loads(debian13.run(argv, binds={folder: "/mnt"}).stdout)
    assert said["useBootableUefi"] is True
    theirs = {each["designator"]: each["partition_uuid"] for each in said["mounts"]}
    esp, other = (each["uuid"] for each in done.document["partitions"])
    assert theirs == {"esp": esp, "root": other}


@pytest.mark.oracle("fsck.fat")
def test_a_volume_of_large_sectors_is_clean(media_kit: MediaKit, tmp_path: Path) -> None:
    image = tmp_path / "image"
    for size in ("64M", "300M"):
        words = ("--sector-size", "4096", "--esp-size", size, "--force")
        assert media_kit.media("disk", image, *media_kit.signed, *words).code == 0
        assert "4096" in run("fsck.fat", "-n", "-v", esp_of(image, tmp_path / "esp"))


@pytest.mark.oracle("xorriso")
def test_xorriso_finds_what_firmware_starts_both_ways(media_kit: MediaKit, tmp_path: Path) -> None:
    image = tmp_path / "image.iso"
    (tmp_path / "one.sysext.raw").write_bytes(b"one" * 9999)
    words = ("--carry", tmp_path / "one.sysext.raw", "--volume-id", "UKI_ISO_INSTALL")
    assert media_kit.media("iso", image, *media_kit.signed, *words).code == 0
    report = run(
        *("xorriso", "-indev", image, "-pvd_info", "-report_el_torito", "plain"),
        *("-report_system_area", "plain"),
    )
    lines = {" ".join(line.split()) for line in report.splitlines()}
    assert "El Torito boot img : 1 UEFI y none 0x0000 0x00 1 512" in lines
    assert "El Torito img path : 1 /boot/efi.img" in lines
    assert "GPT partition path : 1 /boot/efi.img" in lines
    assert "Volume Id : UKI_ISO_INSTALL" in lines
    summary = next(line for line in lines if line.startswith("System area summary"))
    assert summary.endswith("protective-msdos-label cyl-align-off GPT")
    out = tmp_path / "out"
    run("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/", out)
    found = files_below(out)
    assert found["extensions/one.sysext.raw"] == b"one" * 9999
    assert found["boot/efi.img"] == esp_of(image, tmp_path / "esp").read_bytes()
    assert found.keys() == {"extensions/one.sysext.raw", "boot/efi.img"}


@pytest.mark.oracle("xorriso")
def test_what_is_carried_is_installed_into_another_system(
    media_kit: MediaKit, tmp_path: Path
) -> None:
    root = make_root(tmp_path / "system")
    carried = tmp_path / "carried"
    carried.mkdir()
    for each in (root.image("one_1"), root.image("two", signer=STRANGER)):
        each.rename(carried / each.name)
    image, out = tmp_path / "image.iso", tmp_path / "out"
    assert media_kit.media("iso", image, *media_kit.signed, "--carry", carried).code == 0
    run("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/extensions", out)
    done = root.run("install", out)
    assert "left out: " in done.err
    links = [path for path in listing(root.store) if path.count("/") == 1]
    assert sorted(links) == ["active/one_1.sysext.raw", "passive/one_1.sysext.raw"]


@pytest.mark.oracle("xorriso")
@pytest.mark.parametrize("seed", range(4))
def test_xorriso_reads_every_file(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    words = ["EFI", "efi", "größe", "a b", "x.y.z", ".d", "日本", "UPPER.TXT", "n" * 150, "m" * 240]
    files = {"boot/efi.img": chance.randbytes(100_000)}
    for number in range(chance.randrange(1, 300)):
        folders = [chance.choice(words) for _ in range(chance.randrange(6))]
        size = chance.choice([0, 1, 2047, 2048, 2049, 50_000])
        name = f"{number} {chance.choice(words)}"
        files["/".join([*folders, name])] = chance.randbytes(size)
    new = [NewFile(path, blob(data)) for path, data in files.items()]
    plan = plan_volume(new, VolumeOptions("MANY_FILES", "boot/efi.img", 1_700_000_000))
    image, out = tmp_path / "image.iso", tmp_path / "out"
    image.write_bytes(joined(plan.pieces(), plan.size))
    run("xorriso", "-osirrox", "on", "-indev", image, "-extract", "/", out)
    assert files_below(out) == files
    some = next(path for path in out.rglob("*") if path.is_file())
    assert (some.stat().st_mode & 0o777, int(some.stat().st_mtime)) == (0o444, 1_700_000_000)


@pytest.mark.oracle("xorriso")
def test_xorriso_reads_a_file_of_more_than_4_gib(tmp_path: Path) -> None:
    large = (4 << 30) + 12_345
    with (tmp_path / "large").open("wb") as file:
        file.truncate(large)
        file.seek(large - 5)
        file.write(b"large")
    content = OpenFile(str(tmp_path / "large"))
    files = [NewFile("boot/efi.img", blob(b"FAT" * 999)), NewFile("large", content)]
    plan = plan_volume(files, VolumeOptions("LARGE", "boot/efi.img"))
    with (tmp_path / "image.iso").open("wb") as image:
        for piece in plan.pieces():
            image.seek(piece.offset)
            if piece.content.size < MIB:
                image.write(piece.content.read_at(0, piece.content.size))
                continue
            image.seek(piece.end - 5)
            image.write(b"large")
        image.truncate(plan.size)
    listed = run("xorriso", "-indev", tmp_path / "image.iso", "-lsl", "/large")
    assert f" {large} " in listed
    content.close()
