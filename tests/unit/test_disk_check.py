"""What systemd will find on a disk: rules, evidence, and what to do."""

from __future__ import annotations

import os
import struct
import subprocess
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from test_gpt_tables import reseal

import btrfs_kit
from disk_kit import (
    EXT3,
    EXT4,
    LUKS,
    LVM,
    MACHINE_ID,
    RAID,
    SIZE,
    SWAP,
    SWAP_ID,
    Fake,
    Part,
    disk_of,
    nothing_mounted,
    part_uuid,
)
from fat_image import FatImage, record, short
from sysgraft.disk.check import CheckOptions, check_disk
from sysgraft.disk.kickstart import script
from sysgraft.disk.machine_id import read_machine_id, var_uuid
from sysgraft.disk.report import RULES, DiskReport, Rule
from sysgraft.disk.roles import contradicts, parse_roles
from sysgraft.disk.subvolumes import Btrfs, read_btrfs
from sysgraft.errors import InputError, UsageError
from sysgraft.formats.gpt import NO_AUTO, READ_ONLY
from sysgraft.formats.partition_types import type_uuid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sysgraft.base.blob import Blob
    from sysgraft.disk.opening import Machine

GENERIC = "linux-generic"
BASIC_DATA = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
VAR_UUID = var_uuid(bytes.fromhex(MACHINE_ID))


def esp() -> bytes:
    """A FAT volume with a folder EFI."""
    image = FatImage(12)
    efi = image.folder(record(short("BOOT"), image.folder(), attributes=0x10))
    image.set_root(record(short("EFI"), efi, attributes=0x10))
    return image.image()


GOOD = [Part("esp", esp()), Part("root", EXT4)]


def write(folder: Path, parts: Sequence[Part | None], *, sector_size: int = 512) -> str:
    path = folder / "disk.raw"
    path.write_bytes(bytes(disk_of(parts, sector_size=sector_size)))
    return str(path)


def check(
    folder: Path,
    parts: Sequence[Part | None],
    *roles: str,
    machine: Machine | None = None,
    root: str = "",
    arch: str = "x86-64",
) -> DiskReport:
    machine = machine or nothing_mounted(folder)
    options = CheckOptions(root=root, arch=arch, roles=parse_roles(roles), machine=machine)
    return check_disk(write(folder, parts), options)


def rule(report: DiskReport, name: str) -> Rule:
    return next(each for each in report.rules if each.name == name)


def failed(report: DiskReport) -> list[str]:
    return [each.name for each in report.rules if each.status == "fail"]


def commands(report: DiskReport) -> list[tuple[str, ...]]:
    return [mend.command[:2] + mend.command[3:] if mend.command else () for mend in report.mends]


# --- Types ---------------------------------------------------------------------------------------


def test_a_good_disk(tmp_path: Path) -> None:
    report = check(tmp_path, GOOD)
    assert report.ok
    assert [each.name for each in report.rules] == list(RULES)
    assert [part.role.name for part in report.partitions] == ["esp", "root"]
    assert (report.mends, report.notes) == ((), ())


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_sector_sizes(tmp_path: Path, sector_size: int) -> None:
    path = write(tmp_path, GOOD, sector_size=sector_size)
    options = CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path))
    report = check_disk(path, options)
    assert report.ok
    assert report.sector_size == sector_size


def test_a_generic_root_is_asked_for(tmp_path: Path) -> None:
    report = check(tmp_path, [Part("esp", esp()), Part(GENERIC, EXT4)])
    assert failed(report) == ["root-type"]
    assert "--partition N=root, of 2 (ext4)" in rule(report, "root-type").reason
    assert report.mends == ()


@pytest.mark.parametrize("arch", ["x86-64", "arm64", "riscv64"])
def test_a_generic_root_that_is_named(tmp_path: Path, arch: str) -> None:
    report = check(tmp_path, [Part("esp", esp()), Part(GENERIC, EXT4)], "2=root", arch=arch)
    assert failed(report) == ["root-type"]
    (mend,) = report.mends
    wanted = str(type_uuid("root", arch))
    assert mend.command == (
        "sfdisk", "--no-tell-kernel", "--part-type", report.disk, "2", wanted,
    )  # fmt: skip


def test_a_root_of_another_architecture(tmp_path: Path) -> None:
    report = check(tmp_path, [Part("esp", esp()), Part("root", EXT4, arch="arm64")])
    assert failed(report) == ["root-type"]
    assert "say --arch arm64" in rule(report, "root-type").reason
    assert not report.mends
    assert "sfdisk" not in script(report)
    arm = check(tmp_path, [Part("esp", esp()), Part("root", EXT4, arch="arm64")], arch="aarch64")
    assert arm.ok


@pytest.mark.parametrize("role", ["home", "srv", "tmp", "xbootldr", "usr"])
def test_every_other_role(tmp_path: Path, role: str) -> None:
    report = check(tmp_path, [*GOOD, Part(GENERIC, EXT4)], f"3={role}")
    assert failed(report) == [f"{role}-type"]
    arch = "x86-64" if role == "usr" else None
    assert report.mends[0].command[-1] == str(type_uuid(role, arch))
    good = check(tmp_path, [*GOOD, Part(role, EXT4)])
    assert good.ok
    assert [note for note in good.notes if "FAT" in note] == [
        "partition 3, /boot, holds ext4: systemd-boot reads FAT"
    ] * (role == "xbootldr")


def test_what_is_certain_by_content(tmp_path: Path) -> None:
    parts = [Part(GENERIC, esp()), Part("root", EXT4), Part(GENERIC, SWAP)]
    report = check(tmp_path, parts)
    assert failed(report) == ["esp-type", "swap-type"]
    assert [part.role.source for part in report.partitions] == ["content", "type", "content"]


def test_a_fat_volume_without_efi_is_not_guessed_at(tmp_path: Path) -> None:
    report = check(tmp_path, [*GOOD, Part(BASIC_DATA, FatImage(12).image())])
    assert report.ok
    assert report.partitions[2].role.name == ""
    assert "what for is not known" in report.notes[0]


@pytest.mark.parametrize(
    "parts",
    [
        [Part(GENERIC, esp()), Part(GENERIC, esp())],
        [Part(BASIC_DATA, esp())],
        [Part("home", esp()), Part(BASIC_DATA, SWAP)],
        [Part("srv", SWAP), Part(BASIC_DATA, SWAP)],
    ],
)
def test_content_is_certain_only_where_no_type_says_otherwise(
    tmp_path: Path, parts: list[Part]
) -> None:
    report = check(tmp_path, parts)
    assert {"esp", "swap"}.isdisjoint(part.role.name for part in report.partitions)
    assert not report.mends


def test_a_partition_that_was_named_is_the_esp(tmp_path: Path) -> None:
    report = check(tmp_path, [Part(GENERIC), Part(GENERIC, esp())], "1=esp")
    assert [part.role.name for part in report.partitions] == ["esp", ""]


def test_a_second_fat_volume_with_efi_is_not_guessed_at(tmp_path: Path) -> None:
    report = check(tmp_path, [*GOOD, Part(BASIC_DATA, esp())])
    assert report.ok
    assert report.partitions[2].role.name == ""


@pytest.mark.parametrize(
    ("role", "content"),
    [("root-verity", b"verity\0\0"), ("usr-verity-sig", b'{"rootHash"'), ("user-home", LUKS)],
)
def test_roles_beside_those_of_a_machine(tmp_path: Path, role: str, content: bytes) -> None:
    report = check(tmp_path, [*GOOD, Part(GENERIC, content)], f"3={role}")
    assert failed(report) == ["other-type"]
    assert report.mends[0].command[-1] == str(Part(role).type_uuid)
    assert check(tmp_path, [*GOOD, Part(role, content)]).ok
    assert failed(check(tmp_path, [*GOOD, Part(role, EXT4)], f"3={role}")) == (
        [] if role == "user-home" else ["other-type"]
    )


def test_efi_on_an_extended_boot_partition_does_not_make_it_an_esp(tmp_path: Path) -> None:
    report = check(tmp_path, [*GOOD, Part("xbootldr", esp())])
    assert report.ok
    assert report.partitions[2].role.name == "xbootldr"


@pytest.mark.parametrize(
    ("role", "content", "word"),
    [
        ("esp", EXT4, "ext4"),
        ("root", LVM, "never discovered"),
        ("home", SWAP, "swap"),
        ("home", EXT3, "common file systems"),
        ("xbootldr", EXT3, "ext3"),
        ("esp", RAID, "never discovered"),
        ("root", RAID, "software RAID"),
    ],
)
def test_contents_that_contradict(tmp_path: Path, role: str, content: bytes, word: str) -> None:
    report = check(tmp_path, [Part(GENERIC, content)], f"1={role}")
    assert rule(report, f"{role}-type").status == "fail"
    assert word in rule(report, f"{role}-type").reason


@pytest.mark.parametrize("role", ["root", "usr", "home", "srv", "var", "tmp", "swap"])
def test_luks_may_be_any_of_these(role: str) -> None:
    assert not contradicts(role, "crypto_LUKS")
    assert contradicts("esp", "crypto_LUKS")


def test_a_root_may_be_ext3(tmp_path: Path) -> None:
    assert check(tmp_path, [Part("esp", esp()), Part("root", EXT3)]).ok


@pytest.mark.parametrize("content", [LVM, RAID])
def test_a_root_may_be_where_it_is_never_found(tmp_path: Path, content: bytes) -> None:
    report = check(tmp_path, [Part("esp", esp()), Part(GENERIC, content)])
    assert failed(report) == ["root-type"]
    assert "never discovered" in rule(report, "root-type").reason


def test_only_usr(tmp_path: Path) -> None:
    report = check(tmp_path, [Part("esp", esp()), Part("usr", b"hsqs" + bytes(4096))])
    assert report.ok
    assert rule(report, "root-type").status == "skipped"


def test_an_empty_table(tmp_path: Path) -> None:
    report = check(tmp_path, [])
    assert [each.status for each in report.rules] == ["ok"] + ["skipped"] * (len(RULES) - 1)


# --- Attributes, choice, one disk ----------------------------------------------------------------


def test_no_auto(tmp_path: Path) -> None:
    parts = [Part("esp", esp(), attributes=1 << 1 | 1), Part("root", EXT4, attributes=NO_AUTO | 1)]
    report = check(tmp_path, parts)
    assert failed(report) == ["no-auto"]
    assert [mend.command[-2:] for mend in report.mends] == [
        ("1", "RequiredPartition"),
        ("2", "RequiredPartition"),
    ]


def test_no_auto_means_nothing_on_an_esp(tmp_path: Path) -> None:
    assert check(tmp_path, [Part("esp", esp(), attributes=NO_AUTO), Part("root", EXT4)]).ok


def test_other_attributes_stay(tmp_path: Path) -> None:
    report = check(tmp_path, [Part("esp"), Part("root", attributes=NO_AUTO | READ_ONLY)])
    assert report.mends[0].command[-1] == "GUID:60"
    report = check(tmp_path, [Part("esp"), Part("root", attributes=NO_AUTO | 1 << 40)])
    (mend,) = report.mends
    assert mend.command == ("sgdisk", "-A", "2:clear:63", str(tmp_path / "disk.raw"))


@pytest.mark.parametrize(
    ("labels", "taken"),
    [(("a", "a"), 2), (("os_1", "os_2"), 3), (("os_10", "os_9"), 2), (("", "x"), 3), (("", ""), 2)],
)
def test_which_root_is_taken(tmp_path: Path, labels: tuple[str, str], taken: int) -> None:
    parts = [Part("esp", esp()), *(Part("root", EXT4, name=each) for each in labels)]
    report = check(tmp_path, parts)
    assert report.ok
    assert f"root is partition {taken}, by the newest label" in rule(report, "choice").reason
    other = 5 - taken
    assert failed(check(tmp_path, parts, f"{other}=root", f"{taken}=root")) == []
    assert failed(check(tmp_path, parts, f"{other}=root")) == ["choice"]


def test_a_spare_root_that_is_left_alone_is_fine(tmp_path: Path) -> None:
    spare = Part("root", EXT4, name="2", attributes=NO_AUTO)
    parts = [Part("esp", esp()), spare, Part("root", EXT4, name="1")]
    report = check(tmp_path, parts)
    assert report.ok
    assert rule(report, "choice").reason == "no type is there twice"
    assert failed(check(tmp_path, parts[:2])) == ["no-auto"]
    assert failed(check(tmp_path, parts, "2=root")) == ["no-auto"]


def test_what_is_taken_once_types_are_right(tmp_path: Path) -> None:
    parts = [Part("esp", esp()), Part("root", EXT4, name="2"), Part(GENERIC, EXT4, name="1")]
    assert failed(check(tmp_path, parts, "3=root")) == ["root-type", "choice"]
    assert failed(check(tmp_path, parts[::-1], "1=root")) == ["root-type", "choice"]


def test_a_root_that_is_left_alone_is_no_candidate(tmp_path: Path) -> None:
    parts = [
        Part("esp", esp()),
        Part("root", EXT4, name="2", attributes=NO_AUTO),
        Part("root", EXT4, name="1"),
    ]
    report = check(tmp_path, parts, "2=linux-generic")
    assert rule(report, "choice").reason == "no type is there twice"


def test_of_homes_the_first_is_taken(tmp_path: Path) -> None:
    parts = [*GOOD, Part("home", EXT4, name="1"), Part("home", EXT4, name="2")]
    assert "home is partition 3, the first" in rule(check(tmp_path, parts), "choice").reason
    assert failed(check(tmp_path, parts, "4=home")) == ["choice"]


def test_only_the_first_swap_is_used(tmp_path: Path) -> None:
    parts = [*GOOD, Part("swap", SWAP), Part("swap", SWAP)]
    assert check(tmp_path, parts).ok
    both = rule(check(tmp_path, parts, "3=swap", "4=swap"), "choice")
    assert both.status == "fail"
    assert "partition 4 (as it was said) is meant too" in both.reason


def test_without_an_esp(tmp_path: Path) -> None:
    report = check(tmp_path, [Part("root", EXT4)])
    assert report.ok
    assert "no ESP on this disk" in rule(report, "root-disk").reason


# --- /var ----------------------------------------------------------------------------------------


def test_the_uuid_of_var_is_that_of_systemd() -> None:
    # systemd-id128 var-partition-uuid of systemd 257 says so.
    assert str(VAR_UUID) == "c0c46eff-e386-4746-a2bd-0962cd326ea2"


def test_var_without_a_machine_id(tmp_path: Path) -> None:
    report = check(tmp_path, [*GOOD, Part("var", EXT4)])
    assert report.ok
    assert rule(report, "var-uuid").status == "skipped"
    assert "derived from the machine ID" in rule(report, "var-uuid").reason


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (MACHINE_ID, True),
        (f"{MACHINE_ID}\n", True),
        ("uninitialized\n", False),
        ("", False),
        ("0" * 32, False),
        (MACHINE_ID.upper(), False),
    ],
)
def test_machine_ids(tmp_path: Path, text: str, known: bool) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text(text)
    assert (read_machine_id(str(tmp_path)) is not None) is known
    assert read_machine_id(str(tmp_path / "none")) is None


# --- Tables --------------------------------------------------------------------------------------


def test_an_mbr_disk(tmp_path: Path) -> None:
    data = bytearray(1 << 20)
    struct.pack_into("<B3xB3xII", data, 446, 0x80, 0x83, 64, 100)
    data[510:512] = b"\x55\xaa"
    path = tmp_path / "mbr.raw"
    path.write_bytes(bytes(data))
    report = check_disk(str(path), CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path)))
    assert failed(report) == ["gpt"]
    assert "this one has an MBR (partitions: 1 Linux)" in report.rules[0].reason
    assert report.partitions == ()


@pytest.mark.parametrize(("data", "word"), [(EXT4, "it holds ext4"), (bytes(4096), "it has none")])
def test_no_table(tmp_path: Path, data: bytes, word: str) -> None:
    (tmp_path / "x").write_bytes(data)
    options = CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path))
    report = check_disk(str(tmp_path / "x"), options)
    assert failed(report) == ["gpt"]
    assert word in report.rules[0].reason


def damaged(folder: Path, *offsets: int) -> DiskReport:
    disk = disk_of(GOOD)
    for offset in offsets:
        disk[offset] ^= 0xFF
    (folder / "x").write_bytes(bytes(disk))
    options = CheckOptions(arch="x86-64", machine=nothing_mounted(folder))
    return check_disk(str(folder / "x"), options)


def test_damaged_tables(tmp_path: Path) -> None:
    last = SIZE - 512
    for offsets, count in (((512,), 2), ((last,), 2), ((512, last), 0)):
        report = damaged(tmp_path, *offsets)
        assert failed(report) == ["gpt"]
        assert len(report.partitions) == count


def test_a_gpt_without_a_protective_mbr(tmp_path: Path) -> None:
    report = damaged(tmp_path, 450)
    assert "protective MBR" in rule(report, "gpt").reason


def test_a_disk_that_grew_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(disk_of(GOOD)) + bytes(1 << 20))
    options = CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path))
    report = check_disk(str(tmp_path / "x"), options)
    assert report.ok
    assert "--move-second-header" in report.notes[0]


def test_a_protective_record_that_begins_elsewhere(tmp_path: Path) -> None:
    disk = disk_of(GOOD)
    struct.pack_into("<I", disk, 446 + 8, 2)
    (tmp_path / "x").write_bytes(bytes(disk))
    options = CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path))
    reason = rule(check_disk(str(tmp_path / "x"), options), "gpt").reason
    assert "begins with sector 2, not 1: the kernel takes no notice" in reason


def test_a_hybrid_mbr_is_a_note(tmp_path: Path) -> None:
    disk = disk_of(GOOD)
    struct.pack_into("<B3xB3xII", disk, 462, 0, 0x83, 2048, 2048)
    (tmp_path / "x").write_bytes(bytes(disk))
    options = CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path))
    report = check_disk(str(tmp_path / "x"), options)
    assert report.ok
    assert "hybrid" in report.notes[0]


def test_a_disk_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        check_disk(str(tmp_path / "none"), CheckOptions(machine=nothing_mounted(tmp_path)))


def test_partitions_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no partition 7"):
        check(tmp_path, GOOD, "7=root")


@pytest.mark.parametrize(
    "word", ["root", "0=root", "x=root", "1=", "=root", "1=cellar", "²=root", "9" * 5000 + "=root"]
)
def test_words_that_are_no_roles(word: str) -> None:
    with pytest.raises(UsageError):
        parse_roles([word])
    with pytest.raises(UsageError, match="two roles"):
        parse_roles(["1=root", "1=home"])


# --- btrfs ---------------------------------------------------------------------------------------


def with_btrfs(maker: btrfs_kit.Maker, kind: str = "root") -> list[Part]:
    return [Part("esp", esp()), Part(kind, maker.image())]


def test_a_default_subvolume_that_is_not_the_system(tmp_path: Path) -> None:
    report = check(tmp_path, with_btrfs(btrfs_kit.fedora()))
    assert failed(report) == ["btrfs-default"]
    assert "not root (256), where the system is" in rule(report, "btrfs-default").reason
    (mend,) = report.mends
    assert not mend.command
    assert "losetup --find --show --partscan" in mend.why
    assert "by-partuuid" not in script(report)
    fake = Fake(tmp_path, str(tmp_path / "disk.raw"))
    report = check(tmp_path, with_btrfs(btrfs_kit.fedora()), machine=fake.machine)
    (mend,) = report.mends
    assert mend.command == ("sh", "-euc", "; ".join(mend.lines))
    assert mend.lines == (
        "place=$(mktemp -d)",
        f'mount /dev/disk/by-partuuid/{part_uuid(2)} "$place"',
        'btrfs subvolume set-default 256 "$place"',
        'umount "$place"',
        'rmdir "$place"',
    )


def test_a_default_subvolume_that_is(tmp_path: Path) -> None:
    assert check(tmp_path, with_btrfs(btrfs_kit.fedora(256))).ok
    top = btrfs_kit.Maker(names={5: ("usr", "etc", "bin")})
    assert check(tmp_path, with_btrfs(top)).ok


def test_a_btrfs_that_cannot_be_read_is_skipped(tmp_path: Path) -> None:
    maker = btrfs_kit.fedora()
    maker.checksum = "xxhash"
    report = check(tmp_path, with_btrfs(maker))
    assert report.ok
    assert rule(report, "btrfs-default").status == "skipped"
    assert "xxhash" in rule(report, "btrfs-default").reason


def test_several_systems_are_not_guessed_among(tmp_path: Path) -> None:
    maker = btrfs_kit.Maker(
        subvolumes=[(256, 5, 256, "one"), (257, 5, 256, "two")],
        names={256: ("usr", "etc"), 257: ("usr", "etc")},
    )
    found = rule(check(tmp_path, with_btrfs(maker)), "btrfs-default")
    assert found.status == "skipped"
    assert "one (256), two (257)" in found.reason


def test_a_home_on_btrfs_has_its_own_default(tmp_path: Path) -> None:
    report = check(tmp_path, [*GOOD, Part("home", btrfs_kit.fedora().image())])
    assert rule(report, "btrfs-default").status == "skipped"


# --- What is mounted -----------------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path, str(tmp_path / "disk.raw"))


@pytest.fixture
def sysroot(tmp_path: Path) -> str:
    """Where an installer has mounted the new root."""
    folder = tmp_path / "sysroot"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/machine-id").write_text(MACHINE_ID)
    return str(folder)


ALL = [Part(GENERIC, EXT4) for _ in range(7)]


def test_roles_by_what_is_mounted(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    places = ["", "/usr", "/home", "/srv", "/var", "/var/tmp", "/boot"]
    for number, place in enumerate(places, 1):
        fake.mount(fake.partition(number), sysroot + place)
    report = check(tmp_path, ALL, machine=fake.machine, root=sysroot)
    roles = ["root", "usr", "home", "srv", "var", "tmp", "xbootldr"]
    assert [part.role.name for part in report.partitions] == roles
    assert {part.role.source for part in report.partitions} == {"mounted"}
    assert rule(report, "root-type").mends[0].command[-2:] == (
        "1",
        str(type_uuid("root", "x86-64")),
    )
    var = rule(report, "var-uuid")
    assert var.mends[0].command[2:] == ("--part-uuid", report.disk, "5", str(VAR_UUID))


def test_var_with_the_right_name(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    fake.mount(fake.partition(2), sysroot)
    parts = [*GOOD, Part("var", EXT4, uuid=VAR_UUID)]
    report = check(tmp_path, parts, machine=fake.machine, root=sysroot)
    assert report.ok
    assert rule(report, "var-uuid").status == "ok"


@pytest.mark.parametrize("places", [("/efi",), ("/boot/efi",), ("/boot",), ("/boot/efi", "/boot")])
def test_where_the_esp_is(
    fake: Fake, sysroot: str, tmp_path: Path, places: tuple[str, ...]
) -> None:
    fake.mount(fake.partition(1), sysroot)
    for number, place in enumerate(places, 2):
        fake.mount(fake.partition(number), sysroot + place, "vfat")
    parts = [Part("root", EXT4), Part("esp", FatImage(12).image())]
    if len(places) == 2:
        parts.append(Part("xbootldr", FatImage(12).image()))
    report = check(tmp_path, parts, machine=fake.machine, root=sysroot)
    assert report.ok
    assert [part.role.source for part in report.partitions] == ["mounted"] * len(parts)
    assert [note for note in report.notes if "fstab" in note] == [
        (
            "systemd mounts an ESP at /efi or /boot: for /boot/efi keep its line in fstab, "
            "and the one for /boot too, for with one of them it mounts neither"
        )
    ] * ("/boot/efi" in places)


@pytest.mark.parametrize(
    ("kinds", "role"),
    [
        (("root", GENERIC), "esp"),
        (("root", BASIC_DATA), "esp"),
        (("root", "esp"), "esp"),
        (("root", "xbootldr"), "xbootldr"),
        (("root", GENERIC, "esp"), "xbootldr"),
        (("root", "esp", "esp"), "esp"),
    ],
)
def test_a_fat_volume_at_boot(
    fake: Fake, sysroot: str, tmp_path: Path, kinds: tuple[str, ...], role: str
) -> None:
    fake.mount(fake.partition(1), sysroot)
    fake.mount(fake.partition(2), f"{sysroot}/boot", "vfat")
    parts = [Part(kind, FatImage(12).image() if at else EXT4) for at, kind in enumerate(kinds)]
    report = check(tmp_path, parts, machine=fake.machine, root=sysroot)
    assert report.partitions[1].role.name == role
    assert report.partitions[1].role.source == "mounted"


def test_one_btrfs_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def noted(blob: Blob) -> Btrfs:
        read.append(blob.size)
        return read_btrfs(blob)

    monkeypatch.setattr("sysgraft.disk.check.read_btrfs", noted)
    disk = disk_of([Part("root", btrfs_kit.fedora().image())])
    for table in (1024, SIZE - 33 * 512):
        for number in range(1, 9):
            at = table + 128 * number
            disk[at : at + 128] = disk[table : table + 128]
            disk[at + 16] = number
    for lba in (1, SIZE // 512 - 1):
        reseal(disk, lba)
    (tmp_path / "x").write_bytes(bytes(disk))
    options = CheckOptions(arch="x86-64", machine=nothing_mounted(tmp_path))
    assert len(check_disk(str(tmp_path / "x"), options).partitions) == 9
    assert len(read) == 1


def test_subvolumes_of_one_btrfs(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    fake.partition(2)
    for seen, place in (("/root", ""), ("/home", "/home")):
        fake.mount("0:40", sysroot + place, "btrfs", source="/dev/sda2", seen=seen)
    parts = with_btrfs(btrfs_kit.fedora())
    report = check(tmp_path, parts, machine=fake.machine, root=sysroot)
    assert failed(report) == ["btrfs-default"]
    assert report.partitions[1].role.name == "root"
    assert report.mends[0].command == ("btrfs", "subvolume", "set-default", "256", sysroot)
    good = with_btrfs(btrfs_kit.fedora(256))
    assert check(tmp_path, good, machine=fake.machine, root=sysroot).ok


def test_an_open_luks_volume_is_on_its_partition(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    fake.mount(fake.mapped(0, fake.partition(2)), sysroot)
    parts = [Part("esp", esp()), Part(GENERIC, LUKS)]
    report = check(tmp_path, parts, machine=fake.machine, root=sysroot)
    assert failed(report) == ["root-type"]
    assert report.partitions[1].role.source == "mounted"


def test_the_btrfs_in_an_open_luks_volume(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(btrfs_kit.fedora().image())
    fake.mapped(0, fake.partition(2))
    fake._numbers[str(plain)] = "253:0"
    fake.mount("0:40", sysroot, "btrfs", source=str(plain), seen="/root")
    parts = [Part("esp", esp()), Part("root", LUKS)]
    report = check(tmp_path, parts, machine=fake.machine, root=sysroot)
    assert failed(report) == ["btrfs-default"]


def test_a_root_on_several_partitions_is_on_none(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    fake.mount(fake.mapped(0, fake.partition(1), fake.partition(2)), sysroot)
    report = check(tmp_path, [Part(GENERIC), Part(GENERIC)], machine=fake.machine, root=sysroot)
    assert [part.role.name for part in report.partitions] == ["", ""]


def test_swap_in_use_and_in_fstab(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    fake.mount(fake.partition(1), sysroot)
    fake.partition(2)
    fake.swap("/dev/sda2")
    (tmp_path / "sysroot/etc/fstab").write_text(
        "# UUID=x none swap\n"
        f"PARTUUID={part_uuid(3)} none swap defaults 0 0\n"
        f'UUID="{SWAP_ID}" none swap sw 0 0\n'
        f"/dev/disk/by-partuuid/{part_uuid(5)} none swap sw\n"
        "LABEL=x none swap sw\nUUID=nonsense none swap sw\nshort\n"
    )
    luks = Part(GENERIC, LUKS)
    parts = [Part("root", EXT4), luks, luks, Part(GENERIC, SWAP), luks]
    report = check(tmp_path, parts, machine=fake.machine, root=sysroot)
    assert [part.role.name for part in report.partitions] == ["root", *["swap"] * 4]
    assert report.partitions[1].role.why == "in use as swap space"
    assert "fstab" in report.partitions[2].role.why


def test_an_esp_on_another_disk(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    fake.mount(fake.partition(1), sysroot)
    fake.mount("9:1", f"{sysroot}/efi", "vfat")
    report = check(tmp_path, [Part("root", EXT4)], machine=fake.machine, root=sysroot)
    assert failed(report) == ["root-disk"]
    fake = Fake(tmp_path / "other", fake.disk)
    fake.mount("9:1", sysroot)
    fake.mount(fake.partition(1), f"{sysroot}/efi", "vfat")
    report = check(tmp_path, [Part("esp", esp())], machine=fake.machine, root=sysroot)
    assert failed(report) == ["root-disk"]


def test_a_disk_of_no_concern_to_the_running_system(fake: Fake, tmp_path: Path) -> None:
    fake.mount("9:1", "/")
    fake.mount("9:2", "/efi", "vfat")
    assert check(tmp_path, GOOD, machine=fake.machine).ok


def test_what_is_mounted_on_no_device_is_nowhere(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    fake.mount(fake.partition(1), sysroot)
    fake.mount("0:50", f"{sysroot}/efi", "autofs", source="systemd-1")
    fake.mount("0:51", f"{sysroot}/var/tmp", "tmpfs", source="tmpfs")
    report = check(tmp_path, [Part("root", EXT4)], machine=fake.machine, root=sysroot)
    assert report.ok
    assert rule(report, "tmp-type").idle
    assert "no ESP on this disk" in rule(report, "root-disk").reason


def test_what_systemd_mounted_by_itself(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    fake.mount(fake.partition(2), sysroot)
    fake.mount("0:50", f"{sysroot}/boot", "autofs", source="systemd-1")
    fake.mount(fake.partition(1), f"{sysroot}/boot", "vfat")
    report = check(tmp_path, GOOD, machine=fake.machine, root=sysroot)
    assert [part.role.source for part in report.partitions] == ["mounted", "mounted"]
    assert report.partitions[0].role.name == "esp"


def test_nothing_is_mounted_at_the_root(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is mounted here"):
        check(tmp_path, GOOD, machine=fake.machine, root=sysroot)


def test_an_option_against_what_is_mounted(fake: Fake, sysroot: str, tmp_path: Path) -> None:
    fake.mount(fake.partition(2), sysroot)
    with pytest.raises(UsageError, match="partition 2 is root"):
        check(tmp_path, GOOD, "2=home", machine=fake.machine, root=sysroot)
    assert check(tmp_path, GOOD, "2=root", machine=fake.machine, root=sysroot).ok


def test_a_partition_that_the_kernel_has_elsewhere(
    fake: Fake, sysroot: str, tmp_path: Path
) -> None:
    parts = [Part("esp", esp()), Part(GENERIC, EXT4, mib=2), Part(GENERIC, EXT4, mib=3)]
    fake.mount(fake.partition(3), sysroot)
    fake.place(3, 4 * 2048, 3 * 2048)
    report = check(tmp_path, parts, machine=fake.machine, root=sysroot)
    assert report.partitions[2].role.source == "mounted"
    fake.place(3, 2 * 2048, 2 * 2048)
    report = check(tmp_path, parts, machine=fake.machine, root=sysroot)
    assert [part.role.name for part in report.partitions] == ["esp", "", ""]
    assert "partprobe" in report.notes[0]
    assert "another disk" not in rule(report, "root-type").reason


def test_a_disk_without_a_gpt_has_no_other_table(fake: Fake, tmp_path: Path) -> None:
    fake.partition(1)
    fake.place(1, 64, 100)
    data = bytearray(1 << 20)
    struct.pack_into("<B3xB3xII", data, 446, 0x80, 0x83, 64, 100)
    data[510:512] = b"\x55\xaa"
    (tmp_path / "disk.raw").write_bytes(bytes(data))
    options = CheckOptions(arch="x86-64", machine=fake.machine)
    assert check_disk(str(tmp_path / "disk.raw"), options).notes == ()


def test_a_partition_is_no_disk(fake: Fake) -> None:
    fake.partition(2)
    with pytest.raises(UsageError, match="partition 2 of a disk"):
        check_disk("/dev/sda2", CheckOptions(machine=fake.machine))


def test_sectors_of_another_size_than_the_kernel_has(fake: Fake, tmp_path: Path) -> None:
    fake.sector_size(512)
    assert check(tmp_path, GOOD, machine=fake.machine).ok
    fake.sector_size(4096)
    assert failed(check(tmp_path, GOOD, machine=fake.machine)) == ["gpt"]


# --- Script --------------------------------------------------------------------------------------


def test_a_script_is_comments_and_commands(tmp_path: Path) -> None:
    parts = with_btrfs(btrfs_kit.fedora(), GENERIC)
    machine = Fake(tmp_path, str(tmp_path / "disk.raw")).machine
    report = check(tmp_path, parts, "2=root", machine=machine)
    lines = script(report).splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "set -eu"
    assert sum(line.startswith("sfdisk --no-tell-kernel --part-type") for line in lines) == 1
    assert 'btrfs subvolume set-default 256 "$place"' in lines
    assert all(line[:1] in ("", "#") or line.split()[0] in COMMANDS for line in lines)


COMMANDS = ("set", "sfdisk", "btrfs", "place=$(mktemp", "mount", "umount", "rmdir")


def test_a_script_ends_where_a_mount_fails(tmp_path: Path) -> None:
    machine = Fake(tmp_path, str(tmp_path / "disk.raw")).machine
    text = script(check(tmp_path, with_btrfs(btrfs_kit.fedora()), machine=machine))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "mount").write_text("#!/bin/sh\nexit 32\n")
    (tools / "btrfs").write_text(f"#!/bin/sh\ntouch {tmp_path}/done\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    path = f"{tools}:{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        ["sh"], input=text, text=True, env={"PATH": path, "TMPDIR": str(tmp_path)}, check=False
    )
    assert done.returncode == 32
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("offset", [512 + 50, SIZE - 512 + 50, 450])
def test_nothing_is_set_on_damaged_tables(tmp_path: Path, offset: int) -> None:
    disk = disk_of([Part("esp", esp()), Part(GENERIC, EXT4, attributes=NO_AUTO)])
    disk[offset] ^= 1
    (tmp_path / "x").write_bytes(bytes(disk))
    options = CheckOptions(arch="x86-64", roles={2: "root"}, machine=nothing_mounted(tmp_path))
    report = check_disk(str(tmp_path / "x"), options)
    assert {"gpt", "root-type", "no-auto"} <= set(failed(report))
    assert not any(mend.command for mend in report.mends)
    lines = script(report).splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["set -eu"]
    assert "# Nothing is set while the partition tables are not in order." in lines


def test_a_script_with_nothing_to_do(tmp_path: Path) -> None:
    assert "Nothing is to be set." in script(check(tmp_path, GOOD))


def test_labels_cannot_break_out_of_a_script(tmp_path: Path) -> None:
    maker = btrfs_kit.Maker(subvolumes=[(256, 5, 256, "a\nreboot\n#")], names={256: ("usr", "etc")})
    text = script(check(tmp_path, with_btrfs(maker)))
    assert all(line[:1] in ("", "#") or line.split()[0] in COMMANDS for line in text.splitlines())


def test_uuids_are_uuids() -> None:
    assert isinstance(VAR_UUID, UUID)
