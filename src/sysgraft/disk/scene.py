"""Everything the rules are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from uuid import UUID

    from sysgraft.disk.mounted import Seen
    from sysgraft.disk.opening import Disk
    from sysgraft.disk.report import PartitionReport


class Scene(NamedTuple):
    """A disk, and what is known of it.

    Attributes:
        disk: the disk.
        arch: for which architecture.
        partitions: what is in its partitions.
        seen: what this machine has mounted of it.
        var_uuid: the name that the partition for /var must have; None where the machine ID is not
            known.
    """

    disk: Disk
    arch: str
    partitions: tuple[PartitionReport, ...]
    seen: Seen
    var_uuid: UUID | None

    def having(self, role: str) -> tuple[PartitionReport, ...]:
        """The partitions with a role."""
        return tuple(part for part in self.partitions if part.role.name == role)


def described(part: PartitionReport) -> str:
    """A partition and how its role is known."""
    return f"partition {part.number} ({part.role.why})"
