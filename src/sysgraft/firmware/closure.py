"""Everything that is reached from something, loops and what is not there included."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def closure(starts: Iterable[str], leads_to: Mapping[str, Iterable[str]]) -> set[str]:
    """`starts`, what they lead to, what that leads to, and so on."""
    found: set[str] = set()
    pending = list(starts)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(leads_to.get(name, ()))
    return found
