"""What a machine runs and what it is: kernel, os-release, board, loaded modules.

From the same files as its devices. Of DMI only names are taken that all machines of a model share:
serial numbers, UUIDs, asset tags and versions stay where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base import arch
from sysgraft.errors import FormatError, UsageError
from sysgraft.firmware.devices import tree_texts
from sysgraft.formats import os_release
from sysgraft.host.sysfs import read_text

if TYPE_CHECKING:
    from sysgraft.host.sysfs import Sysfs

OS_FIELDS: Final = (
    "ID", "ID_LIKE", "VERSION_ID", "VERSION_CODENAME", "VARIANT_ID", "BUILD_ID", "IMAGE_ID",
    "IMAGE_VERSION", "SYSEXT_LEVEL", "CONFEXT_LEVEL",
)  # fmt: skip
"""Fields of os-release(5) that tell systems apart, and what extensions are matched with."""
DMI_FIELDS: Final = ("sys_vendor", "product_name", "product_family", "board_vendor", "board_name")
"""Of ``/sys/class/dmi/id``."""

_OS_RELEASES: Final = ("etc/os-release", "usr/lib/os-release")
_MODULES_MAX: Final = 1 << 20
_BOARD_COMPATIBLE: Final = "sys/firmware/devicetree/base/compatible"


def os_fields(files: Sysfs) -> dict[str, str]:
    """The fields of os-release; none where there is no such file, or it is none."""
    for path in _OS_RELEASES:
        data = files.read(path, os_release.MAX_SIZE)
        if data is not None:
            return chosen_fields(data)
    return {}


def chosen_fields(data: bytes) -> dict[str, str]:
    """`OS_FIELDS` of an os-release file; none if it is none."""
    try:
        fields = os_release.parse(data)
    except FormatError:
        return {}
    return {name: fields[name] for name in OS_FIELDS if fields.get(name)}


def dmi_fields(files: Sysfs) -> dict[str, str]:
    """Names of the machine and its board."""
    found = {name: read_text(files, f"sys/class/dmi/id/{name}") for name in DMI_FIELDS}
    found["compatible"] = tree_texts(files, _BOARD_COMPATIBLE)
    return {name: value for name, value in found.items() if value}


def modules(files: Sysfs) -> tuple[str, ...]:
    """Loaded modules, sorted; built-in ones are not loaded."""
    data = files.read("proc/modules", _MODULES_MAX)
    if data:
        return module_names(data)
    # Only what was loaded has an initstate (Linux kernel/module/sysfs.c).
    found = files.names("sys/module")
    return tuple(name for name in found if files.read(f"sys/module/{name}/initstate") is not None)


def module_names(data: bytes) -> tuple[str, ...]:
    """The names in ``/proc/modules``, or in what ``lsmod`` prints of it."""
    lines = data.decode("utf-8", "replace").splitlines()
    names = (line.split()[0] for line in lines if line.strip() and not line.startswith("Module "))
    return tuple(sorted(set(names)))


def kernel(files: Sysfs) -> str:
    """The release of the running kernel; empty where no file tells."""
    return read_text(files, "proc/sys/kernel/osrelease")


def firmware_path(files: Sysfs) -> str:
    """``firmware_class.path``; empty for none."""
    return read_text(files, "sys/module/firmware_class/parameters/path")


def architecture(files: Sysfs) -> str:
    """The processor's architecture; empty where no file tells (before Linux 6.1)."""
    return known_architecture(read_text(files, "proc/sys/kernel/arch"))


def known_architecture(name: str) -> str:
    """An architecture as systemd calls it; empty for one that nobody knows."""
    try:
        return arch.normalize(name) if name else ""
    except UsageError:
        return ""
