"""What to do with an input that broke a rule: make it smaller, put it in order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from children import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker import Finding, Limits


def breaks(
    read: Callable[[bytes], object], data: bytes, limits: Limits
) -> tuple[str, str, str] | None:
    """Which rule an input breaks, read in a process of its own; None for none."""
    outcome, _ = Child(read, lambda _: data, range(1), limits).wait()
    return outcome.findings[0].key if outcome.findings else None


def shrink(
    read: Callable[[bytes], object],
    data: bytes,
    limits: Limits,
    *,
    most: float = 60.0,
) -> bytes:
    """A smaller input that breaks the same rule: parts are left out as long as that goes on.

    Args:
        read: the reader.
        data: breaks a rule.
        limits: as for the campaign.
        most: seconds to spend.
    """
    wanted = breaks(read, data, limits)
    end = time.monotonic() + most
    size = len(data) // 2
    while wanted is not None and size and time.monotonic() < end:
        at, smaller = 0, False
        while at < len(data) and time.monotonic() < end:
            candidate = data[:at] + data[at + size :]
            if breaks(read, candidate, limits) == wanted:
                data, smaller = candidate, True
            else:
                at += size
        if not smaller or size > len(data):
            size //= 2
    return data


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """By what they are."""
    return sorted(findings, key=lambda each: (each.key, each.number))
