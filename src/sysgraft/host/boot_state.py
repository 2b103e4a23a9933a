"""What is remembered until the machine is started anew: a small JSON document below ``/run``.

It names the boot it is of (``/proc/sys/kernel/random/boot_id``), should ``/run`` outlive that. Only
one process at a time changes it.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Final

from sysgraft.errors import InputError, ToolError
from sysgraft.host.files import cannot_write
from sysgraft.host.output import atomic_output
from sysgraft.host.small import read_small
from sysgraft.host.sysfs import SysfsFolder, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = "run/sysgraft"
MAX_STATE: Final = 4 << 20
_BOOT_ID: Final = "proc/sys/kernel/random/boot_id"


class BootState:
    """A document.

    Args:
        name: of it.
        root: the folder that stands for ``/``.
    """

    def __init__(self, name: str, root: str = "/") -> None:
        self._folder = os.path.join(root, FOLDER)
        self._path = os.path.join(self._folder, f"{name}.json")
        self._lock = os.path.join(self._folder, f"{name}.lock")
        self._boot = read_text(SysfsFolder(root), _BOOT_ID)

    def read(self) -> dict[str, Any]:
        """What this boot remembers; nothing if that is nothing, or no document."""
        if not os.path.lexists(self._path):
            return {}
        try:
            document = json.loads(read_small(self._path, MAX_STATE, "state of this boot"))
        except (ValueError, RecursionError, InputError):
            return {}
        if not isinstance(document, dict) or document.get("boot") != self._boot:
            return {}
        return document

    def texts(self, key: str) -> list[str]:
        """A list that this boot remembers under a key; empty if there is none."""
        found = self.read().get(key, [])
        return [str(each) for each in found] if isinstance(found, list) else []

    def write(self, document: dict[str, Any]) -> None:
        """Remember something instead of what was remembered.

        Raises:
            OutputError: it cannot be written.
        """
        data = json.dumps({"boot": self._boot, **document}, indent=1, sort_keys=True)
        with atomic_output(self._path, replace=True, make_folders=True) as file:
            file.write(data.encode() + b"\n")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """As long as the context lasts nobody else changes it.

        Raises:
            ToolError: somebody else does.
            OutputError: there is no place below ``/run``.
        """
        import fcntl  # noqa: PLC0415  there is none on Windows

        try:
            os.makedirs(self._folder, exist_ok=True)
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise cannot_write(error, self._lock) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise ToolError(
                "another process is at it", file=self._lock, hint="wait until it has ended"
            ) from error
        finally:
            os.close(descriptor)
