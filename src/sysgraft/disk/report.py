"""What a look at a disk gives: its partitions, the rules they were held to, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from uuid import UUID

    from sysgraft.disk.subvolumes import Btrfs
    from sysgraft.formats.gpt import Partition
    from sysgraft.formats.gpt_flaws import Flaw
    from sysgraft.formats.mbr import Mbr

Status = Literal["ok", "fail", "skipped"]
Source = Literal["mounted", "option", "content", "type", ""]
"""How a role is known: what this machine has mounted, an option, what is in the partition, its
type. Empty where it is not known."""

RULES: Final = (
    "gpt",
    "root-type",
    "root-disk",
    "usr-type",
    "esp-type",
    "xbootldr-type",
    "home-type",
    "srv-type",
    "var-type",
    "var-uuid",
    "tmp-type",
    "swap-type",
    "other-type",
    "no-auto",
    "choice",
    "btrfs-default",
)
"""All rules, in the order of the report."""


class Mend(NamedTuple):
    """A command that mends something.

    Attributes:
        why: what it does, in words.
        command: its words; empty where only a person can do it.
        lines: the same as lines of a script that ends at the first failure, where it is several.
    """

    why: str
    command: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


class Rule(NamedTuple):
    """One rule, and how the disk fares.

    Attributes:
        name: one of `RULES`.
        status: ``ok``, ``fail`` or ``skipped``.
        reason: why.
        mends: what to do.
        idle: whether there is nothing on the disk that it is about.
    """

    name: str
    status: Status
    reason: str
    mends: tuple[Mend, ...] = ()
    idle: bool = False


def idle(name: str, reason: str) -> Rule:
    """A rule that is skipped because there is nothing on the disk that it is about."""
    return Rule(name, "skipped", reason, idle=True)


class Role(NamedTuple):
    """What a partition is for.

    Attributes:
        name: the role, empty where it is not known.
        source: how it is known.
        why: the same in words.
        place: where this machine has it mounted.
        seen: the folder of its file system that is seen there, with the subvolume.
    """

    name: str
    source: Source
    why: str
    place: str = ""
    seen: str = ""


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """A partition.

    Attributes:
        partition: its entry in the table.
        type_name: what its type is called, the UUID where the specification has it not.
        content: libblkid's name of what it holds, empty where that is not known.
        role: what it is for.
        btrfs: the subvolumes it has.
    """

    partition: Partition
    type_name: str
    content: str
    role: Role
    btrfs: Btrfs | None = None

    @property
    def number(self) -> int:
        """Its number, from 1."""
        return self.partition.index + 1


@dataclass(frozen=True, slots=True)
class DiskReport:
    """What `sysgraft.disk.check.check_disk` found.

    Attributes:
        disk: as the caller named it.
        arch: for which architecture.
        root: the folder of the system that was looked at.
        size: of the disk in bytes.
        sector_size: in which its table counts; None without a GPT.
        disk_uuid: its name; None without a table that can be read.
        mbr: what sector 0 says.
        flaws: what is wrong with the tables.
        partitions: those of the table in use.
        rules: all of `RULES`.
        notes: what a person should know and no rule fails for.
    """

    disk: str
    arch: str
    root: str
    size: int
    sector_size: int | None
    disk_uuid: UUID | None
    mbr: Mbr
    flaws: tuple[Flaw, ...]
    partitions: tuple[PartitionReport, ...]
    rules: tuple[Rule, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether systemd will find what is there."""
        return all(rule.status != "fail" for rule in self.rules)

    @property
    def mends(self) -> tuple[Mend, ...]:
        """What to do, each thing once."""
        return tuple(dict.fromkeys(mend for rule in self.rules for mend in rule.mends))
