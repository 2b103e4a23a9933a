"""What an image costs on the ESP and in memory, and what to warn of.

FAT has no links, so every boot entry that starts an image has a copy of it (Kairos: active,
passive, recovery and reset). While it starts, an image is in memory twice, as the file the
firmware read and as the program it loaded; the stub needs the initrd once more when it joins
sidecars to it. Small machines' firmware fails there first, with an allocation error on screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.build.uki.report import UkiReport

MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Budget:
    """What an image may cost.

    Attributes:
        warn_size: bytes of the image that are worth a warning.
        copies: how many copies the ESP holds.
        esp_size: bytes of the ESP, None if it is not known.
    """

    warn_size: int = 1024 * MEGABYTE
    copies: int = 1
    esp_size: int | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What an image costs.

    Attributes:
        esp: bytes of all copies.
        memory: bytes of memory while it starts, without what the kernel unpacks.
        warnings: a sentence for each thing to worry about.
    """

    esp: int
    memory: int
    warnings: tuple[str, ...]


def cost_of(report: UkiReport, budget: Budget) -> Cost:
    """What a finished image costs, held against a budget."""
    initrd = sum(one.size for one in report.sections if one.name == ".initrd")
    esp = report.size * budget.copies
    memory = report.size + report.memory_size + initrd
    return Cost(esp, memory, tuple(_warnings(report, budget, esp, memory)))


def _warnings(report: UkiReport, budget: Budget, esp: int, memory: int) -> Iterator[str]:
    if report.size > budget.warn_size:
        largest = max(report.sections, key=lambda one: one.size)
        yield (
            f"the image has {_megabytes(report.size)}, more than {_megabytes(budget.warn_size)} "
            f"(--efi-size-warn); {largest.name} alone has {_megabytes(largest.size)}; "
            f"it needs about {_megabytes(memory)} of memory to start"
        )
    if budget.esp_size is not None and esp > budget.esp_size:
        yield (
            f"{budget.copies} copies need {_megabytes(esp)}, "
            f"the ESP has {_megabytes(budget.esp_size)}"
        )


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.0f} MB"
