"""What this system is: its systemd, its os-release, its processor."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sysgraft.base.systemd import LATEST, OLDEST
from sysgraft.errors import FormatError, InputError, UsageError, in_file
from sysgraft.formats import os_release
from sysgraft.host.architecture import this_architecture
from sysgraft.host.sysfs import SysfsFolder
from sysgraft.host.systemd import systemd_release
from sysgraft.node.judge import Host

if TYPE_CHECKING:
    from collections.abc import Mapping

_OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
"""Where os-release(5) has it."""


def this_host(root: str, notes: list[str] | None = None) -> Host:
    """What images are held against on the system below `root`.

    A systemd that is newer or older than any whose rules are known is judged as the nearest one.

    Args:
        root: the folder that stands for its root.
        notes: gets what cannot be told, which then is no error.

    Raises:
        InputError: there is no systemd.
        FormatError: its os-release is none.
    """
    release = _systemd(root, notes)
    return Host(
        systemd=min(max(release or LATEST, OLDEST), LATEST),
        at_least=min(max(release, OLDEST), LATEST),
        os_release=_release(root, notes),
        architecture=_architecture(),
    )


def _systemd(root: str, notes: list[str] | None) -> int:
    """Its release; 0 where that cannot be told, and need not be."""
    try:
        return systemd_release(root)
    except InputError as error:
        if notes is None:
            raise
        notes.append(f"{error}: what it merges is not foretold")
        return 0


def _release(root: str, notes: list[str] | None) -> Mapping[str, str] | None:
    """The first file that there is; one that cannot be read matches no image that names a host."""
    files = SysfsFolder(root)
    for place in _OS_RELEASE:
        data = files.read(place, os_release.MAX_SIZE)
        if data is None:
            continue
        try:
            with in_file(f"/{place}"):
                return os_release.parse(data)
        except FormatError as error:
            if notes is None:
                raise
            notes.append(f"{error}; its other lines count")
            return _good_lines(data)
    return {} if notes is not None else None


def _good_lines(data: bytes) -> dict[str, str]:
    """What can be read of a file with bad lines; systemd passes over them, too."""
    found: dict[str, str] = {}
    for line in data.splitlines():
        with suppress(FormatError):
            found |= os_release.parse(line)
    return found


def _architecture() -> str | None:
    try:
        return this_architecture()
    except UsageError:
        return None
