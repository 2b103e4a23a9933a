"""Room for a kernel on the boot partition: counted first, and made by old kernels that go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.errors import OutputError
from sysgraft.host.space import free_bytes
from sysgraft.kernel.listing import Listing
from sysgraft.kernel.removal import old_kernels, take_off
from sysgraft.node.esp_sets import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.kernel.naming import KernelName
    from sysgraft.kernel.partition import BootPartition
    from sysgraft.node.changes import Record


def make_room(
    partition: BootPartition,
    sources: Iterable[str],
    name: KernelName,
    *,
    keep: int | None,
    record: Record,
) -> None:
    """See to it that what comes fits beside all that stays; the partition is locked.

    Args:
        partition: where it goes.
        sources: the files that come.
        name: of the kernel, no other of which is removed.
        keep: how many versions stay, should others have to go; None if none may.
        record: gets what was removed.

    Raises:
        OutputError: there is not enough room.
    """
    needed = sum(os.stat(path).st_size + CLUSTER for path in sources)
    free = free_bytes(partition.place)
    if free is None or needed <= free:
        return
    if keep is not None:
        remove_old(partition, name, keep, record)
        free = free_bytes(partition.place) or 0
    if needed > free:
        raise OutputError(
            f"it has {free} bytes free, and {needed} are needed",
            file=partition.place,
            hint=_what_can_go(partition, name),
        )


def _what_can_go(partition: BootPartition, name: KernelName) -> str:
    own = Listing(partition).own(name.token)
    old = old_kernels(own, 1, also=name.version)
    if not old:
        return "there are no old kernels of this installation that could go"
    names = ", ".join(f"{each.version} ({each.size} bytes)" for each in old)
    return f"remove old kernels with --keep, cleanup or remove: {names}"


def remove_old(partition: BootPartition, name: KernelName, keep: int, record: Record) -> None:
    """Remove all but the newest versions of an installation, and but `name`."""
    own = Listing(partition).own(name.token)
    for each in old_kernels(own, keep, also=name.version):
        take_off(partition, each, record)
