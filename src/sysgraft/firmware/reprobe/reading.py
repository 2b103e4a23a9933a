"""Small questions to ``/proc`` and ``/sys``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sysgraft.host.sysfs import Sysfs

MAX_TABLE: Final = 4 << 20
"""Bytes of a table such as that of all mounts: thousands of containers have a megabyte."""


def read_lines(files: Sysfs, path: str) -> list[str]:
    """The lines of a file; none if it cannot be read."""
    return (files.read(path, MAX_TABLE) or b"").decode(errors="replace").splitlines()


def last_part(files: Sysfs, path: str) -> str:
    """The name of what a link leads to; empty if it leads nowhere."""
    return (files.resolve(path) or "").rpartition("/")[2]


def exists(files: Sysfs, path: str) -> bool:
    """Whether there is something."""
    return files.resolve(path) is not None
