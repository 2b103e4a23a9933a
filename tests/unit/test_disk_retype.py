"""Types set in place: what is written, in which order, what is refused, and the way back."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

import pytest
from test_disk_check import GENERIC, esp
from test_gpt_tables import reseal

from disk_kit import EXT4, LUKS, LVM, SIZE, SWAP, Fake, Part, disk_of, nothing_mounted
from sysgraft.base.blob import BytesBlob
from sysgraft.disk.retype import RetypeOptions, RetypeReport, retype
from sysgraft.disk.saving import restore
from sysgraft.errors import InputError, OutputError, ToolError, UsageError
from sysgraft.formats.gpt import GROWFS, NO_AUTO
from sysgraft.formats.gpt_backup import read_backup
from sysgraft.formats.gpt_tables import read_tables
from sysgraft.formats.partition_types import type_uuid
from sysgraft.host import patching

if TYPE_CHECKING:
    from pathlib import Path

PARTS = [Part("esp", esp()), Part(GENERIC, EXT4, name="root"), Part("home", EXT4)]
LAST = SIZE // 512 - 1
ROOT = type_uuid("root", "x86-64")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(disk_of(PARTS)))
    return path


def run(disk: Path, **options: Any) -> RetypeReport:
    machine = options.pop("machine", nothing_mounted(disk.parent))
    return retype(str(disk), RetypeOptions(arch="x86-64", machine=machine, **options))


def put_back(disk: Path, backup: str = "disk.raw.gpt-backup", **more: bool) -> tuple[str, ...]:
    return restore(str(disk), backup, machine=nothing_mounted(disk.parent), **more).pieces


def types(disk: Path) -> list[Any]:
    tables = read_tables(BytesBlob(disk.read_bytes()))
    assert tables is not None
    assert tables.flaws == ()
    return [part.type_uuid for part in tables.partitions]


def test_a_root_gets_its_type(disk: Path) -> None:
    before = disk.read_bytes()
    report = run(disk, roles={2: "root"})
    assert report.written
    (change,) = report.changes
    assert (change.number, change.name, change.role, change.new_type) == (2, "root", "root", ROOT)
    assert types(disk) == [type_uuid("esp"), ROOT, type_uuid("home")]
    assert report.backup == "disk.raw.gpt-backup"
    saved = read_backup((disk.parent / report.backup).read_bytes())
    assert saved.size == SIZE
    for piece in saved.pieces:
        assert before[piece.offset : piece.offset + len(piece.data)] == piece.data


def test_nothing_to_change(disk: Path) -> None:
    before = disk.read_bytes()
    report = run(disk, roles={3: "home"}, no_auto={1: False})
    assert (report.changes, report.written, report.backup) == ((), False, "")
    assert disk.read_bytes() == before
    assert os.listdir(disk.parent) == ["disk.raw"]


def test_a_dry_run_writes_nothing(disk: Path) -> None:
    before = disk.read_bytes()
    report = run(disk, roles={2: "root"}, dry_run=True)
    assert len(report.changes) == 1
    assert not report.written
    assert disk.read_bytes() == before
    assert os.listdir(disk.parent) == ["disk.raw"]


def test_attributes(disk: Path) -> None:
    report = run(disk, no_auto={3: True}, growfs={2: True, 3: False})
    assert [each.new_attributes for each in report.changes] == [GROWFS, NO_AUTO]
    assert [each.role for each in report.changes] == ["", ""]
    report = run(disk, no_auto={3: False}, growfs={2: False}, backup="second")
    assert disk.read_bytes() == bytes(disk_of(PARTS))


def test_what_is_certain_by_content_is_set(disk: Path) -> None:
    disk.write_bytes(bytes(disk_of([Part(GENERIC, esp()), Part(GENERIC, SWAP)])))
    run(disk)
    assert types(disk) == [type_uuid("esp"), type_uuid("swap")]


def test_what_is_mounted_is_set(disk: Path) -> None:
    fake = Fake(disk.parent, str(disk))
    (disk.parent / "sysroot").mkdir()
    fake.mount(fake.partition(2), str(disk.parent / "sysroot"))
    run(disk, machine=fake.machine, root=str(disk.parent / "sysroot"))
    assert types(disk)[1] == ROOT


def test_a_partition_can_be_taken_from_systemd(disk: Path) -> None:
    run(disk, roles={3: "linux-generic"})
    assert types(disk)[2] == type_uuid("linux-generic")


@pytest.mark.parametrize(
    ("role", "content"),
    [("esp", EXT4), ("swap", EXT4), ("root", SWAP), ("root", LVM), ("esp", LUKS), ("home", LVM)],
)
def test_what_is_in_it_counts(disk: Path, role: str, content: bytes) -> None:
    disk.write_bytes(bytes(disk_of([Part(GENERIC, content)])))
    with pytest.raises(UsageError, match=f"which {role} cannot be") as caught:
        run(disk, roles={1: role})
    assert "--force" in caught.value.hint
    run(disk, roles={1: role}, force=True)
    assert types(disk) == [type_uuid(role, "x86-64" if role == "root" else None)]


def test_a_mounted_logical_volume_is_a_note(disk: Path) -> None:
    disk.write_bytes(bytes(disk_of([Part(GENERIC, LVM)])))
    fake = Fake(disk.parent, str(disk))
    (disk.parent / "sysroot").mkdir()
    fake.mount(fake.mapped(0, fake.partition(1)), str(disk.parent / "sysroot"))
    report = run(disk, machine=fake.machine, root=str(disk.parent / "sysroot"))
    assert not report.written
    assert "keeps its type" in report.notes[0]


def test_partitions_that_are_not_there(disk: Path) -> None:
    for options in ({"roles": {9: "root"}}, {"no_auto": {9: True}}, {"growfs": {9: True}}):
        with pytest.raises(UsageError, match="no partition 9"):
            run(disk, **options)


def test_no_auto_on_an_esp_is_a_note(disk: Path) -> None:
    assert "no notice" in run(disk, no_auto={1: True}).notes[0]


# --- Disks that are left alone -------------------------------------------------------------------


def refused(disk: Path, data: bytes | bytearray, match: str, **options: Any) -> None:
    disk.write_bytes(bytes(data))
    with pytest.raises(InputError, match=match) as caught:
        run(disk, roles={2: "root"}, **options)
    assert caught.value.hint
    assert disk.read_bytes() == bytes(data)
    assert os.listdir(disk.parent) == ["disk.raw"]


@pytest.mark.parametrize("force", [False, True])
def test_other_disks(disk: Path, force: bool) -> None:
    mbr = bytearray(1 << 20)
    struct.pack_into("<B3xB3xII", mbr, 446, 0x80, 0x83, 64, 100)
    mbr[510:512] = b"\x55\xaa"
    refused(disk, mbr, "an MBR", force=force)
    refused(disk, bytes(1 << 20), "no GPT", force=force)
    stale = disk_of(PARTS)
    stale[:512] = mbr[:512]
    refused(disk, stale, "an MBR", force=force)
    stale[:512] = bytes(512)
    refused(disk, stale, "without a protective MBR", force=force)


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("plain", "--mbrtogpt"), ("none", "all that is missing"), ("ext4", "that is partitioned")],
)
def test_what_a_disk_without_a_gpt_needs(disk: Path, kind: str, hint: str) -> None:
    data = disk_of(PARTS)
    if kind == "plain":
        data[450] = 0x83
    elif kind == "none":
        data[510:512] = b"\0\0"
    else:
        data = bytearray(EXT4.ljust(1 << 20, b"\0"))
    disk.write_bytes(bytes(data))
    with pytest.raises(InputError) as caught:
        run(disk, roles={2: "root"})
    assert hint in caught.value.hint
    assert ("--mbrtogpt" in caught.value.hint) == (kind == "plain")
    assert kind != "ext4" or "all of it is ext4" in caught.value.message


@pytest.mark.parametrize("force", [False, True])
def test_tables_that_nothing_is_written_to(disk: Path, force: bool) -> None:
    both = disk_of(PARTS)
    both[512] ^= 1
    both[LAST * 512] ^= 1
    refused(disk, both, "no GPT", force=force)
    both = disk_of(PARTS)
    both[512 + 50] ^= 1
    both[LAST * 512 + 50] ^= 1
    refused(disk, both, "both partition tables", force=force)
    overlapping = disk_of(PARTS)
    for at in (1024, (LAST - 32) * 512):
        struct.pack_into("<Q", overlapping, at + 40, 5000)
    for lba in (1, LAST):
        reseal(overlapping, lba)
    refused(disk, overlapping, "partitions 1 and 2 overlap", force=force)


@pytest.mark.parametrize("force", [False, True])
def test_a_backup_that_may_be_of_an_older_table(disk: Path, force: bool) -> None:
    data = disk_of(PARTS)
    data[512 + 56] ^= 1
    refused(disk, data, "damaged primary table is of the disk", force=force)
    data = disk_of(PARTS) + bytearray(1 << 20)
    data[512 + 50] ^= 1
    older = disk_of([Part("root")], size=len(data))
    data[-33 * 512 :] = older[-33 * 512 :]
    refused(disk, data, "backup tables in sectors .* differ", force=force)


def test_a_primary_table_is_not_made_over_something_else(disk: Path) -> None:
    data = disk_of(PARTS)
    data[512 : 4 * 512] = bytes(512) + b"core.img" * 128
    refused(disk, data, "something else than an old one", force=True)


@pytest.mark.parametrize("offset", [512 + 50, LAST * 512 + 60])
def test_a_damaged_table_is_made_anew_if_that_is_wanted(disk: Path, offset: int) -> None:
    data = disk_of(PARTS)
    data[offset] ^= 1
    refused(disk, data, "table: the header's checksum")
    report = run(disk, roles={2: "root"}, force=True)
    assert report.repaired == ("the primary table" if offset < 1024 else "the backup table")
    assert types(disk)[1] == ROOT
    assert put_back(disk)
    assert disk.read_bytes() == bytes(data)


def test_only_the_repair(disk: Path) -> None:
    data = disk_of(PARTS)
    data[LAST * 512 + 60] ^= 1
    disk.write_bytes(bytes(data))
    report = run(disk, force=True)
    assert (report.changes, report.repaired, report.written) == ((), "the backup table", True)
    assert disk.read_bytes() == bytes(disk_of(PARTS))


def test_tables_that_differ(disk: Path) -> None:
    data = disk_of(PARTS)
    data[1024 + 128 + 56] = ord("R")
    reseal(data, 1)
    refused(disk, data, "differ")
    assert run(disk, roles={2: "root"}, force=True).repaired == "the backup table"
    assert types(disk)[1] == ROOT


def test_a_disk_that_grew(disk: Path) -> None:
    with disk.open("ab") as file:
        file.truncate(SIZE + (1 << 20))
    assert run(disk, roles={2: "root"}).written
    tables = read_tables(BytesBlob(disk.read_bytes()))
    assert tables is not None
    assert tables.partitions[1].type_uuid == ROOT
    assert [flaw.code for flaw in tables.flaws] == ["backup-misplaced"]


def test_sectors_of_another_size_than_the_kernel_has(disk: Path) -> None:
    fake = Fake(disk.parent, str(disk))
    fake.sector_size(4096)
    with pytest.raises(InputError, match="4096"):
        run(disk, machine=fake.machine, roles={2: "root"})


# --- Writing -------------------------------------------------------------------------------------


def test_the_order_in_which_it_is_written(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    pwrite, fsync = os.pwrite, os.fsync

    def written(fd: int, data: bytes, offset: int) -> int:
        done.append(offset // 512)
        return pwrite(fd, data, offset)

    def synced(fd: int) -> None:
        done.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")).split(" ")[0])
        fsync(fd)

    monkeypatch.setattr(os, "pwrite", written)
    monkeypatch.setattr(os, "fsync", synced)
    run(disk, roles={2: "root"})
    at = done.index(LAST - 32)
    assert done[at:] == [LAST - 32, LAST, "disk.raw", 1, "disk.raw"]
    assert len(done[:at]) >= 1  # the backup, and its folder


def test_the_backup_is_there_before_the_disk_changes(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = disk.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OutputError("no")

    monkeypatch.setattr("sysgraft.disk.retype.patch", fail)
    with pytest.raises(OutputError):
        run(disk, roles={2: "root"})
    assert disk.read_bytes() == before
    read_backup((disk.parent / "disk.raw.gpt-backup").read_bytes())


def test_a_backup_is_never_replaced(disk: Path) -> None:
    (disk.parent / "disk.raw.gpt-backup").write_text("older")
    with pytest.raises(OutputError, match="exists") as caught:
        run(disk, roles={2: "root"}, force=True)
    assert "--backup" in caught.value.hint
    assert (disk.parent / "disk.raw.gpt-backup").read_text() == "older"
    assert disk.read_bytes() == bytes(disk_of(PARTS))


def test_a_disk_that_changes_meanwhile(disk: Path) -> None:
    with pytest.raises(OutputError, match="changed meanwhile"):
        patching.patch(str(disk), [[(0, b"x")]], expected=[(512, b"other")])
    with pytest.raises(OutputError, match="changed meanwhile"):
        patching.patch(str(disk), [[(0, b"x")]], expected=[(SIZE - 1, b"xx")])
    assert disk.read_bytes() == bytes(disk_of(PARTS))


def test_a_disk_that_another_process_has_locked(disk: Path) -> None:
    import fcntl  # noqa: PLC0415

    with disk.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ToolError, match="locked"):
            patching.patch(str(disk), [], expected=[], patience=0)


@pytest.mark.parametrize(
    ("mapped", "uuid", "upper"),
    [("", "", "/dev/md127"), ("mpatha", "mpath-35000", "/dev/mapper/mpatha")],
)
def test_a_disk_that_another_device_holds(disk: Path, mapped: str, uuid: str, upper: str) -> None:
    run(disk, roles={2: "root"})
    before = disk.read_bytes()
    fake = Fake(disk.parent, str(disk))
    fake.held("md127", mapped=mapped, uuid=uuid)
    with pytest.raises(InputError, match=f"in use as {upper}") as caught:
        run(disk, machine=fake.machine, roles={3: "srv"}, force=True, backup="second")
    assert upper in caught.value.hint
    with pytest.raises(InputError, match=f"in use as {upper}"):
        restore(str(disk), "disk.raw.gpt-backup", machine=fake.machine, force=True)
    assert disk.read_bytes() == before


def test_partitions_of_a_mapped_disk_do_not_hold_it(disk: Path) -> None:
    fake = Fake(disk.parent, str(disk))
    fake.held("dm-1", mapped="mpatha-part1", uuid="part1-mpath-35000")
    assert run(disk, machine=fake.machine, roles={2: "root"}).written


@pytest.mark.parametrize("how", ["ext4", "btrfs", "swap"])
def test_a_disk_that_is_mounted_itself(disk: Path, how: str) -> None:
    fake = Fake(disk.parent, str(disk))
    if how == "swap":
        fake.swap(str(disk))
    else:
        fake.mount("8:0" if how == "ext4" else "0:44", "/data", how, source=str(disk))
    with pytest.raises(InputError, match="all of it is in use") as caught:
        run(disk, machine=fake.machine, roles={2: "root"})
    assert "unmount" in caught.value.hint


def test_where_the_tables_are_saved_is_told(disk: Path) -> None:
    assert "--backup" in run(disk, roles={2: "root"}).notes[0]
    assert run(disk, roles={3: "srv"}, backup="second").notes == ()


def test_a_kernel_with_another_table_is_a_note(disk: Path) -> None:
    fake = Fake(disk.parent, str(disk))
    fake.partition(2)
    fake.place(2, 2048, 2048)
    report = run(disk, machine=fake.machine, roles={2: "root"})
    assert "partprobe" in report.notes[0]


def test_a_disk_that_cannot_be_opened(disk: Path) -> None:
    with pytest.raises(OutputError):
        patching.patch(str(disk.parent / "none"), [], expected=[])


def test_what_was_written_is_looked_at(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysgraft.disk.retype.patch", lambda *_, **__: None)
    with pytest.raises(OutputError, match="does not have") as caught:
        run(disk, roles={2: "root"})
    assert "--restore disk.raw.gpt-backup" in caught.value.hint


# --- The way back --------------------------------------------------------------------------------


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_restored_bytes_are_the_old_ones(disk: Path, sector_size: int) -> None:
    disk.write_bytes(bytes(disk_of(PARTS, sector_size=sector_size)))
    before = disk.read_bytes()
    run(disk, roles={2: "root"}, no_auto={3: True})
    changed = disk.read_bytes()
    assert changed != before
    wanted = ("primary-header", "primary-entries", "backup-entries", "backup-header")
    assert put_back(disk, dry_run=True) == wanted
    assert disk.read_bytes() == changed
    assert put_back(disk) == wanted
    assert disk.read_bytes() == before
    assert put_back(disk) == ()


def test_a_header_and_its_entries_are_put_back_in_one_write(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(disk, roles={2: "root"})
    done: list[tuple[int, int]] = []
    monkeypatch.setattr(
        patching, "pwrite_all", lambda _fd, offset, data: done.append((offset, len(data)))
    )
    put_back(disk)
    assert done[-1] == (512, 33 * 512)


def test_a_backup_of_another_disk(disk: Path) -> None:
    run(disk, roles={2: "root"})
    other = disk_of(PARTS)
    for lba in (1, LAST):
        other[lba * 512 + 56] ^= 1
        reseal(other, lba)
    disk.write_bytes(bytes(other))
    for force in (False, True):
        with pytest.raises(InputError, match="it is of the disk"):
            put_back(disk, force=force)
    disk.write_bytes(bytes(disk_of(PARTS)) + bytes(512))
    with pytest.raises(InputError, match="bytes"):
        put_back(disk)


def test_partitions_that_lie_elsewhere_by_now(disk: Path) -> None:
    run(disk, roles={2: "root"})
    disk.write_bytes(bytes(disk_of([PARTS[0]])))
    with pytest.raises(InputError, match="elsewhere") as caught:
        put_back(disk)
    assert "--force" in caught.value.hint
    put_back(disk, force=True)
    assert len(types(disk)) == 3


@pytest.mark.parametrize("force", [False, True])
def test_tables_are_not_put_back_over_a_partition(disk: Path, force: bool) -> None:
    with disk.open("ab") as file:
        file.truncate(SIZE + (1 << 20))
    run(disk, roles={2: "root"})
    grown = disk_of([*PARTS[:2], Part("home", EXT4, mib=9)], size=SIZE + (1 << 20))
    grown[SIZE - 33 * 512 : SIZE] = b"live" * (33 * 128)
    disk.write_bytes(bytes(grown))
    with pytest.raises(InputError, match="partition 3 lies by now where") as caught:
        put_back(disk, force=force)
    assert caught.value.hint == ""
    assert disk.read_bytes() == bytes(grown)


def test_a_disk_without_any_table(disk: Path) -> None:
    before = disk.read_bytes()
    run(disk, roles={2: "root"})
    data = bytearray(disk.read_bytes())
    data[512:1024] = bytes(512)
    data[LAST * 512 :] = bytes(512)
    disk.write_bytes(bytes(data))
    with pytest.raises(InputError, match="tells which disk"):
        put_back(disk)
    put_back(disk, force=True)
    assert disk.read_bytes() == before


def test_a_disk_whose_only_table_may_be_of_another(disk: Path) -> None:
    before = disk.read_bytes()
    run(disk, roles={2: "root"})
    data = bytearray(disk.read_bytes())
    data[512 + 56] ^= 1
    disk.write_bytes(bytes(data))
    with pytest.raises(InputError, match="tells which disk"):
        put_back(disk)
    put_back(disk, force=True)
    assert disk.read_bytes() == before


def test_another_mbr_stays(disk: Path) -> None:
    run(disk, roles={2: "root"})
    data = bytearray(disk.read_bytes())
    data[:4] = b"boot"
    disk.write_bytes(bytes(data))
    report = restore(str(disk), "disk.raw.gpt-backup", machine=nothing_mounted(disk.parent))
    assert "MBR" in report.notes[0]
    assert disk.read_bytes()[:4] == b"boot"


def test_a_broken_backup(disk: Path) -> None:
    run(disk, roles={2: "root"})
    backup = disk.parent / "disk.raw.gpt-backup"
    backup.write_bytes(backup.read_bytes()[:-1])
    with pytest.raises(InputError) as caught:
        put_back(disk)
    assert caught.value.file == "disk.raw.gpt-backup"


@pytest.mark.parametrize("damaged", [0, 512 + 50, LAST * 512 + 60])
def test_one_table_is_whole_at_any_time_on_the_way_back(
    disk: Path, damaged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = disk_of(PARTS)
    if damaged:
        data[damaged] ^= 1
    disk.write_bytes(bytes(data))
    run(disk, roles={2: "root"}, force=True)
    state = bytearray(disk.read_bytes())
    states: list[bytearray] = []

    def note(_path: str, groups: Any, **_: object) -> None:
        for group in groups:
            for offset, piece in group:
                states.extend(
                    state[:offset] + piece[:length] + state[offset + length :]
                    for length in (1, 91, 512, len(piece) // 2, len(piece))
                )
                state[offset : offset + len(piece)] = piece

    monkeypatch.setattr("sysgraft.disk.saving.patch", note)
    assert put_back(disk)
    assert state == data
    assert len(states) > 10
    for each in states:
        tables = read_tables(BytesBlob(bytes(each)))
        assert tables is not None
        assert [part.name for part in tables.partitions] == ["", "root", ""]
