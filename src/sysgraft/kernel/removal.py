"""Kernels taken off a boot partition: one of them, or the old ones. What runs is never removed.

First nothing leads to a kernel any more, in the firmware's lists and the loader's variables; then
what makes it an entry goes, then what only it needed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sysgraft.base import version
from sysgraft.errors import InputError, UsageError
from sysgraft.formats import bls
from sysgraft.kernel import loader, trial
from sysgraft.kernel.firmware_entries import FirmwareEntries
from sysgraft.kernel.listing import Listing
from sysgraft.kernel.naming import UKI, UKIS, Layout
from sysgraft.node.changes import Record
from sysgraft.node.esp_files import drop, remove_stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.host.efivars_changing import ChangingEfiVariables
    from sysgraft.kernel.listing import Kernel
    from sysgraft.kernel.naming import KernelName
    from sysgraft.kernel.partition import BootPartition
    from sysgraft.node.changes import Changes

_LAYOUTS: Final = {"uki": "uki", "entry": "bls"}
DEFAULT_KEEP: Final = 3
"""Versions that are kept where nobody says how many: the new one, the one before, and one more."""


def remove(partition: BootPartition, name: KernelName, *, layout: Layout = "auto") -> Changes:
    """Remove a kernel, with what lies beside it and the boot entries that start it.

    Nothing happens if there is none, as for kernel-install.

    Args:
        partition: it is on.
        name: of it.
        layout: ``uki`` or ``bls`` for one kind alone.

    Raises:
        InputError: it runs, or a link is in the way.
        OutputError: it cannot be removed.
    """
    record = Record()
    with partition.changing() as notes:
        record.note(*notes)
        listing = Listing(partition)
        found = [each for each in listing.of(name) if layout in ("auto", _LAYOUTS[each.kind])]
        for each in found:
            require_not_running(each)
        require_unused(found)
        if found and not _others(listing, found):
            record.note("that was the last kernel of this partition: nothing there boots any more")
        for each in found:
            take_off(partition, each, record)
        for place in _leftovers(partition, name, layout):
            record.note(*drop(partition.place, place))
            record.add("removed", name.stem, file=place)
        remove_stage(partition.place, name.token)
    if not record.changes:
        record.note(f"{name.stem} is not installed")
    return record.done()


def require_not_running(kernel: Kernel) -> None:
    """Raise `InputError` for the kernel of this boot."""
    if kernel.booted:
        raise InputError(
            "it is what this system runs",
            file=kernel.file,
            hint="start another one first: sysgraft kernel set-default NAME",
        )


def require_unused(kernels: Sequence[Kernel]) -> None:
    """Raise `InputError` if an entry that stays needs a file of these."""
    going = {each.identifier for each in kernels}
    for each in kernels:
        staying = [user for user in each.users if user not in going]
        if staying:
            raise InputError(
                f"{staying[0]} needs it too", file=each.file, hint="remove that entry first"
            )


def _others(listing: Listing, found: Iterable[Kernel]) -> list[Kernel]:
    return [each for each in listing.kernels if each not in tuple(found) and not each.is_bad]


def _leftovers(partition: BootPartition, name: KernelName, layout: Layout) -> list[str]:
    """Folders of a kernel whose entry is gone, as an interrupted removal leaves them."""
    beside = bls.extra_folder(f"{UKIS}/{name.file(UKI)}")
    places = {"uki": [beside], "bls": [name.folder], "auto": [beside, name.folder]}[layout]
    needed = [path.casefold() for e in Listing(partition).kernels for path in e.files]
    return [
        each
        for each in places
        if os.path.isdir(os.path.join(partition.place, each))
        and not any(path.startswith(f"{each}/".casefold()) for path in needed)
    ]


def take_off(partition: BootPartition, kernel: Kernel, record: Record) -> None:
    """Remove one entry and what only it has; the partition is locked.

    Raises:
        InputError, OutputError: see `remove`.
    """
    _forget(partition, kernel, record)
    record.note(*drop(partition.place, kernel.file))
    record.add("removed", kernel.name, file=kernel.file)
    # One with another counter has the same folders.
    if any(e.kind == kernel.kind and e.name == kernel.name for e in Listing(partition).kernels):
        return
    for folder in dict.fromkeys(place.rpartition("/")[0] for place in kernel.files):
        if _is_own(folder, kernel):
            record.note(*drop(partition.place, folder))
            remove_stage(partition.place, folder.rpartition("/")[0])


def _is_own(folder: str, kernel: Kernel) -> bool:
    """Whether nothing else can have its files in a folder."""
    beside = f"{kernel.name}.efi.extra.d".casefold()
    own = f"{kernel.token}/{kernel.version}".casefold() if kernel.token and kernel.version else ""
    return folder.rpartition("/")[2].casefold() == beside or folder.casefold() == own


def _forget(partition: BootPartition, kernel: Kernel, record: Record) -> None:
    """Have nothing lead to it."""
    variables = partition.variables
    if variables is None:
        return
    wanted = kernel.identifier.casefold()
    if loader.read(variables, loader.ONCE).casefold() == wanted:
        loader.remove(variables, loader.ONCE)
        record.add("no longer next", kernel.name, where=loader.ONCE)
    if loader.read(variables, loader.DEFAULT).casefold() == wanted:
        _replace_default(variables, kernel, record)
    if trial.of(variables).casefold() == wanted:
        trial.end(variables)
    if kernel.numbers:
        FirmwareEntries(variables).remove(kernel.numbers)
        for number in kernel.numbers:
            record.add("removed", kernel.name, where=f"Boot{number:04X}")


def _replace_default(variables: ChangingEfiVariables, kernel: Kernel, record: Record) -> None:
    """What runs becomes the default, rather than the newest there is."""
    running = loader.running(variables)
    if running and running.casefold() != kernel.identifier.casefold():
        loader.write(variables, loader.DEFAULT, running)
    else:
        loader.remove(variables, loader.DEFAULT)
    record.add("no longer default", kernel.name, where=loader.DEFAULT)


def old_kernels(kernels: Iterable[Kernel], keep: int, *, also: str = "") -> tuple[Kernel, ...]:
    """What can go: all but the newest versions, and but what runs or is about to.

    Those that were tried as often as they may be and never came up do not count as kept.

    Args:
        kernels: of one token.
        keep: how many versions stay.
        also: a version that stays whatever it is.

    Raises:
        UsageError: none would stay.
    """
    if keep < 1:
        raise UsageError(f"{keep} kernels to keep; one at least has to stay")
    found = tuple(kernels)
    needed = {e.version for e in found if e.booted or e.default or e.once or e.users} | {also}
    good = {each.version for each in found if not each.is_bad}
    newest = sorted(good, key=version.key, reverse=True)[:keep]
    return tuple(e for e in found if e.version not in needed and e.version not in newest)


def cleanup(
    partition: BootPartition, *, keep: int = DEFAULT_KEEP, dry_run: bool = False
) -> Changes:
    """Remove old kernels of this installation.

    Args:
        partition: theirs.
        keep: how many versions stay.
        dry_run: only tell.

    Raises:
        UsageError: none would stay.
        InputError, OutputError: see `remove`.
    """
    record = Record()
    if dry_run:
        for each in old_kernels(Listing(partition).own(partition.token), keep):
            record.add("would be removed", each.name, file=each.file)
        return record.done()
    with partition.changing() as notes:
        record.note(*notes)
        for each in old_kernels(Listing(partition).own(partition.token), keep):
            take_off(partition, each, record)
        remove_stage(partition.place, partition.token)
    return record.done()
