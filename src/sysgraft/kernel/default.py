"""Which kernel is started next: always, once, or always after it has once come up.

systemd-boot is told by its variables, the firmware by its own list. A kernel that is on trial is
started once, and a variable of ours says so; when it has come up (`sysgraft.kernel.trial`) it
becomes the default. If it does not, the machine starts what it started before: since a boot loader
would by itself take the newest kernel it finds, it is told first that what runs now is the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import InputError, UsageError
from sysgraft.formats.load_option import variable_name
from sysgraft.kernel import loader, trial
from sysgraft.kernel.firmware_entries import NEXT, FirmwareEntries
from sysgraft.kernel.listing import Listing
from sysgraft.node.changes import Record

if TYPE_CHECKING:
    from sysgraft.host.efivars_changing import ChangingEfiVariables
    from sysgraft.kernel.listing import Kernel
    from sysgraft.kernel.options import When
    from sysgraft.kernel.partition import BootPartition
    from sysgraft.node.changes import Changes


def set_default(partition: BootPartition, name: str, *, when: When = "now") -> Changes:
    """Have a kernel started from now on, or once and then if it came up.

    Args:
        partition: it is on.
        name: of its entry, with or without the suffix; or its version.
        when: ``once`` or ``now``.

    Raises:
        UsageError: there is no such kernel, several are meant, or it never came up.
        InputError: there are no EFI variables, or nothing that would start it.
        OutputError: they cannot be written.
    """
    record = Record()
    variables = require_variables(partition)
    listing = Listing(partition)
    kernel = _find(listing, name)
    if kernel.is_bad and when == "now":
        raise UsageError(
            f"{kernel.identifier} was tried as often as it may be, and never came up",
            hint="try it once more with --once, or install it again",
        )
    if when == "once" and not is_alone(listing, kernel.identifier, record):
        keep_running(variables, listing, kernel.identifier, record)
    choose(variables, listing, kernel, when, record)
    return record.done()


def require_variables(partition: BootPartition) -> ChangingEfiVariables:
    """The firmware's variables, which can be changed.

    Raises:
        InputError: there are none.
        OutputError: they cannot be changed.
    """
    if partition.variables is None:
        raise InputError(
            "there are no EFI variables of the system's own firmware here",
            file=partition.root,
            hint="the default of another system is a line in its loader/loader.conf",
        )
    partition.variables.require_writable()
    return partition.variables


def _find(listing: Listing, name: str) -> Kernel:
    wanted = name.casefold()
    found = [
        each
        for each in listing.kernels
        if wanted in (each.name.casefold(), each.identifier.casefold())
    ] or [each for each in listing.kernels if each.version == name]
    if len(found) != 1:
        known = ", ".join(each.identifier for each in found or listing.kernels) or "none"
        raise UsageError(
            f"{len(found) or 'no'} kernels are called {name!r}", hint=f"there are: {known}"
        )
    return found[0]


# --- Telling -------------------------------------------------------------------------------------


def choose(
    variables: ChangingEfiVariables, listing: Listing, kernel: Kernel, when: When, record: Record
) -> None:
    """Tell the firmware, if it has an entry for the kernel, and the boot loader, if there is one.

    Raises:
        InputError: there is neither.
        OutputError: variables cannot be written.
    """
    if when == "keep":
        _tell_of_another_default(listing, kernel, record)
        return
    has_loader = loader.can_be_told(variables)
    if not kernel.numbers:
        require_loader(variables)
    if when == "once":
        trial.begin(variables, kernel.identifier)
    if kernel.numbers:
        _tell_firmware(FirmwareEntries(variables), kernel, when, record)
    if has_loader or (when == "now" and loader.read(variables, loader.DEFAULT)):
        _tell_loader(variables, kernel, when, record)
    if when == "now":
        _forget_trial(variables, listing)


def require_loader(variables: ChangingEfiVariables) -> None:
    """Raise `InputError` unless a boot loader that heeds what it is told started this system."""
    if not loader.can_be_told(variables):
        raise InputError(
            "no boot loader that can be told which kernel to start has started this system",
            file=variables.source,
            hint="have the firmware start it: kernel install --boot-entry",
        )


def _tell_of_another_default(listing: Listing, kernel: Kernel, record: Record) -> None:
    other = next((e for e in listing.kernels if e.default and e.name != kernel.name), None)
    if other is not None and not kernel.default:
        record.note(f"the default stays {other.identifier}; --default changes it")


def _tell_firmware(entries: FirmwareEntries, kernel: Kernel, when: When, record: Record) -> None:
    number = kernel.numbers[0]
    where = variable_name(number)
    if when == "once":
        entries.try_next(number)
        record.add("started next", kernel.name, where=where)
    elif entries.put_first(number):
        record.add("default", kernel.name, where=where)


def _tell_loader(
    variables: ChangingEfiVariables, kernel: Kernel, when: When, record: Record
) -> None:
    variable = loader.ONCE if when == "once" else loader.DEFAULT
    if loader.read(variables, variable) == kernel.identifier:
        return
    if when == "once" and kernel.numbers:
        return  # the firmware starts it, and no boot loader
    loader.write(variables, variable, kernel.identifier)
    record.add("started next" if when == "once" else "default", kernel.name, where=variable)


def _forget_trial(variables: ChangingEfiVariables, listing: Listing) -> None:
    """End a trial, also one that has not begun yet."""
    name = trial.of(variables)
    if not name:
        return
    if loader.read(variables, loader.ONCE).casefold() == name.casefold():
        loader.remove(variables, loader.ONCE)
    entries = FirmwareEntries(variables)
    numbers = {n for e in listing.kernels if e.identifier == name for n in e.numbers}
    if numbers & set(entries.numbers(NEXT)):
        entries.cancel_next()
    trial.end(variables)


# --- Before a trial ------------------------------------------------------------------------------


def is_alone(listing: Listing, identifier: str, record: Record) -> bool:
    """Whether a trial of an entry would be none: it is what runs, or what the firmware starts.

    Then there is nothing to go back to, which is noted.
    """
    wanted = identifier.casefold()
    same = (e for e in listing.kernels if e.identifier.casefold() == wanted)
    found = any(each.booted or (each.default and each.numbers) for each in same)
    if found:
        record.note(f"{identifier} is no trial: it is what runs or what the firmware starts anyway")
    return found


def keep_running(
    variables: ChangingEfiVariables, listing: Listing, identifier: str, record: Record
) -> None:
    """Have a boot loader start what runs now, rather than the newest that it finds.

    Args:
        variables: the firmware's.
        listing: of the kernels before the trial.
        identifier: of the entry on trial.
        record: gets what was told.

    Raises:
        InputError: nobody knows what runs, and a boot loader would choose.
        OutputError: the variable cannot be written.
    """
    told = loader.read(variables, loader.DEFAULT).casefold()
    others = {each.identifier.casefold() for each in listing.kernels} - {identifier.casefold()}
    if told in others:
        return
    listed = next((each.identifier for each in listing.kernels if each.booted), "")
    running = listed or loader.running(variables)
    if running and running.casefold() != identifier.casefold():
        loader.write(variables, loader.DEFAULT, running)
        record.add("default", running, where=loader.DEFAULT)
    elif loader.can_be_told(variables):
        raise InputError(
            "nobody knows which entry runs, and the boot loader would start the newest one",
            file=variables.source,
            hint="choose a default first: sysgraft kernel set-default NAME",
        )
