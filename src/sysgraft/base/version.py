"""The order of version strings: UAPI.10, "Version Format Specification".

systemd calls it ``strverscmp_improved`` and uses it to order extensions at merge time (the last
one is on top), to choose among ``.v/`` entries and between partitions of the same type. It is a
total preorder: strings that differ only in leading zeros, or in characters outside
``[A-Za-z0-9~^.-]`` that separate nothing, compare equal. It is not the order of Debian, RPM,
PEP 440 or semantic versions.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

# One segment after another decides; within a segment, from left to right (UAPI.10, "Version
# comparison"). Absent separators are newer than present ones, the end is older than anything
# but "~", and digits are newer than letters, of which there may be none.
_SEGMENT: Final = re.compile(
    rb"[^0-9A-Za-z~^.-]*"  # dropped
    rb"(~?)"  # pre-release
    rb"(?:\Z|"  # the end
    rb"(-?)"  # start of the release part
    rb"(\^?)"  # patch
    rb"(\.?)"  # point release
    rb"([0-9]+|[A-Za-z]*))"
)

# No "~", not the end, no "-", no "^", no ".", digits, length, text: each higher is newer.
Segment: TypeAlias = tuple[bool, bool, bool, bool, bool, bool, int, bytes]
Key: TypeAlias = tuple[Segment, ...]


def key(version: str | bytes) -> Key:
    """A sort key: ``sorted(names, key=key)`` is systemd's order, the winner last."""
    raw = version.encode("utf-8", "surrogatepass") if isinstance(version, str) else version
    segments: list[Segment] = []
    at = 0
    while match := _SEGMENT.match(raw, at):
        tilde, dash, caret, dot, run = match.groups()
        if run is None:
            segments.append((not tilde, False, True, True, True, False, 0, b""))
            break
        # Length before text is the order of values, without the cost of converting them.
        digits = run.isdigit()
        text = run.lstrip(b"0") if digits else run
        length = len(text) if digits else 0
        segments.append((not tilde, True, not dash, not caret, not dot, digits, length, text))
        at = match.end()
    return tuple(segments)


def compare(a: str | bytes, b: str | bytes) -> int:
    """-1, 0 or 1 as `a` is older than, equal to or newer than `b`."""
    left, right = key(a), key(b)
    return (left > right) - (left < right)
