"""The rule that there is a table at all, and what is to be known beside the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.disk.report import Mend, Rule
from sysgraft.disk.roles import PLACES
from sysgraft.formats import volume_signature
from sysgraft.formats.gpt_flaws import HARMLESS
from sysgraft.formats.mbr import GPT_PROTECTIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.disk.opening import Disk
    from sysgraft.disk.report import PartitionReport
    from sysgraft.disk.scene import Scene


STALE: Final = (
    "of partition {} the kernel has another table: partprobe or start anew; "
    "what is mounted from there tells nothing"
)
"""The note about partitions that lie elsewhere for the kernel."""


def gpt_rule(disk: Disk) -> Rule:
    """Whether there is a table that everybody reads in the same way."""
    if disk.tables is None:
        return Rule("gpt", "fail", f"only disks with a GPT are discovered: {_without(disk)}")
    serious = [flaw.text for flaw in disk.tables.flaws if flaw.code not in HARMLESS]
    if disk.mbr.kind not in ("protective", "hybrid"):
        serious.append(f"{_unprotected(disk)} the kernel takes no notice of the GPT")
    if disk.sector_size not in (None, disk.tables.sector_size):
        serious.append(
            f"the table counts sectors of {disk.tables.sector_size} bytes, "
            f"the kernel those of {disk.sector_size}"
        )
    if serious:
        mend = Mend("mend the partition tables first: sgdisk --verify, then its recovery menu")
        return Rule("gpt", "fail", "; ".join(serious), (mend,))
    return Rule("gpt", "ok", "both partition tables are good, and the same")


def _unprotected(disk: Disk) -> str:
    found = next((each for each in disk.mbr.records if each.kind == GPT_PROTECTIVE), None)
    if found is None:
        return "without a protective MBR"
    return f"the record of the protective MBR begins with sector {found.first_lba}, not 1:"


def _without(disk: Disk) -> str:
    if disk.mbr.records:
        listed = ", ".join(f"{record.number} {record.type_name}" for record in disk.mbr.records)
        return f"this one has an MBR (partitions: {listed})"
    content = volume_signature.probe(disk.blob)
    return f"there is no partition table, it holds {content}" if content else "it has none"


def notes(scene: Scene) -> Iterator[str]:
    """What a person should know and no rule fails for."""
    yield from _disk_notes(scene.disk)
    if not scene.seen.partitions and scene.seen.elsewhere:
        yield "nothing of the system that was named is on this disk"
    for part in scene.partitions:
        yield from _partition_notes(part)


def _disk_notes(disk: Disk) -> Iterator[str]:
    for flaw in disk.tables.flaws if disk.tables else ():
        if flaw.code in HARMLESS:
            yield f"{flaw.text}; sgdisk --move-second-header puts it at the end of the disk"
    if disk.stale:
        yield STALE.format(", ".join(map(str, sorted(disk.stale))))
    if disk.upper:
        yield f"all of it is in use as {disk.upper}: look at that"
    if disk.tables and disk.mbr.kind == "hybrid":
        yield "a hybrid MBR: other systems may see other partitions"


def _partition_notes(part: PartitionReport) -> Iterator[str]:
    if part.role.name in ("var", "tmp") and part.partition.read_only:
        yield f"partition {part.number}, {PLACES[part.role.name]}, will be read-only"
    if part.role.name == "esp" and part.role.place.endswith("/boot/efi"):
        yield (
            "systemd mounts an ESP at /efi or /boot: for /boot/efi keep its line in fstab, "
            "and the one for /boot too, for with one of them it mounts neither"
        )
    if part.role.name == "xbootldr" and part.content not in ("", "vfat"):
        yield f"partition {part.number}, /boot, holds {part.content}: systemd-boot reads FAT"
    if not part.role.name:
        what = part.content or "nothing known"
        yield f"partition {part.number} holds {what}: what for is not known (--partition)"
