"""What is known of a machine: its devices, what they are bound to, what they loaded or missed.

The document is ``sysgraft.firmware.scan/1``, which a fleet can collect: it holds no serial number,
address or name of the machine. Reading a machine is `sysgraft.firmware.scan`'s; this module only
says what an inventory is, and reads and writes it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from sysgraft.errors import FormatError, LimitError

SCHEMA: Final = "sysgraft.firmware.scan/1"
"""First key of the document."""

MAX_SIZE: Final = 16 << 20
"""Bytes of a document: a server with a thousand virtual functions has under one megabyte."""

MAX_DEVICES: Final = 20_000
"""Devices of a machine, those without a driver included."""


class Device(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A device that has a modalias.

    Attributes:
        bus: its subsystem: ``pci``, ``usb``, ``virtio``, ….
        name: on that bus, as in ``/sys/bus/BUS/devices``: ``0000:02:00.0``, ``1-4:1.0``.
        modalias: what drivers are matched against.
        driver: it is bound to; empty for none.
        module: that brought the driver; empty where it is built in, or there is none.
        parent: the name of the nearest device above that is on a bus too; empty for none.
        properties: further facts that names of firmware are made of: subsystem identifiers,
            devicetree ``compatible`` and ``firmware-name``; never serial numbers.
    """

    bus: str
    name: str
    modalias: str
    driver: str = ""
    module: str = ""
    parent: str = ""
    properties: dict[str, str] = {}


class Loaded(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A firmware file that the kernel says it loaded.

    Attributes:
        name: as the driver asked for it.
        path: the file it came from; empty where the kernel does not say.
        sha256: of what the driver got, uncompressed, lower-case hex; empty likewise.
        device: ``BUS:NAME`` of who asked; empty likewise.
    """

    name: str
    path: str = ""
    sha256: str = ""
    device: str = ""


class Failure(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A firmware file that did not come.

    Attributes:
        name: as the driver asked for it; empty where the message does not say.
        device: ``BUS:NAME`` of who asked; empty where the message does not say.
        driver: who asked, as messages call it.
        error: the errno as a positive number; 0 where the message does not say.
        message: the kernel's words.
        cured: whether the driver said later that its firmware runs, though not which file it is.
    """

    name: str
    message: str
    device: str = ""
    driver: str = ""
    error: int = 0
    cured: bool = False


class Machine(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """An inventory.

    Attributes:
        schema: see `SCHEMA`.
        architecture: systemd's name of it.
        kernel: release of the running kernel, as ``uname -r``; empty where nobody knows.
        os: fields of os-release that tell systems apart: ``ID``, ``VERSION_ID``, ….
        dmi: vendor, product and board names, by the names of ``/sys/class/dmi/id``; of a machine
            with a devicetree, that one's ``compatible``.
        devices: sorted by bus and name.
        loaded: firmware files that were loaded, sorted by name.
        failures: firmware files that were missed.
        modules: loaded modules, sorted.
        firmware_path: the ``firmware_class.path`` in force; empty for none.
        sources: what the inventory was made from: ``sysfs``, ``kmsg``, ``lspci``, ….
    """

    schema: str = SCHEMA
    architecture: str = ""
    kernel: str = ""
    os: dict[str, str] = {}
    dmi: dict[str, str] = {}
    devices: tuple[Device, ...] = ()
    loaded: tuple[Loaded, ...] = ()
    failures: tuple[Failure, ...] = ()
    modules: tuple[str, ...] = ()
    firmware_path: str = ""
    sources: tuple[str, ...] = ()


class _Named(msgspec.Struct, frozen=True):
    """What says that it is one; a document without it is another."""

    schema: str = ""


def parse_machine(data: bytes) -> Machine:
    """Read an inventory; unknown keys are passed over.

    Raises:
        LimitError: it is larger than `MAX_SIZE`, or has more than `MAX_DEVICES`.
        FormatError: it is none.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"an inventory of more than {MAX_SIZE} bytes")
    try:
        schema = msgspec.json.decode(data, type=_Named).schema
        machine = msgspec.json.decode(data, type=Machine)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise FormatError(f"not an inventory of a machine: {str(error)[:120]}") from error
    if schema != SCHEMA:
        raise FormatError(f"not an inventory of a machine: its schema is {schema[:60]!r}")
    if len(machine.devices) > MAX_DEVICES:
        raise LimitError(f"an inventory of more than {MAX_DEVICES} devices")
    return machine


def render_machine(machine: Machine) -> bytes:
    """The document, the same for the same machine, with a line for each entry."""
    document = {"schema": machine.schema, **msgspec.to_builtins(machine)}
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
