"""What the devices of machines need of a kernel: every ask, with the device it is for.

At driver level a device needs all that its modules may ask for. At device level a rule or what was
seen to be loaded takes the place of that; a device of which neither is known keeps all of it, and
is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.firmware import early
from sysgraft.firmware.rules import tables
from sysgraft.formats.alias_table import AliasTable
from sysgraft.formats.modules_index import underscored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sysgraft.firmware.inventory import Machine
    from sysgraft.firmware.kernel_view import KernelView
    from sysgraft.firmware.names import Ask, Names
    from sysgraft.firmware.plan_document import Level
    from sysgraft.firmware.rules.model import Rule

FIRMWARE_NAME: Final = "firmware-name"
"""Property of a devicetree node: names of firmware, the first or all of which are loaded."""


class Hardware(NamedTuple):
    """A device, however many machines have it.

    Attributes:
        modalias: what drivers are matched against.
        module: that is bound to it; empty where none is, or nobody knows.
        firmware: names its devicetree node gives.
    """

    modalias: str
    module: str
    firmware: tuple[str, ...]


class Fleet(NamedTuple):
    """What several machines have.

    Attributes:
        devices: in the order in which they were met.
        observed: names that were loaded, by modalias; by the empty string where nobody knows for
            which device.
        modules: loaded on some machine.
    """

    devices: tuple[Hardware, ...]
    observed: Mapping[str, tuple[str, ...]]
    modules: frozenset[str]


class Need(NamedTuple):
    """An ask, the device it is for, and the kind of hardware."""

    ask: Ask
    device: str
    kind: str


def fleet(machines: Iterable[Machine], modaliases: Iterable[str]) -> Fleet:
    """Put the hardware of machines together; linear in what they have."""
    devices = {Hardware(each, "", ()): None for each in modaliases}
    observed: dict[str, dict[str, None]] = {}
    modules: set[str] = set()
    for machine in machines:
        by_name = {f"{each.bus}:{each.name}": each for each in machine.devices}
        for device in machine.devices:
            names = tuple(device.properties.get(FIRMWARE_NAME, "").replace("\0", " ").split())
            devices[Hardware(device.modalias, underscored(device.module), names)] = None
        for loaded in machine.loaded:
            asked_by = by_name.get(loaded.device)
            key = asked_by.modalias if asked_by else ""
            observed.setdefault(key, {})[loaded.name] = None
        modules.update(map(underscored, machine.modules))
    seen = {modalias: tuple(names) for modalias, names in observed.items()}
    return Fleet(tuple(devices), seen, frozenset(modules))


class Needs:
    """What a kernel's drivers need for hardware.

    Args:
        kernel: the kernel.
        names: what its modules ask for.
        level: see the module.

    Attributes:
        whole: modules whose every name was taken at device level, with a device of each.
    """

    def __init__(self, kernel: KernelView, names: Names, level: Level) -> None:
        self._kernel = kernel
        self._names = names
        self._level = level
        self._rules = AliasTable(
            (pattern, str(number))
            for number, rule in enumerate(tables.DEVICE_RULES)
            for pattern in rule.devices
        )
        self.whole: dict[str, str] = {}

    def of(self, hardware: Fleet) -> Iterator[Need]:
        """Everything, in the order of the devices."""
        reached: set[str] = set()
        for device in hardware.devices:
            yield from self._always(device)
            primary = self._primary(device)
            family = frozenset(each for name in primary for each in self._kernel.family(name))
            reached |= family
            observed = hardware.observed.get(device.modalias, ())
            # Loaded for another module's sake, these ask for nothing.
            family -= tables.HELPERS.difference(primary) if self._level == "device" else set()
            for ask in self._of_device(device, family, observed):
                yield self._need(ask, device.modalias)
        for name in hardware.observed.get("", ()):
            yield self._need(self._names.observed(name, ""), "")
        for module in sorted(hardware.modules - reached):
            if module in self._kernel.modules:
                yield from (self._need(ask, "") for ask in self._names.of_module(module))

    def _always(self, device: Hardware) -> Iterator[Need]:
        """What no module asks for: microcode, and names of the devicetree."""
        for pattern in early.microcode(device.modalias):
            for ask in self._names.given(pattern, early.MICROCODE_SOURCE):
                yield Need(ask, device.modalias, "microcode")
        for name in device.firmware:
            for ask in self._names.given(name, "the devicetree's firmware-name"):
                yield self._need(ask, device.modalias)

    def _primary(self, device: Hardware) -> tuple[str, ...]:
        """Modules a device wants; at device level, the one that is bound if it still would be."""
        wanted = self._kernel.wanted_by(device.modalias)
        if self._level == "device" and device.module in wanted:
            return (device.module,)
        return (*wanted, device.module) if device.module else wanted

    def _of_device(
        self, device: Hardware, family: frozenset[str], observed: Iterable[str]
    ) -> Iterator[Ask]:
        covered: set[str] = set()
        if self._level == "device":
            for rule in self._rules_for(device.modalias, family):
                asks = self._names.of_rule(rule, family)
                # A rule that leads to nothing is no reason to leave the rest out.
                if any(ask.found for ask in asks):
                    covered.update(rule.modules)
                yield from asks
        loaded = [self._names.observed(name, device.module) for name in observed]
        yield from loaded
        # What was loaded elsewhere and is not here says nothing of what is loaded from here.
        if self._level == "device" and loaded and all(ask.found for ask in loaded):
            covered |= family
        for module in sorted(family):
            if module in covered:
                yield from self._names.shared(module)
                continue
            asks = self._names.of_module(module)
            if asks and not self._names.shared(module):
                self.whole.setdefault(module, device.modalias)
            yield from asks

    def _rules_for(self, modalias: str, family: frozenset[str]) -> Iterator[Rule]:
        """Rules that apply, the first for each module."""
        covered: set[str] = set()
        for number in self._rules.look_up(modalias):
            rule = tables.DEVICE_RULES[int(number)]
            modules = family.intersection(rule.modules) - covered
            if modules:
                covered |= modules
                yield rule

    def _need(self, ask: Ask, device: str) -> Need:
        return Need(ask, device, early.kind_of(self._kernel.modules.get(ask.module)))
