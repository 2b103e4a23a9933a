"""Disks against util-linux, gptfdisk and systemd: what they say of ours, and what they write."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest

from command import sysgraft
from disk_kit import MACHINE_ID, MIB, SIZE, Part, disk_of, nothing_mounted, part_uuid
from sysgraft.base.blob import BytesBlob
from sysgraft.disk.check import CheckOptions, check_disk
from sysgraft.disk.choosing import chosen
from sysgraft.disk.machine_id import var_uuid
from sysgraft.disk.mending import attribute_words
from sysgraft.disk.retype import RetypeOptions, retype
from sysgraft.disk.roles import ROLES, type_of
from sysgraft.disk.saving import restore
from sysgraft.formats.gpt import GROWFS, NO_AUTO, READ_ONLY
from sysgraft.formats.gpt_tables import read_tables
from sysgraft.formats.volume_signature import probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Debian13

ATTRIBUTES: Final = (0, 1, NO_AUTO, NO_AUTO | READ_ONLY | 5, GROWFS | 2)


def run(*argv: str | Path, stdin: str = "") -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    done = subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path, "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def change(disk: Path, **options: Any) -> str:
    """Retype it; the path of the backup."""
    backup = f"{disk}.saved"
    options = {"arch": "x86-64", "machine": nothing_mounted(disk.parent), **options}
    return retype(str(disk), RetypeOptions(backup=backup, force=True, **options)).backup


def some_disk(seed: int) -> bytearray:
    """A disk with partitions of all roles and a few attributes."""
    chance = random.Random(seed)
    parts = [
        Part(chance.choice(ROLES), name=f"part é {number}", attributes=chance.choice(ATTRIBUTES))
        if chance.random() > 0.2
        else None
        for number in range(9)
    ]
    return disk_of([Part("esp"), *parts])


# --- Writing -------------------------------------------------------------------------------------


@pytest.mark.oracle("sfdisk")
@pytest.mark.parametrize("seed", range(8))
def test_sfdisk_writes_the_same_bytes(tmp_path: Path, seed: int) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (ours, theirs):
        path.write_bytes(bytes(some_disk(seed)))
    tables = read_tables(BytesBlob(ours.read_bytes()))
    assert tables is not None
    chance = random.Random(seed)
    roles = {part.index + 1: chance.choice(ROLES) for part in tables.partitions}
    no_auto = {number: chance.random() > 0.5 for number in roles}
    change(ours, roles=roles, no_auto=no_auto)
    for part in tables.partitions:
        number = str(part.index + 1)
        wanted = str(type_of(roles[part.index + 1], "x86-64"))
        run("sfdisk", "--no-tell-kernel", "--part-type", theirs, number, wanted)
        bit = NO_AUTO if no_auto[part.index + 1] else 0
        bits = part.attributes & ~NO_AUTO | bit
        run("sfdisk", "--no-tell-kernel", "--part-attrs", theirs, number, attribute_words(bits))
    assert ours.read_bytes() == theirs.read_bytes()
    assert "No errors detected" in run("sfdisk", "--verify", ours)


@pytest.mark.root
@pytest.mark.oracle("sfdisk", "losetup")
@pytest.mark.parametrize("sector_size", [512, 4096])
def test_sfdisk_writes_the_same_on_a_block_device(tmp_path: Path, sector_size: int) -> None:
    parts = [Part("esp"), Part("linux-generic", name="root", attributes=5)]
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (ours, theirs):
        path.write_bytes(bytes(disk_of(parts, sector_size=sector_size)))
    wanted = str(type_of("root", "x86-64"))
    with_loop = loop(theirs, "--sector-size", str(sector_size))
    run("sfdisk", "--no-tell-kernel", "--part-type", next(with_loop), "2", wanted)
    next(with_loop, None)
    with_loop = loop(ours, "--sector-size", str(sector_size))
    device = next(with_loop)
    backup = f"{tmp_path}/saved"
    result = sysgraft(
        "disk", "retype", device, "--partition=2=root", "--arch=x86-64", "--backup", backup
    )
    assert result.code == 0, result.err
    assert sysgraft("disk", "check", device, "--arch=x86-64").code == 0
    next(with_loop, None)
    assert ours.read_bytes() == theirs.read_bytes()


def loop(path: Path, *options: str) -> Iterator[str]:
    """A loop device, until the next step."""
    device = run("losetup", "--find", "--show", *options, path).strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@pytest.mark.oracle("sgdisk")
@pytest.mark.parametrize("seed", range(4))
def test_sgdisk_finds_no_problem_and_reads_our_backup(tmp_path: Path, seed: int) -> None:
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    before = bytes(some_disk(seed))
    disk.write_bytes(before)
    backup = change(disk, roles={1: "xbootldr"}, growfs={1: True})
    assert "No problems found" in run("sgdisk", "--verify", disk)
    shutil.copy(disk, copy)
    run("sgdisk", f"--load-backup={backup}", copy)
    assert copy.read_bytes() == before
    restore(str(disk), backup, machine=nothing_mounted(tmp_path))
    assert disk.read_bytes() == before


@pytest.mark.oracle("sgdisk")
def test_our_backup_begins_as_that_of_sgdisk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(some_disk(1)))
    run("sgdisk", f"--backup={tmp_path}/theirs", disk)
    ours = (tmp_path / change(disk, roles={1: "xbootldr"})).read_bytes()
    theirs = (tmp_path / "theirs").read_bytes()
    assert ours[: len(theirs)] == theirs


@pytest.mark.oracle("sgdisk", "sfdisk")
@pytest.mark.parametrize("offset", [512 + 50, SIZE - 512 + 60])
def test_a_table_made_anew_is_good_to_all(tmp_path: Path, offset: int) -> None:
    data = some_disk(2)
    data[offset] ^= 1
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(data))
    change(disk)
    assert "No problems found" in run("sgdisk", "--verify", disk)
    assert "No errors detected" in run("sfdisk", "--verify", disk)


@pytest.mark.oracle("sfdisk")
def test_the_commands_mend_the_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk raw"
    parts = [
        Part("esp", attributes=2 | 4),
        Part("linux-generic"),
        Part("home", attributes=NO_AUTO | GROWFS | 1),
    ]
    disk.write_bytes(bytes(disk_of(parts)))
    words = ("disk", "check", disk, "--partition=2=root", "--arch=x86-64")
    assert sysgraft(*words).code == 1
    run("sh", "-e", stdin=sysgraft(*words, "--kickstart").out)
    after = sysgraft(*words, "--json")
    assert after.code == 0, after.out
    attributes = [each["attributes"] for each in after.document["partitions"]]
    assert attributes == [f"{bits:016x}" for bits in (4, 0, GROWFS | 1)]
    assert "Nothing is to be set." in sysgraft(*words, "--kickstart").out


# --- Reading -------------------------------------------------------------------------------------


@pytest.mark.oracle("sfdisk")
@pytest.mark.parametrize("seed", range(4))
def test_sfdisk_reads_the_same(tmp_path: Path, seed: int) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(some_disk(seed)))
    said = json.loads(run("sfdisk", "--json", disk))["partitiontable"]
    report = check_disk(str(disk), CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path)))
    assert UUID(said["id"]) == report.disk_uuid
    assert [
        (row.get("name", ""), UUID(row["uuid"]), UUID(row["type"])) for row in said["partitions"]
    ] == [
        (part.partition.name, part.partition.uuid, part.partition.type_uuid)
        for part in report.partitions
    ]


MAKERS: Final = {
    "ext4": ("mkfs.ext4", "-q"),
    "ext3": ("mkfs.ext4", "-q", "-t", "ext3"),
    "ext2": ("mkfs.ext4", "-q", "-t", "ext2"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "-q"),
    "vfat": ("mkfs.vfat",),
    "swap": ("mkswap",),
    "crypto_LUKS": ("cryptsetup", "luksFormat", "--batch-mode", "--pbkdf-force-iterations=1000",
                    "--pbkdf=pbkdf2", "--key-file=/proc/version"),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.oracle(MAKERS[name][0])) for name in MAKERS]
)
@pytest.mark.oracle("blkid")
def test_what_programs_make_is_told_as_blkid_does(tmp_path: Path, name: str) -> None:
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, 320 * MIB)
    run(*MAKERS[name], image)
    with image.open("rb") as file:
        found = probe(BytesBlob(file.read(MIB)))
    said = run("blkid", "--probe", "--output=value", "--match-tag=TYPE", image).strip()
    assert found == said == name


@pytest.mark.oracle("veritysetup")
def test_hash_trees_are_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(MIB))
    run("veritysetup", "format", tmp_path / "data", tmp_path / "hash")
    assert probe(BytesBlob((tmp_path / "hash").read_bytes())) == "DM_verity_hash"


@pytest.mark.oracle("mkfs.vfat", "mmd", "mkswap")
def test_roles_by_what_programs_make(tmp_path: Path) -> None:
    fat, swap, plain = (tmp_path / name for name in ("fat", "swap", "plain"))
    for path in (fat, swap, plain):
        path.write_bytes(bytes(MIB))
    run("mkfs.vfat", fat)
    run("mmd", "-i", fat, "::EFI")
    run("mkswap", swap)
    run("mkfs.vfat", plain)
    disk = tmp_path / "disk"
    kind = "linux-generic"
    parts = [Part(kind, path.read_bytes()) for path in (plain, swap, fat)]
    disk.write_bytes(bytes(disk_of(parts)))
    options = CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path))
    report = check_disk(str(disk), options)
    assert [part.role.name for part in report.partitions] == ["", "swap", "esp"]


# --- systemd -------------------------------------------------------------------------------------


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize("machine_id", [MACHINE_ID, "ffffffffffffffffffffffffffffffff", "1" * 32])
def test_systemd_names_the_partition_for_var_alike(
    debian13: Debian13, tmp_path: Path, machine_id: str
) -> None:
    (tmp_path / "machine-id").write_text(f"{machine_id}\n")
    script = "mount --bind /mnt/machine-id /etc/machine-id && systemd-id128 var-partition-uuid -u"
    said = debian13.run(["sh", "-c", script], binds={tmp_path: "/mnt"}).stdout
    assert UUID(said.strip()) == var_uuid(bytes.fromhex(machine_id))


def filled(folder: Path, tree: dict[str, str], mib: int) -> bytes:
    """An ext4 with files in it."""
    root = folder / "tree"
    shutil.rmtree(root, ignore_errors=True)
    for name, text in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    image = folder / "ext4"
    image.write_bytes(bytes(mib * MIB))
    run("mkfs.ext4", "-q", "-F", "-d", root, image)
    return image.read_bytes()


@pytest.mark.oracle("debian-13", "mkfs.ext4")
@pytest.mark.parametrize(
    "labels",
    [
        ("os_1", "os_2"),
        ("os_2", "os_1"),
        ("os_9", "os_10"),
        ("os_1", "os_1"),
        ("", "x"),
        ("b", "a~"),
    ],
)
@pytest.mark.parametrize("left_alone", [(), (0,), (1,)])
def test_systemd_takes_the_same_of_two(
    debian13: Debian13, tmp_path: Path, labels: tuple[str, str], left_alone: tuple[int, ...]
) -> None:
    tree = {"usr/lib/os-release": "ID=kit\nVERSION_ID=1\n", "etc/hostname": "kit\n"}
    root, home = filled(tmp_path, tree, 4), filled(tmp_path, {"a": ""}, 2)
    bits = [NO_AUTO if at in left_alone else 0 for at in (0, 1)]
    parts = [Part("esp"), *(
        Part(kind, data, name=label, attributes=bit, mib=mib)
        for kind, data, mib in (("root", root, 4), ("home", home, 2))
        for label, bit in zip(labels, bits, strict=True)
    )]  # fmt: skip
    image = tmp_path / "images/disk.raw"
    image.parent.mkdir()
    image.write_bytes(bytes(disk_of(parts, size=24 * MIB)))
    argv = ["systemd-dissect", "--json=short", "--image-policy=*", "/mnt/disk.raw"]
    said = json.loads(debian13.run(argv, binds={image.parent: "/mnt"}).stdout)
    theirs = {each["designator"]: UUID(each["partition_uuid"]) for each in said["mounts"]}
    tables = read_tables(BytesBlob(image.read_bytes()))
    assert tables is not None
    for role in ("root", "home"):
        ours = chosen(tables.partitions, role, "x86-64")
        assert ours is not None
        assert ours.uuid == theirs[role]
    assert theirs["esp"] == part_uuid(1)


@pytest.mark.oracle("debian-13", "mkfs.ext4", "mkswap")
def test_systemd_has_room_for_one_swap(debian13: Debian13, tmp_path: Path) -> None:
    tree = {"usr/lib/os-release": "ID=kit\nVERSION_ID=1\n", "etc/hostname": "kit\n"}
    swap = tmp_path / "swap"
    swap.write_bytes(bytes(MIB))
    run("mkswap", swap)
    parts = [Part("root", filled(tmp_path, tree, 4), mib=4), *[Part("swap", swap.read_bytes())] * 2]
    image = tmp_path / "images/disk.raw"
    image.parent.mkdir()
    image.write_bytes(bytes(disk_of(parts, size=24 * MIB)))
    argv = ["systemd-dissect", "--json=short", "--image-policy=*", "/mnt/disk.raw"]
    said = json.loads(debian13.run(argv, binds={image.parent: "/mnt"}).stdout)
    found = [each["partition_uuid"] for each in said["mounts"] if each["designator"] == "swap"]
    assert found == [str(part_uuid(2))]


# --- What is mounted -----------------------------------------------------------------------------

_MOUNTED: Final = """
set -eu
mount "$1" "$2"
mkdir -p "$2/etc"
echo 0123456789abcdef0123456789abcdef > "$2/etc/machine-id"
shift
root=$1; shift
status=0
"$@" --root "$root" || status=$?
umount "$root"
exit $status
"""


@pytest.mark.root
@pytest.mark.oracle("mkfs.ext4", "losetup")
def test_a_root_that_is_really_mounted(tmp_path: Path) -> None:
    import sys  # noqa: PLC0415  for this test only

    disk, root = tmp_path / "disk", tmp_path / "root"
    root.mkdir()
    parts = [Part("esp"), Part("linux-generic", filled(tmp_path, {"a": ""}, 2), mib=2)]
    disk.write_bytes(bytes(disk_of(parts)))
    steps = loop(disk, "--offset", str(2 * MIB), "--sizelimit", str(2 * MIB))
    device = next(steps)
    argv = [sys.executable, "-m", "sysgraft", "disk", "check", str(disk), "--json", "--arch=x86-64"]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", _MOUNTED, "sh", device, str(root), *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    next(steps, None)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)["partitions"][1]
    assert (found["role"], found["evidence"]) == ("root", "mounted")
    assert found["why"] == f"mounted at {root}"


_INSTALLED: Final = """
set -eu
device=$1; root=$2; shift 2
top=$(mktemp -d)
mount -t btrfs "$device" "$top" || exit 77
btrfs subvolume create "$top/root" >&2
btrfs subvolume create "$top/home" >&2
mkdir "$top/root/usr" "$top/root/etc"
mount -o subvol=root "$device" "$root"
sync
"$@" --kickstart > "$top/mend.sh" || true
"$@" --json || true
sh -e "$top/mend.sh" >&2
sync
"$@" --json
umount "$root" "$top"
rmdir "$top"
"""


@pytest.mark.root
@pytest.mark.oracle("mkfs.btrfs", "losetup", "sfdisk")
def test_an_installed_btrfs_is_mended_while_it_is_mounted(tmp_path: Path) -> None:
    import sys  # noqa: PLC0415  for this test only

    disk, root = tmp_path / "disk", tmp_path / "root"
    root.mkdir()
    parts = [Part("esp"), Part("linux-generic", mib=200)]
    disk.write_bytes(bytes(disk_of(parts, size=220 * MIB)))
    steps = loop(disk, "--offset", str(2 * MIB), "--sizelimit", str(200 * MIB))
    device = next(steps)
    run("mkfs.btrfs", "-q", device)
    argv = [sys.executable, "-m", "sysgraft", "disk", "check", str(disk), "--arch=x86-64"]
    argv += ["--root", str(root)]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", _INSTALLED, "sh", device, str(root), *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    next(steps, None)
    if done.returncode == 77:
        pytest.skip("the kernel has no btrfs")
    assert done.returncode == 0, done.stderr + done.stdout
    before, after = map(json.loads, done.stdout.replace("}\n{", "}\0{").split("\0"))
    assert [each["name"] for each in before["checks"] if each["status"] == "fail"] == [
        "root-type",
        "btrfs-default",
    ]
    assert after["ok"] is True
    assert after["partitions"][1]["btrfs"]["default"]["path"] == "root"
    report = check_disk(str(disk), CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path)))
    assert report.ok
