"""All rules, in the order in which they are tried: the first for a module and a device counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.firmware.rules import amd_graphics, bluetooth, intel_graphics, other, wireless

if TYPE_CHECKING:
    from sysgraft.firmware.rules.model import Ladder, Rule

_ALL: Final = (
    *intel_graphics.RULES,
    *amd_graphics.RULES,
    *wireless.RULES,
    *bluetooth.RULES,
    *other.RULES,
)
DEVICE_RULES: Final[tuple[Rule, ...]] = tuple(rule for rule in _ALL if rule.devices)
"""What certain devices ask for."""
MODULE_RULES: Final[tuple[Rule, ...]] = tuple(rule for rule in _ALL if not rule.devices)
"""What modules ask for beyond what they declare."""
HELPERS: Final = frozenset(name for name, *_ in other.HELPERS)
"""Modules whose firmware is for devices of their own, whoever else loads them."""
LADDERS: Final[tuple[Ladder, ...]] = wireless.LADDERS
"""Names with a number that is counted down."""
