"""A kernel on trial: started once, and the default if it comes up.

A variable of ours has the name of its entry, from before it is started until it has come up or
something else has. For that no partition is needed: what runs is told by boot loader or stub.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_DNS, uuid5

from sysgraft.formats import efivar
from sysgraft.formats.device_path import file_of
from sysgraft.formats.load_option import variable_name
from sysgraft.kernel import loader
from sysgraft.kernel.firmware_entries import CURRENT, NEXT, FirmwareEntries
from sysgraft.node.changes import Record

if TYPE_CHECKING:
    from sysgraft.host.efivars_changing import ChangingEfiVariables
    from sysgraft.node.changes import Changes

VENDOR: Final = uuid5(NAMESPACE_DNS, "sysgraft-kernel")
"""The vendor of `TRIAL`."""
TRIAL: Final = "KernelTrial"
"""Has the name of the entry that is to become the default once it has come up, in UTF-16."""


def of(variables: ChangingEfiVariables) -> str:
    """The entry on trial; empty if there is none."""
    found = variables.read(TRIAL, VENDOR)
    return "" if found is None else efivar.text_of(found.data)


def begin(variables: ChangingEfiVariables, identifier: str) -> None:
    """Remember that an entry is on trial.

    Raises:
        OutputError: it cannot be.
    """
    variables.write(TRIAL, VENDOR, efivar.text_data(identifier))


def end(variables: ChangingEfiVariables) -> None:
    """Forget it.

    Raises:
        OutputError: it cannot be.
    """
    if variables.read(TRIAL, VENDOR) is not None:
        variables.remove(TRIAL, VENDOR)


def bless(variables: ChangingEfiVariables) -> Changes:
    """Make what runs the default, if it is on trial; if something else runs, the trial is over.

    Does nothing while the trial is still to come.

    Raises:
        InputError: the variables cannot be read.
        OutputError: they cannot be written.
    """
    record = Record()
    name = of(variables)
    if not name or _is_to_come(variables, name):
        return record.done()
    if loader.running(variables).casefold() == name.casefold():
        _make_default(variables, name, record)
    else:
        record.note(f"{name} was to be tried, and did not come up: what was the default stays it")
    end(variables)
    return record.done()


def _is_to_come(variables: ChangingEfiVariables, name: str) -> bool:
    """Whether the next start is the one that was asked for."""
    if loader.read(variables, loader.ONCE).casefold() == name.casefold():
        return True
    entries = FirmwareEntries(variables)
    return any(_starts(entries, number, name) for number in entries.numbers(NEXT))


def _starts(entries: FirmwareEntries, number: int, name: str) -> bool:
    """Whether an entry of the firmware starts a file of that name, or tells a loader to."""
    option = entries.all().get(number)
    if option is None:
        return False
    files = (file_of(option.path), option.told)
    return name.casefold() in {each.rpartition("\\")[2].casefold() for each in files}


def _make_default(variables: ChangingEfiVariables, name: str, record: Record) -> None:
    entries = FirmwareEntries(variables)
    for number in entries.numbers(CURRENT):
        if _starts(entries, number, name) and entries.put_first(number):
            record.add("default", name, where=variable_name(number))
    told = loader.read(variables, loader.DEFAULT)
    if (told or loader.can_be_told(variables)) and told != name:
        loader.write(variables, loader.DEFAULT, name)
        record.add("default", name, where=loader.DEFAULT)
