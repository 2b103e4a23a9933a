"""What a rule is.

A rule says which names some modules ask for, for some devices or for all of theirs. An ask is one
name, or several with ``|`` between them, tried in this order: what the first that exists stands for
is taken. A name is a glob over the names the rule's modules declare, so that it follows the kernel
that is used; behind ``+`` it is one over the files of the firmware tree, for names that no module
declares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sysgraft.firmware.plan_document import Confidence


class Rule(NamedTuple):
    """A rule.

    Attributes:
        what: hardware or drivers it is about, for people.
        modules: it speaks for, the one that asks first. Where it applies, other names they declare
            are not needed.
        devices: modalias patterns; empty for a rule about what modules ask for beyond what they
            declare, whatever the device.
        asks: see the module.
        source: the kernel's file and function, or an address.
        confidence: ``high`` where the source says so, ``medium`` for more than is needed.
        shared: whether it is asked for on behalf of the system, not of a device; what is known of
            a device then says nothing of it.
    """

    what: str
    modules: tuple[str, ...]
    devices: tuple[str, ...]
    asks: tuple[str, ...]
    source: str
    confidence: Confidence = "high"
    shared: bool = False


class Ladder(NamedTuple):
    """Names with a number that a driver counts down until one exists.

    Attributes:
        module: that does.
        name: a regular expression with the number as its only group.
        lowest: the driver gives up below this.
        source: the kernel's file and function.
    """

    module: str
    name: str
    lowest: int
    source: str


def pci(vendor: str, devices: str) -> tuple[str, ...]:
    """Modalias patterns of PCI devices.

    Args:
        vendor: four hexadecimal digits.
        devices: the same of each device, ``?`` for any digit; with ``:`` and four more for the
            subsystem's device.
    """
    found = []
    for each in devices.upper().split():
        device, _, subsystem = each.partition(":")
        behind = f"sv*sd0000{subsystem}bc*" if subsystem else "sv*"
        found.append(f"pci:v0000{vendor.upper()}d0000{device}{behind}")
    return tuple(found)


def usb(ids: str) -> tuple[str, ...]:
    """Modalias patterns of USB devices: ``VENDOR:PRODUCT`` each, ``*`` for any product."""
    pairs = (each.upper().split(":") for each in ids.split())
    return tuple(f"usb:v{vendor}p{product}d*" for vendor, product in pairs)
