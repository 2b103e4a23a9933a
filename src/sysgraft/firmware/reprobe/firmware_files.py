"""Whether the kernel would find a firmware file: where it looks, and how the file may be packed.

Linux drivers/base/firmware_loader/main.c: ``firmware_class.path``, then four folders; each name as
it is, then with ``.zst``, then with ``.xz``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.firmware.reprobe.reading import exists
from sysgraft.formats.firmware_file import TEXT_SUFFIXES
from sysgraft.host.sysfs import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.host.sysfs import Sysfs


def missing_firmware(files: Sysfs, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that the kernel would not find."""
    folders = _folders(files)
    return tuple(
        name
        for name in names
        if not any(exists(files, f"{f}/{name}{s}") for f in folders for s in TEXT_SUFFIXES)
    )


def _folders(files: Sysfs) -> tuple[str, ...]:
    release = read_text(files, "proc/sys/kernel/osrelease")
    own = read_text(files, "sys/module/firmware_class/parameters/path").lstrip("/")
    base = "lib/firmware"
    named = (f"{base}/updates/{release}", f"{base}/updates", f"{base}/{release}", base)
    return (*((own,) if own else ()), *named)
