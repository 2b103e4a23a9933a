"""How devices are called: ``BUS:NAME``, as in ``/sys/bus/BUS/devices/NAME``."""

from __future__ import annotations

import re
from typing import Final

from sysgraft.errors import UsageError

_BUS: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
# What drivers call their devices; some have blanks, none a slash (drivers/base/core.c).
_NAME: Final = re.compile(r"(?!\.\.?$)[!-.0-~]([ -.0-~]{0,198}[!-.0-~])?")


def split_device(device: str) -> tuple[str, str]:
    """Bus and name of a device: ``usb:1-4:1.0`` is ``1-4:1.0`` of ``usb``.

    Raises:
        UsageError: that is no name of a device.
    """
    bus, colon, name = device.partition(":")
    if not colon or not _BUS.fullmatch(bus) or not _NAME.fullmatch(name):
        raise UsageError(
            f"not a device: {device!r}",
            hint="BUS:NAME, as below /sys/bus: usb:1-4:1.0, pci:0000:02:00.0",
        )
    return bus, name
