"""This machine's systemd: its release, what it has merged, and being asked to merge anew.

The release is told by the name of its own library, so that it can be known of a system that is not
running, too, and without a process. What is merged systemd-sysext tells itself, in JSON (since
250).
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sysgraft.errors import InputError, ToolError
from sysgraft.formats.extension_release import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROGRAMS: Final = {Kind.SYSEXT: "systemd-sysext", Kind.CONFEXT: "systemd-confext"}
"""Also the names of their units."""

_LIBRARY: Final = re.compile(r"libsystemd-shared-([0-9]{3})[^/]*\.so")
_FOLDERS: Final = ("usr/lib/systemd", "lib/systemd", "usr/lib64/systemd")
_MULTIARCH: Final = re.compile(r"[a-z0-9_]+-linux-gnu[a-z0-9]*")
_PATIENCE: Final = 120.0


class Hierarchy(NamedTuple):
    """A folder that extensions are merged into.

    Attributes:
        path: the folder.
        extensions: names of what is merged there, the lowest layer first.
    """

    path: str
    extensions: tuple[str, ...]


class Systemd(Protocol):
    """systemd on a machine; `sysgraft.testing.systemd` has one without a machine."""

    def merged(self, kind: Kind) -> tuple[Hierarchy, ...]:
        """What is merged.

        Raises:
            ToolError: it cannot be asked.
        """

    def refresh(self, kind: Kind) -> None:
        """Have merged what is there now.

        Raises:
            ToolError: it did not work; what was merged before may be merged no more.
        """


class RunningSystemd:
    """The systemd of this machine.

    Args:
        environment: variables that its units have, and its programs need to be told.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment or {}

    def merged(self, kind: Kind) -> tuple[Hierarchy, ...]:
        """See `Systemd.merged`."""
        from sysgraft.host.run import run  # noqa: PLC0415  a boot that merges nothing runs nothing

        words = [PROGRAMS[kind], "status", "--json=short", "--no-pager"]
        done = run(words, env=self._environment)
        try:
            return tuple(_hierarchies(json.loads(done.stdout)))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ToolError(f"{PROGRAMS[kind]} tells nothing that can be read") from error

    def refresh(self, kind: Kind) -> None:
        """See `Systemd.refresh`; by its unit, so that its drop-ins count."""
        from sysgraft.host.run import run  # noqa: PLC0415  see above

        unit = f"{PROGRAMS[kind]}.service"
        run(["systemctl", "reset-failed", unit], check=False)
        run(["systemctl", "reload-or-restart", unit], timeout=_PATIENCE)


def _hierarchies(document: list[dict[str, object]]) -> Iterator[Hierarchy]:
    for each in document:
        found = each["extensions"]
        names = [] if found == "none" or not isinstance(found, list) else found
        yield Hierarchy(str(each["hierarchy"]), tuple(str(name) for name in names))


def systemd_release(root: str = "/") -> int:
    """The release of a system's systemd.

    Raises:
        InputError: it cannot be told.
    """
    for folder in _libraries(root):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        found = [int(match[1]) for name in names if (match := _LIBRARY.fullmatch(name))]
        if found:
            return max(found)
    raise InputError("no systemd is found whose release could be told", file=root)


def _libraries(root: str) -> Iterator[str]:
    yield from (os.path.join(root, folder) for folder in _FOLDERS)
    for above in ("usr/lib", "lib"):
        try:
            names = sorted(os.listdir(os.path.join(root, above)))
        except OSError:
            continue
        for name in names:
            if _MULTIARCH.fullmatch(name):
                yield os.path.join(root, above, name, "systemd")
