"""A folder with what a run left: logs and results as files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.formats import eventlog
from sysgraft.host import output_folder
from sysgraft.host.output_folder import NewFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.lab.report import LabReport

SERIAL: Final = "serial.log"
EVENT_LOG: Final = "event-log.bin"
JOURNAL: Final = "journal.log"
SCRIPT: Final = "script.log"
RESULT_PREFIX: Final = "result-"
"""What the names of the script's own files begin with."""

_FIXED: Final = (SERIAL, EVENT_LOG, JOURNAL, SCRIPT)
# The guest says what they are called.
_SAFE: Final = re.compile(r"[A-Za-z0-9_+@=,-][A-Za-z0-9._+@=,-]{0,199}")


def check_place(folder: str, *, replace: bool) -> None:
    """Raise `OutputError` if `keep` could not write there."""
    output_folder.check_place(folder, replace=replace, is_ours=_is_ours)


def keep(report: LabReport, folder: str, *, replace: bool) -> None:
    """Write the folder, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    output_folder.write_folder(folder, list(_files(report)), replace=replace, is_ours=_is_ours)


def _files(report: LabReport) -> Iterator[NewFile]:
    yield NewFile(SERIAL, report.serial.encode())
    if report.event_log is not None:
        yield NewFile(EVENT_LOG, eventlog.serialise(report.event_log.log))
    if report.guest is not None and report.guest.journal:
        yield NewFile(JOURNAL, report.guest.journal.encode())
    if report.script is not None:
        yield NewFile(SCRIPT, report.script.output)
        for name, data in report.script.files.items():
            if is_safe(name):
                yield NewFile(RESULT_PREFIX + name, data)


def is_safe(name: str) -> bool:
    """Whether a name from the guest may name a file here."""
    return _SAFE.fullmatch(name) is not None


def _is_ours(name: str) -> bool:
    return name in _FIXED or name.startswith(RESULT_PREFIX)
