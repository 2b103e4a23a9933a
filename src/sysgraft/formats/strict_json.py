"""JSON texts that every program reads alike (RFC 8259), and the first look at what they hold.

Refused is what parsers differ about: a name twice in one object, ``NaN`` and numbers without end
(Python reads them), nesting without end. So is what would take much memory: an empty object is two
characters of text, and some hundred bytes once it is read. What the values mean is the matter of
the formats.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn, TypeGuard

from sysgraft.errors import FormatError, LimitError

MAX_DEPTH: Final = 64
"""Lists and objects inside each other: none of the formats read here has more than ten."""
MAX_ITEMS: Final = 1_000_000
"""Objects, lists, and commas between what is in them: each takes up to some 240 bytes of memory."""
MAX_WIDE: Final = 16 << 20
"""Characters of a text that is not all ASCII: one of them may make each take four bytes."""

_STARTS: Final = "{[,"
_WINDOW: Final = 1 << 20


def load(text: str | bytes, what: str, *, most: int = MAX_ITEMS) -> object:
    """The value of a JSON text.

    Args:
        text: all of it; bytes are UTF-8.
        what: how messages call it, such as "the token".
        most: the most objects, lists and commas outside strings that it may have.

    Raises:
        LimitError: it is nested deeper than `MAX_DEPTH`, has more items than `most`, or more
            characters than `MAX_WIDE` that are not all ASCII.
        FormatError: it is not JSON, or two programs may read it differently.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise FormatError(f"{what} has a name twice in one object")
        return found

    try:
        readable = text.decode("utf-8") if isinstance(text, bytes) else text
        _check_items(readable, what, most)
        value: object = json.loads(
            readable,
            object_pairs_hook=unique,
            parse_constant=_refuse,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not JSON") from error
    _check_depth(value, what)
    return value


def _check_items(text: str, what: str, most: int) -> None:
    """Refuse a text that would take much memory, before it does."""
    if len(text) > MAX_WIDE and not text.isascii():
        raise LimitError(f"{what}: more than {MAX_WIDE} characters, and not all of them ASCII")
    if sum(map(text.count, _STARTS)) <= most:
        return
    # Without escapes, every quotation mark begins or ends a string.
    bare = text.replace("\\\\", "").replace('\\"', "")
    count = inside = 0
    for place in range(0, len(bare), _WINDOW):
        pieces = bare[place : place + _WINDOW].split('"')
        outside = "".join(pieces[inside::2])
        count += sum(map(outside.count, _STARTS))
        inside = (inside + len(pieces) - 1) % 2
        if count > most:
            raise LimitError(f"{what}: more than {most} objects, lists and commas")


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


def _check_depth(value: object, what: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        if not below:
            return
        level = below
    raise LimitError(f"{what} is nested deeper than {MAX_DEPTH} levels")


def as_object(value: object, what: str) -> dict[str, object]:
    """`value`, an object.

    Raises:
        FormatError: it is something else, or is not there.
    """
    if not isinstance(value, dict):
        raise FormatError(f"{what} is not an object")
    return value


def as_list(value: object, what: str) -> list[object]:
    """`value`, a list; raises as `as_object` does."""
    if not isinstance(value, list):
        raise FormatError(f"{what} is not a list")
    return value


def as_text(value: object, what: str) -> str:
    """`value`, text that has bytes: JSON can also spell halves of characters, and NULs.

    Raises:
        FormatError: it is something else, or is not there.
    """
    if not is_text(value):
        raise FormatError(f"{what} is not a text")
    return value


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is text that has bytes."""
    if not isinstance(value, str) or "\0" in value:
        return False
    return value == value.encode(errors="replace").decode()


def as_number(value: object, what: str, *, below: int) -> int:
    """`value`, a whole number from 0 to `below` - 1; raises as `as_object` does."""
    # Not isinstance: True is no number here.
    if type(value) is not int or not 0 <= value < below:
        raise FormatError(f"{what} is not a number below {below}")
    return value


def as_hex(value: object, what: str) -> bytes:
    """The bytes that `value` spells in hexadecimal digits; raises as `as_object` does."""
    try:
        return bytes.fromhex(value if isinstance(value, str) else "?")
    except ValueError as error:
        raise FormatError(f"{what} is not hexadecimal") from error
