"""``--os-release`` and ``--match-os``: the os-release file of the host an extension is for."""

from __future__ import annotations

from sysgraft.errors import in_file
from sysgraft.formats import os_release
from sysgraft.host.small import read_small


def host_release(path: str | None) -> dict[str, str] | None:
    """The fields of the file at `path`; None without one.

    Raises:
        InputError: it cannot be read.
        FormatError: it is not in os-release's syntax.
    """
    if path is None:
        return None
    with in_file(path):
        return os_release.parse(read_small(path, os_release.MAX_SIZE, "os-release file"))
