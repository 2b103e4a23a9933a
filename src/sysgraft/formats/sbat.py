"""SBAT metadata: what shim revokes by generation (shim, SBAT.md).

Lines of comma-separated values; the first is about the format itself. Several components' lines
become one section, so that each of them can be revoked. It does not compare generations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER: Final = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md"
"""The line about the format, as SBAT.md has it."""
UKI: Final = (
    f"{HEADER}\nuki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n"
)
"""What a UKI says of itself where its maker says nothing else; ukify's words."""
ADDON: Final = (
    f"{HEADER}\n"
    "uki-addon,1,UKI Addon,addon,1,"
    "https://www.freedesktop.org/software/systemd/man/latest/systemd-stub.html\n"
)
"""The same of an addon."""


def parse(text: str) -> tuple[str, ...]:
    """The lines of SBAT metadata behind the first.

    Raises:
        FormatError: it does not begin with the line about the format, or holds a NUL.
    """
    # Not splitlines: to shim other characters do not end a line.
    first, *rest = text.rstrip("\0").replace("\r\n", "\n").split("\n")
    if not first.startswith("sbat,"):
        raise FormatError("not SBAT metadata: the first line does not begin with 'sbat,'")
    if "\0" in text.rstrip("\0"):
        raise FormatError("the SBAT metadata go on behind a NUL, where shim stops")
    return tuple(line for line in rest if line.strip())


def merge(texts: Iterable[str]) -> str:
    """One text with the lines of all, each line once, in their order.

    Raises:
        FormatError: one of them is not SBAT metadata.
    """
    lines = dict.fromkeys(line for text in texts for line in parse(text))
    return "\n".join((HEADER, *lines)) + "\n"
