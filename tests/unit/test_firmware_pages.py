"""The page about messages has every rule and every exception that the program knows.

``UPDATE_DOCS=1 python -m pytest tests/unit/test_firmware_pages.py`` writes it anew.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from sysgraft.firmware.fallbacks import OPTIONAL
from sysgraft.firmware.message_rules import CORE, DRIVERS, INITRD, OLD_PROBE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.firmware.message_rules import Rule

PAGE = Path(__file__).parents[2] / "docs/reference/firmware-messages.md"


def lines(title: str, rules: Sequence[Rule]) -> Iterator[str]:
    yield from (f"## {title}", "", "```text")
    for rule in rules:
        yield f"{rule.meaning.value:<9} {rule.pattern}"
        yield from wrapped(rule.source)
    yield from ("```", "")


def wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 96, initial_indent=" " * 10, subsequent_indent=" " * 10)


def tables() -> str:
    """What the data say."""
    found = [
        *lines("The firmware loader and the driver core", (*CORE, OLD_PROBE)),
        *lines("Drivers", DRIVERS),
        *lines("Programs that make initrds", INITRD),
        *("## Files that devices do without", "", "```text"),
    ]
    for each in OPTIONAL:
        found += [each.pattern, *wrapped(each.why), *wrapped(each.source)]
    return "\n".join([*found, "```", ""])


def test_the_page_has_all_of_it() -> None:
    page = PAGE.read_text()
    head = page[: page.index("## The firmware loader")]
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(head + tables())
    assert PAGE.read_text() == head + tables()
