"""docs/reference/firmware-rules.md has every rule; ``UPDATE_DOCS=1`` writes it anew."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sysgraft.firmware.rules import other, tables
from sysgraft.firmware.rules.optional import OPTIONAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.firmware.rules.model import Rule

PAGE = Path(__file__).parents[2] / "docs/reference/firmware-rules.md"


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join('---' for _ in header)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def devices(rule: Rule) -> str:
    """Identifiers alone: ``8086:51F1``."""
    found = []
    for pattern in rule.devices:
        usb = re.fullmatch(r"usb:v(....)p(.*?)d\*", pattern)
        pci = re.fullmatch(r"pci:v0000(....)d0000(....)sv\*(?:sd0000(....)bc\*)?", pattern)
        match = usb or pci
        assert match is not None, pattern
        parts = [part for part in match.groups() if part]
        found.append(":".join(parts[:2]) + (f" ({parts[2]})" if len(parts) > 2 else ""))
    return ", ".join(found)


def asks(rule: Rule) -> str:
    return ", ".join(" or ".join(f"`{name}`" for name in ask.split("|")) for ask in rule.asks)


def body() -> str:
    lines = ["## For certain devices", ""]
    lines += table(
        ("Hardware", "Modules", "Devices", "Asks for", "Confidence", "Source"),
        (
            (r.what, code(r.modules), devices(r), asks(r), r.confidence, r.source)
            for r in tables.DEVICE_RULES
        ),
    )
    lines += ["", "## What modules ask for beyond what they declare", ""]
    lines += table(
        ("What", "Modules", "Asks for", "Confidence", "Source"),
        ((r.what, code(r.modules), asks(r), r.confidence, r.source) for r in tables.MODULE_RULES),
    )
    lines += ["", "## Names that are counted down", ""]
    lines += table(
        ("Module", "Name", "Lowest", "Source"),
        (
            (
                each.module,
                f"`{each.name.replace('|', chr(92) + '|')}`",
                str(each.lowest),
                each.source,
            )
            for each in tables.LADDERS
        ),
    )
    lines += ["", "## Modules whose firmware is for devices of their own", ""]
    lines += table(
        ("Module", "Why", "Source"), ((f"`{name}`", *more) for name, *more in other.HELPERS)
    )
    lines += ["", "## Names that drivers do without", ""]
    lines += table(("Name", "Why"), ((f"`{name}`", why) for name, why in OPTIONAL))
    return "\n".join(lines) + "\n"


def test_the_page_has_every_rule() -> None:
    written = PAGE.read_text()
    head = written[: written.index("## ")]
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(head + body())
        return
    assert written == head + body()
