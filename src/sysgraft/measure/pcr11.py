"""PCR 11: the sections of the image that was started, then how far the boot has come.

systemd-stub extends it twice for each section it finds, with the section's name and with its
content (``src/boot/measure.c``, ``src/fundamental/uki.h``); systemd-pcrphase then extends it with
a word at each phase of the boot. So the value says which image was started, and until when.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError
from sysgraft.formats import uki
from sysgraft.measure.pcr import extend_all, start

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

INDEX: Final = 11

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
"""The words of systemd-pcrphase.service(8); the first six of ukify, the others since v258."""

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
    """A phase path without blanks: words joined by colons, empty for none.

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
        sections: at most one of each name.
        version: the stub's systemd release; it knows no section that came later.
    """
    found = {section.name: section for section in sections}
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
    """The value at the end of a phase path."""
    words = path.split(":") if path else []
    return extend_all(bank, value, (_word(bank, word) for word in words))


def _word(bank: str, text: str) -> bytes:
    return hashlib.new(bank, text.encode("ascii")).digest()
