"""PCR 11: the sections of the image that was started, then how far the boot has come.

systemd-stub extends it twice for each section it finds, with the section's name and with its
content (``src/boot/measure.c``, ``src/fundamental/uki.h``); systemd-pcrphase then extends it with
a word at each phase of the boot. So the value says which image was started, and until when.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UnsupportedError, UsageError
from sysgraft.formats import uki
from sysgraft.measure.pcr import extend_all, start

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

INDEX: Final = 11

_WHOLE_NAMES: Final = 257
"""Older stubs compare only as many characters as the name has they look for."""

PHASES: Final = (
    "enter-initrd",
    "leave-initrd",
    "sysinit",
    "ready",
    "storage-target-mode-start",
    "storage-target-mode-stop",
    "factory-reset",
    "shutdown",
    "final",
)
"""The words of systemd-pcrphase.service(8). ukify knows those that are older than v258, in which
the two about storage target mode and the one about factory reset came."""

DEFAULT_PATHS: Final = (
    "enter-initrd",
    "enter-initrd:leave-initrd",
    "enter-initrd:leave-initrd:sysinit",
    "enter-initrd:leave-initrd:sysinit:ready",
)
"""The phase paths that systemd-measure(1) takes where none is given."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A section as it is measured.

    Attributes:
        name: with its dot.
        digests: of its content, by bank.
    """

    name: str
    digests: Mapping[str, bytes]


def check_path(path: str) -> str:
    """A phase path without blanks: words joined by colons, empty for none (``:`` is none too).

    Raises:
        UsageError: a word is not a phase.
    """
    words = [word.strip() for word in path.split(":")]
    if words in ([""], ["", ""]):
        return ""
    for word in words:
        if word not in PHASES:
            raise UsageError(f"unknown boot phase {word!r}", hint=f"known: {', '.join(PHASES)}")
    return ":".join(words)


def in_order(sections: Iterable[Measured], version: int) -> tuple[Measured, ...]:
    """What a stub measures of these sections, in its order.

    Args:
        sections: at most one of each name, none of no size: to the stub those are not there.
        version: the stub's systemd release; it knows no section that came later.

    Raises:
        UnsupportedError: the stub would mistake one section for another.
    """
    found = {section.name: section for section in sections}
    if version < _WHOLE_NAMES and ".dtbauto" in found:
        raise UnsupportedError(
            f"the stub of systemd {version} takes the section .dtbauto for .dtb",
            hint="take a stub of systemd 257 or newer, or --devicetree",
        )
    return tuple(
        found[name] for name, since in uki.MEASURED.items() if name in found and since <= version
    )


def after_stub(bank: str, measured: Sequence[Measured]) -> bytes:
    """The value once the stub has measured these sections, in this order."""
    digests = (
        digest
        for section in measured
        for digest in (_word(bank, section.name + "\0"), section.digests[bank])
    )
    return extend_all(bank, start(bank), digests)


def at_phase(bank: str, value: bytes, path: str) -> bytes:
    """The value at the end of a phase path, whatever its words are."""
    words = path.split(":") if path else []
    return extend_all(bank, value, (_word(bank, word) for word in words))


def _word(bank: str, text: str) -> bytes:
    return hashlib.new(bank, text.encode()).digest()
