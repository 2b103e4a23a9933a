"""Messages about firmware: which file came or did not come for which device.

The rules are `sysgraft.firmware.message_rules`'. Messages of devices begin with ``DRIVER DEVICE: ``
(``dev_printk``), of network devices with ``DRIVER DEVICE INTERFACE: ``, of Bluetooth controllers
with ``Bluetooth: hciN: ``, of some modules with ``DRIVER: `` alone. A device without a driver is
named by its bus or class instead. Whether something is wrong is not decided here.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.firmware.message_rules import CORE, DRIVERS, INITRD, OLD_PROBE, PROBE, Meaning
from sysgraft.formats.kmsg import KERNEL, subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.firmware.message_rules import Rule
    from sysgraft.formats.kmsg import Record

LINE_MAX: Final = 1024
"""Characters of a message that are looked at: a path has at most 4,096, names of firmware fewer."""


class Said(NamedTuple):
    """What one message says.

    Attributes:
        meaning: of the message.
        rule: by which it was understood.
        message: the kernel's words.
        name: of the file, as the driver asked for it.
        path: where the file is.
        sha256: of what the driver got.
        error: errno as a positive number, 0 for none.
        driver: as the message calls it.
        device: ``BUS:NAME``; the bus is empty where the message does not tell it.
    """

    meaning: Meaning
    rule: Rule
    message: str
    name: str = ""
    path: str = ""
    sha256: str = ""
    error: int = 0
    driver: str = ""
    device: str = ""

    @property
    def is_core(self) -> bool:
        """Whether it is the loader that says so: the driver may go on with another file."""
        return self.rule in CORE


# A word that every message of the rules has; most messages have none, and cost nothing more.
_WORDS: Final = re.compile(
    r"[Ff]irmware|FW:|board|PNVM|Intel DDC|BCM: |Patch$|QCA Failed|rampatch|NVM file|built-in |"
    r"loading /|DDP package|GPU init|hardware init|probe (?:with|of) |"
    r"probe fw |fw_version "
)
_PCI: Final = r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
_USB: Final = r"\d{1,3}-[\d.]{1,40}(?::\d{1,3}\.\d{1,3})?"
_PREFIX: Final = re.compile(r"(?P<driver>[^\s:]{1,64}) (?P<name>\S{1,128}?)(?: [^\s:]{1,32})?: ")
# What a module prints of itself, and how people shorten messages.
_DRIVER: Final = re.compile(r"(?P<driver>[A-Za-z][\w-]{1,63}): ")
_CALLS_ITSELF: Final = {"NVRM": "nvidia"}
_HCI: Final = re.compile(r"(?:Bluetooth: )?(?P<name>hci\d{1,4}): ")
_SHAPES: Final = (
    (re.compile(_PCI), "pci"),
    (re.compile(r"\d{1,3}-00[0-9a-f]{2}"), "i2c"),
    (re.compile(_USB), "usb"),
    (re.compile(r"mmc\d{1,3}:[0-9a-f]{4}:\d"), "sdio"),
    (re.compile(r"hci\d{1,4}"), "bluetooth"),
)
# Instead of a driver's name; the first is a bus, or none.
_NOT_DRIVERS: Final = frozenset(
    {"pci", "usb", "platform", "bluetooth", "i2c", "spi", "misc", "pnp"}
)
_NUMBER: Final = re.compile(r"-?\d{1,6}")

_COMPILED: Final = tuple((rule, re.compile(rule.pattern)) for rule in (*CORE, *DRIVERS))
_COMPILED_INITRD: Final = tuple((rule, re.compile(rule.pattern)) for rule in INITRD)
_OLD_PROBE: Final = re.compile(OLD_PROBE.pattern)
_PROBE: Final = re.compile(PROBE.pattern)


def understand(record: Record) -> Iterator[Said]:
    """What a message says of firmware; nothing for most.

    Only the kernel is believed about the kernel: what programs print counts for initrds alone.
    """
    for line in record.text.splitlines():
        text = line[:LINE_MAX].rstrip()
        if _WORDS.search(text) is None:
            continue
        if record.origin == KERNEL:
            yield from _of_kernel(text, record)
        yield from (
            _said(rule, found, text)
            for rule, pattern in _COMPILED_INITRD
            if (found := pattern.match(text)) is not None
        )


def _of_kernel(text: str, record: Record) -> Iterator[Said]:
    old = _OLD_PROBE.match(text)
    if old is not None:
        device = subject(record) or guess_bus(old["device"])
        yield _said(OLD_PROBE, old, text, driver=old["driver"], device=device)
        return
    driver, printed, start = split_prefix(text)
    device = subject(record) or printed
    for rule, pattern in _COMPILED:
        found = pattern.match(text, start)
        if found is not None:
            yield _said(rule, found, text, driver=driver, device=device)


def is_loaders_own(message: str) -> bool:
    """Whether a message is the loader's, and not a driver's verdict of its own."""
    start = split_prefix(message)[2]
    return any(pattern.match(message, start) for rule, pattern in _COMPILED if rule in CORE)


def is_failed_probe(message: str) -> bool:
    """Whether a message says that a driver did not take the device, so that nothing is bound."""
    start = split_prefix(message)[2]
    return _OLD_PROBE.match(message) is not None or _PROBE.match(message, start) is not None


def split_prefix(text: str) -> tuple[str, str, int]:
    """Driver and device that a message begins with, and where its own words begin.

    Returns:
        The driver, empty if there is none; the device as ``BUS:NAME``; an offset.
    """
    hci = _HCI.match(text)
    if hci is not None:
        return "", f"bluetooth:{hci['name']}", hci.end()
    found = _PREFIX.match(text)
    if found is None:
        bare = _DRIVER.match(text)
        if bare is None:
            return "", "", 0
        return _CALLS_ITSELF.get(bare["driver"], bare["driver"]), "", bare.end()
    device = guess_bus(found["name"])
    if found["driver"] not in _NOT_DRIVERS:
        return found["driver"], device, found.end()
    bus = found["driver"] if device.startswith(":") else device.partition(":")[0]
    return "", f"{bus}:{found['name']}", found.end()


def guess_bus(name: str) -> str:
    """``BUS:NAME`` by the looks of a name; nothing before the colon where it has none."""
    bus = next((bus for pattern, bus in _SHAPES if pattern.fullmatch(name)), "")
    return f"{bus}:{name}"


def _said(
    rule: Rule, found: re.Match[str], message: str, *, driver: str = "", device: str = ""
) -> Said:
    groups = {key: value or "" for key, value in found.groupdict().items()}
    return Said(
        rule.meaning,
        rule,
        message,
        name=groups.get("name", ""),
        path=groups.get("path", ""),
        sha256=groups.get("sha256", ""),
        error=_error(groups.get("error", "")),
        driver=driver,
        device=device,
    )


def _error(text: str) -> int:
    """``-2`` and ``-ENOENT`` as 2."""
    if _NUMBER.fullmatch(text):
        return abs(int(text))
    value = getattr(errno, text.lstrip("-"), 0) if text else 0
    return value if isinstance(value, int) else 0
