"""Event logs and PCR values of a machine, from the files in which it or somebody else kept them."""

from __future__ import annotations

import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, InputError, in_file
from sysgraft.formats import eventlog, pcr_values, tpm_userspace_log
from sysgraft.formats.eventlog_records import PCR_COUNT
from sysgraft.formats.strict_json import as_hex
from sysgraft.host.small import read_small

if TYPE_CHECKING:
    from sysgraft.formats.eventlog import Log
    from sysgraft.formats.pcr_values import Values
    from sysgraft.formats.tpm_userspace_log import Record

_BANK_FOLDER: Final = re.compile(r"pcr-([a-z0-9_]{1,16})")
_MAX_VALUE: Final = 4096
"""Bytes of a file with one value: sysfs gives a page at most."""


def read_log(path: str) -> Log:
    """The firmware's event log, as in ``/sys/kernel/security/tpm0/binary_bios_measurements``.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    data = read_small(path, eventlog.MAX_LOG, "event log")
    with in_file(path):
        if not data:
            raise FormatError("the event log is empty")
        return eventlog.parse(data)


def read_userspace_log(path: str) -> tuple[Record, ...]:
    """The log of systemd, as in ``/run/log/systemd/tpm2-measure.log``.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    data = read_small(path, tpm_userspace_log.MAX_LOG, "log of measurements")
    with in_file(path):
        return tpm_userspace_log.parse(data)


def read_values(path: str) -> Values:
    """Values of PCRs: a folder like ``/sys/class/tpm/tpm0``, or JSON (`formats.pcr_values`).

    Raises:
        InputError: they cannot be read, or are none.
    """
    if os.path.isdir(path):
        return _read_folder(path)
    data = read_small(path, pcr_values.MAX_SIZE, "list of PCR values")
    with in_file(path):
        return pcr_values.parse(data)


def _read_folder(path: str) -> Values:
    with in_file(path):
        names = sorted(os.listdir(path))
    found = {}
    for name in names:
        bank = _BANK_FOLDER.fullmatch(name)
        if bank and bank[1] in pcr_values.SIZES:
            values = _read_bank(os.path.join(path, name), bank[1])
            if values:
                found[bank[1]] = values
    if not found:
        raise InputError(
            "the folder has no PCR values", file=path, hint="they are in files like pcr-sha256/11"
        )
    return MappingProxyType(found)


def _read_bank(folder: str, bank: str) -> dict[int, bytes]:
    found = {}
    for number in range(PCR_COUNT):
        path = os.path.join(folder, str(number))
        if not os.path.exists(path):
            continue
        data = read_small(path, _MAX_VALUE, "PCR value")
        with in_file(path):
            text = data.decode("ascii", errors="replace").strip()
            found[number] = pcr_values.check_value(bank, as_hex(text, "the PCR"), number)
    return found
