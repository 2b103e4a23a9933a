"""Modaliases of devices, made of their identifiers as the kernel makes them.

Linux ``drivers/pci/pci-sysfs.c`` ``modalias_show()`` and ``drivers/usb/core/sysfs.c``
``modalias_show()``. What a modalias is matched against (``modules.alias``) is not known here.
"""

from __future__ import annotations

from typing import NamedTuple


class PciId(NamedTuple):
    """What a PCI device says of itself; each a number of 16 bits, `device_class` of 24."""

    vendor: int
    device: int
    subsystem_vendor: int
    subsystem_device: int
    device_class: int


class UsbId(NamedTuple):
    """What a USB interface and its device say of themselves.

    Attributes:
        vendor: 16 bits.
        product: 16 bits.
        release: bcdDevice, 16 bits.
        device_class: class, subclass and protocol of the device.
        interface_class: those of the interface.
        number: of the interface.
    """

    vendor: int
    product: int
    release: int
    device_class: tuple[int, int, int]
    interface_class: tuple[int, int, int]
    number: int


def of_pci(ids: PciId) -> str:
    """``pci:v…d…sv…sd…bc…sc…i…``."""
    base, sub, interface = ids.device_class.to_bytes(3, "big")
    return (
        f"pci:v{ids.vendor:08X}d{ids.device:08X}"
        f"sv{ids.subsystem_vendor:08X}sd{ids.subsystem_device:08X}"
        f"bc{base:02X}sc{sub:02X}i{interface:02X}"
    )


def of_usb(ids: UsbId) -> str:
    """``usb:v…p…d…dc…dsc…dp…ic…isc…ip…in…``."""
    device = "dc{:02X}dsc{:02X}dp{:02X}".format(*ids.device_class)
    interface = "ic{:02X}isc{:02X}ip{:02X}".format(*ids.interface_class)
    return (
        f"usb:v{ids.vendor:04X}p{ids.product:04X}d{ids.release:04X}"
        f"{device}{interface}in{ids.number:02X}"
    )
