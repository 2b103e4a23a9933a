"""Which partition systemd takes of several with the same role.

systemd: ``find_gpt_root`` in ``src/udev/udev-builtin-blkid.c`` for the root, ``dissect_image`` in
``src/shared/dissect-image.c`` for the rest, which udev and systemd-gpt-auto-generator run. Of root
and /usr the one with the newest label wins, the first of equal ones; of everything else the first.
What has the no-auto attribute does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.base import version
from sysgraft.disk.roles import VERSIONED, no_auto_bit, type_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sysgraft.formats.gpt import Partition


def candidates(partitions: Iterable[Partition], role: str, arch: str) -> tuple[Partition, ...]:
    """The partitions that are discovered for a role, in the order of the table."""
    wanted, bit = type_of(role, arch), no_auto_bit(role)
    found = (part for part in partitions if part.type_uuid == wanted)
    return tuple(part for part in found if not part.attributes & bit)


def chosen(
    partitions: Iterable[Partition], role: str, arch: str, *, var_uuid: UUID | None = None
) -> Partition | None:
    """The one that systemd takes; None if there is none.

    Args:
        partitions: of the disk.
        role: for which role.
        arch: of the machine.
        var_uuid: the name that a partition for /var must have, where it is known.
    """
    found = candidates(partitions, role, arch)
    if role == "var" and var_uuid:
        found = tuple(part for part in found if part.uuid == var_uuid)
    best: Partition | None = None
    for part in found:
        newer = best and role in VERSIONED and version.compare(part.name, best.name) > 0
        if best is None or newer:
            best = part
    return best
