"""Partition tables against util-linux and gptfdisk: they accept ours, we read theirs."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.formats import gpt, gpt_check
from sysgraft.formats.partition_types import type_uuid

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13

SIZE: Final = 8 << 20
DISK: Final = UUID("6913f4b6-6690-4a57-a202-f1b53c56dbdf")


def run(*argv: str, stdin: str = "") -> str:
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


def make_table(sector_size: int, suffix: str = "é🎉") -> gpt.Table:
    mib = (1 << 20) // sector_size
    rows = [
        ("root", 1, 2 * mib, gpt.READ_ONLY),
        ("root-verity", 3, mib, gpt.READ_ONLY | gpt.NO_AUTO),
        ("root-verity-sig", 4, 16384 // sector_size, gpt.GROWFS),
    ]
    parts = [
        gpt.Partition(
            index=index,
            type_uuid=type_uuid(designator, "x86-64"),
            uuid=UUID(int=0xDEADBEEF << 96 | index),
            first_lba=start * mib,
            last_lba=start * mib + count - 1,
            attributes=attributes,
            name=f"{designator} {suffix}",
            sector_size=sector_size,
        )
        for index, (designator, start, count, attributes) in enumerate(rows)
    ]
    return gpt.new_table(SIZE, disk_uuid=DISK, partitions=parts, sector_size=sector_size)


def write(path: Path, table: gpt.Table) -> Path:
    path.write_bytes(bytes(SIZE))
    with path.open("r+b") as file:
        for offset, data in gpt.render(table, SIZE):
            file.seek(offset)
            file.write(data)
    return path


def bits(attributes: int) -> str:
    return "GUID:" + ",".join(str(bit) for bit in range(48, 64) if attributes >> bit & 1)


@pytest.mark.oracle("sfdisk")
def test_sfdisk_finds_no_errors_and_reads_every_field(tmp_path: Path) -> None:
    table = make_table(512)
    disk = write(tmp_path / "disk.raw", table)
    assert "No errors detected" in run("sfdisk", "--verify", str(disk))
    said = json.loads(run("sfdisk", "--json", str(disk)))["partitiontable"]
    assert (said["label"], UUID(said["id"])) == ("gpt", DISK)
    assert (said["firstlba"], said["lastlba"]) == (table.first_usable_lba, table.last_usable_lba)
    assert [
        (UUID(row["type"]), UUID(row["uuid"]), row["start"], row["size"], row["name"], row["attrs"])
        for row in said["partitions"]
    ] == [
        (p.type_uuid, p.uuid, p.first_lba, p.size // 512, p.name, bits(p.attributes))
        for p in table.partitions
    ]


@pytest.mark.oracle("sfdisk")
def test_sfdisk_writes_the_same_bytes(tmp_path: Path) -> None:
    # libfdisk 2.38 reads names beyond the basic plane, but writes them empty.
    table = make_table(512, "é")
    lines = ["label: gpt", f"label-id: {DISK}"]
    lines += [f"first-lba: {table.first_usable_lba}", f"last-lba: {table.last_usable_lba}"]
    for part in table.partitions:
        fields = [
            f"start={part.first_lba}, size={part.size // 512}, type={part.type_uuid}",
            f'uuid={part.uuid}, name="{part.name}", attrs="{bits(part.attributes)}"',
        ]
        lines.append(", ".join(fields))
    theirs = tmp_path / "theirs.raw"
    theirs.write_bytes(bytes(SIZE))
    run("sfdisk", "--quiet", str(theirs), stdin="\n".join(lines))
    ours = write(tmp_path / "ours.raw", table)
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.oracle("fdisk")
def test_fdisk_lists_a_table_of_large_sectors(tmp_path: Path) -> None:
    table = make_table(4096)
    disk = write(tmp_path / "disk.raw", table)
    columns = ("--output", "Start,End,Type-UUID,UUID")
    said = run("fdisk", "--sector-size", "4096", *columns, "--list", str(disk))
    rows = [line.split() for line in said.splitlines()]
    for part in table.partitions:
        uuids = [str(part.type_uuid).upper(), str(part.uuid).upper()]
        assert [str(part.first_lba), str(part.last_lba), *uuids] in rows
    assert "corrupt" not in said


@pytest.mark.oracle("debian-13")
def test_table_of_systemd_repart_with_large_sectors_is_read(
    tmp_path: Path, debian13: Debian13
) -> None:
    (tmp_path / "10-root.conf").write_text("[Partition]\nType=root-arm64\nSizeMinBytes=1M\n")
    debian13.run(
        [
            *("systemd-repart", "--definitions=/here", "--empty=create", "--size=4M"),
            *("--dry-run=no", "--offline=yes", "--sector-size=4096", "/here/disk.raw"),
        ],
        binds={tmp_path: "/here"},
    )
    blob = BytesBlob((tmp_path / "disk.raw").read_bytes())
    table = gpt.parse(blob)
    (root,) = table.partitions
    assert (table.sector_size, root.name) == (4096, "root-arm64")
    assert root.type_uuid == type_uuid("root", "arm64")
    assert gpt_check.problems(blob, table) == ()


@pytest.mark.oracle("sgdisk")
def test_sgdisk_finds_no_problems(tmp_path: Path) -> None:
    disk = write(tmp_path / "disk.raw", make_table(512))
    said = run("sgdisk", "--verify", str(disk))
    assert "No problems found" in said
    assert "Problem:" not in said


@pytest.mark.oracle("sgdisk")
def test_table_of_sgdisk_is_read(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(SIZE))
    kind, uuid = type_uuid("usr", "arm64"), UUID(int=5)
    run(
        *("sgdisk", f"--disk-guid={DISK}", "--new=3:4096:8191", f"--typecode=3:{kind}"),
        *(f"--partition-guid=3:{uuid}", "--change-name=3:usr é", "--attributes=3:set:60"),
        str(disk),
    )
    blob = BytesBlob(disk.read_bytes())
    table = gpt.parse(blob)
    wanted = gpt.Partition(2, kind, uuid, 4096, 8191, gpt.READ_ONLY, "usr é")
    assert (table.disk_uuid, table.partitions) == (DISK, (wanted,))
    assert gpt_check.problems(blob, table) == ()
