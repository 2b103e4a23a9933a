"""Which kernel is started next: always, once, or always after it has once come up.

systemd-boot is told by its variables, the firmware by its own list. A kernel that is on trial is
started once, and a variable of ours says so; when it has come up (`bless`) it becomes the default.
If it does not, the machine starts what it started before: since a boot loader would by itself take
the newest kernel it finds, it is told first that what runs now is the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal
from uuid import NAMESPACE_DNS, uuid5

from sysgraft.errors import InputError, UsageError
from sysgraft.formats.load_option import variable_name
from sysgraft.kernel import loader
from sysgraft.kernel.firmware_entries import CURRENT, FirmwareEntries
from sysgraft.kernel.listing import Listing
from sysgraft.node.changes import Record

if TYPE_CHECKING:
    from sysgraft.host.efivars_changing import ChangingEfiVariables
    from sysgraft.kernel.listing import Kernel
    from sysgraft.kernel.partition import BootPartition
    from sysgraft.node.changes import Changes

When = Literal["keep", "once", "now"]
WHENS: Final[tuple[When, ...]] = ("keep", "once", "now")

VENDOR: Final = uuid5(NAMESPACE_DNS, "sysgraft-kernel")
"""The vendor of `TRIAL`."""
TRIAL: Final = "KernelTrial"
"""Has the name of the kernel that is to become the default once it has come up, in UTF-16."""


def set_default(partition: BootPartition, name: str, *, when: When = "now") -> Changes:
    """Have a kernel started from now on, or once and then if it came up.

    Args:
        partition: it is on.
        name: of its entry, with or without the suffix; or its version.
        when: ``once`` or ``now``.

    Raises:
        UsageError: there is no such kernel, or several are meant.
        InputError: there are no EFI variables, or nothing that would start it.
        OutputError: they cannot be written.
    """
    record = Record()
    variables = require_variables(partition)
    listing = Listing(partition)
    kernel = _find(listing, name)
    if when == "once":
        keep_running(variables, listing, record)
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


def choose(
    variables: ChangingEfiVariables, listing: Listing, kernel: Kernel, when: When, record: Record
) -> None:
    """Tell the firmware, if it has an entry for the kernel, and the boot loader, if there is one.

    Raises:
        InputError: there is neither.
        OutputError: variables cannot be written.
    """
    has_loader = loader.can_be_told(variables)
    if when == "keep":
        _tell_of_another_default(listing, kernel, record)
        return
    if not kernel.numbers:
        require_loader(variables)
    if when == "once":
        _write_trial(variables, kernel.name)
    if kernel.numbers:
        _tell_firmware(FirmwareEntries(variables), kernel, when, record)
    if has_loader or (when == "now" and loader.read(variables, loader.DEFAULT)):
        _tell_loader(variables, kernel, when, record)
    if when == "now":
        _end_trial(variables)


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


def keep_running(variables: ChangingEfiVariables, listing: Listing, record: Record) -> None:
    """Have a boot loader start what runs now, rather than the newest that it finds.

    Raises:
        OutputError: the variable cannot be written.
    """
    running = next((each for each in listing.kernels if each.booted), None)
    told = loader.read(variables, loader.DEFAULT).casefold()
    if running is None or told in {each.identifier.casefold() for each in listing.kernels}:
        return
    loader.write(variables, loader.DEFAULT, running.identifier)
    record.add("default", running.name, where=loader.DEFAULT)


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


def _tell_firmware(entries: FirmwareEntries, kernel: Kernel, when: When, record: Record) -> None:
    number = kernel.numbers[0]
    where = variable_name(number)
    if when == "once":
        entries.try_next(number)
        record.add("started next", kernel.name, where=where)
    elif entries.put_first(number):
        record.add("default", kernel.name, where=where)


# --- After it has come up ------------------------------------------------------------------------


def bless(partition: BootPartition) -> Changes:
    """Make the kernel that runs the default, if it was on trial; otherwise the trial is over.

    Raises:
        InputError: there are no EFI variables.
        OutputError: they cannot be written.
    """
    record = Record()
    variables = require_variables(partition)
    trial = _trial(variables)
    if not trial:
        return record.done()
    listing = Listing(partition)
    kernel = _running(listing, variables, trial)
    if kernel is None:
        record.note(f"{trial} was to be tried, and did not come up: what was the default stays it")
        _end_trial(variables)
        return record.done()
    choose(variables, listing, kernel, "now", record)
    return record.done()


def _running(listing: Listing, variables: ChangingEfiVariables, trial: str) -> Kernel | None:
    """The kernel on trial, if it runs; by the firmware's own entry, if that started it."""
    for each in listing.kernels:
        if each.name.casefold() != trial.casefold() or not each.booted:
            continue
        current = FirmwareEntries(variables).numbers(CURRENT)
        own = tuple(number for number in each.numbers if number in current)
        # What a boot loader has started is told to that, whatever else the firmware has.
        return each._replace(numbers=own if not loader.read(variables, loader.INFO) else ())
    return None


def _trial(variables: ChangingEfiVariables) -> str:
    found = variables.read(TRIAL, VENDOR)
    return "" if found is None else found.data.decode("utf-16-le", "replace").partition("\0")[0]


def _write_trial(variables: ChangingEfiVariables, name: str) -> None:
    variables.write(TRIAL, VENDOR, name.encode("utf-16-le") + b"\0\0")


def _end_trial(variables: ChangingEfiVariables) -> None:
    if variables.read(TRIAL, VENDOR) is not None:
        variables.remove(TRIAL, VENDOR)
