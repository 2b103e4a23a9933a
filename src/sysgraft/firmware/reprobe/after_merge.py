"""What a merge brought for udev, which was started before it.

udev keeps its rules, its hardware database and the index of modules in memory. Rules and index are
read again on request; the database has to be compiled, into ``/etc``, since ``/usr`` cannot be
written to. Which devices are told anew is decided for each of them (the step ``module``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import ToolError
from sysgraft.firmware.reprobe.report import MergeReport
from sysgraft.host.merged import merged_files
from sysgraft.host.sysfs import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.firmware.reprobe.access import Access

RULES: Final = "usr/lib/udev/rules.d"
HWDB: Final = "usr/lib/udev/hwdb.d"
MODULES: Final = "usr/lib/modules"
_PATIENCE: Final = 10.0


def after_merge(access: Access, *, seconds: float, dry_run: bool) -> tuple[MergeReport, ...]:
    """Have udev take notice.

    Args:
        access: to the machine.
        seconds: that all of it may take.
        dry_run: whether nothing is done.
    """
    return tuple(_reports(access, seconds, dry_run=dry_run))


def _reports(access: Access, seconds: float, *, dry_run: bool) -> Iterator[MergeReport]:
    release = read_text(access.files, "proc/sys/kernel/osrelease")
    rules = merged_files(RULES, root=access.root)
    index = merged_files(f"{MODULES}/{release}", root=access.root) if release else ()
    hwdb = merged_files(HWDB, root=access.root)
    said = {
        "rules": f"{len(rules)} files in /{RULES} came with extensions",
        "modules": f"{len(index)} files in /{MODULES}/{release} came with extensions",
        "hwdb": f"{len(hwdb)} files in /{HWDB} came with extensions",
    }
    if dry_run:
        yield from (MergeReport(name, "planned", text) for name, text in said.items())
        return
    # One request for both; it costs nothing where nothing came.
    reload = _try(access, ("udevadm", "control", "--reload"), seconds)
    for name in ("rules", "modules"):
        yield MergeReport(name, "impossible" if reload else "done", reload or said[name])
    if not hwdb:
        yield MergeReport("hwdb", "not-needed", said["hwdb"])
    else:
        failure = _try(access, ("systemd-hwdb", "update"), seconds)
        yield MergeReport("hwdb", "impossible" if failure else "done", failure or said["hwdb"])
    if not reload:
        # What is on its way may be about these devices.
        patience = max(1, round(min(_PATIENCE, seconds)))
        _try(access, ("udevadm", "settle", f"--timeout={patience}"), patience + 1)


def _try(access: Access, words: tuple[str, ...], seconds: float) -> str:
    """Why a program could not do it; empty if it could."""
    try:
        access.programs.run(words, seconds=max(1.0, min(_PATIENCE, seconds)))
    except ToolError as error:
        return str(error)
    return ""
