"""``os-release`` files: shell-like ``KEY=value`` lines, as systemd reads them.

Follows os-release(5) and systemd's ``parse_env_file`` (``src/basic/env-file.c``): comments with
``#`` and ``;``, single and double quotes, backslash escapes, continued lines, the last of equal
keys wins. A comment ends with its line (systemd 254 and newer; before, a final backslash continued
it). It knows no variables, no ``export`` and no meaning of any key.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Real files are below 2 KiB; this leaves room for every field in every language.
MAX_SIZE: Final = 64 * 1024
# os-release(5) defines about 30 keys.
MAX_FIELDS: Final = 1024

_NEWLINE: Final = "\n\r"
_WHITESPACE: Final = " \t\n\r"
_COMMENT: Final = "#;"
# What a backslash protects inside double quotes: systemd's SHELL_NEED_ESCAPE.
_ESCAPED_IN_QUOTES: Final = '"\\`$'

_KEY: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_BARE_VALUE: Final = re.compile(r"[A-Za-z0-9_.,:/@%+-]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def parse(data: bytes) -> dict[str, str]:
    """The fields, in the order of their first appearance.

    Raises:
        FormatError: NUL bytes, or text that is not UTF-8.
        LimitError: more than `MAX_SIZE` bytes or `MAX_FIELDS` fields.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"an os-release file of {len(data)} bytes, the limit is {MAX_SIZE}")
    fields: dict[str, str] = {}
    scanner = _Scanner(_decode(data))
    while scanner.find_key():
        name = scanner.key()
        if name is not None:
            fields[name] = scanner.value()
        if len(fields) > MAX_FIELDS:
            raise LimitError(f"an os-release file with more than {MAX_FIELDS} fields")
    return fields


def render(fields: Mapping[str, str]) -> bytes:
    """The file with these fields, one line each, quoted where a shell would need it.

    Raises:
        UsageError: a key that is no environment variable name in capitals, or a value with line
            breaks or other control characters.
    """
    return "".join(f"{_checked_key(k)}={_quoted(k, v)}\n" for k, v in fields.items()).encode()


def _decode(data: bytes) -> str:
    if b"\0" in data:
        raise FormatError("an os-release file with a NUL byte in it")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"not UTF-8 at byte {error.start} of an os-release file") from None
    if any(map(_is_noncharacter, text)):
        raise FormatError("an os-release file with a Unicode noncharacter in it")
    return text


def _is_noncharacter(character: str) -> bool:
    """Whether systemd's ``utf8_is_valid`` refuses it: U+FDD0..U+FDEF, U+xxFFFE, U+xxFFFF."""
    code = ord(character)
    return 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE


class _Scanner:
    """One pass over the text, left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def find_key(self) -> bool:
        """Go to the first character of the next assignment; False at the end."""
        while (c := self._peek()) and (c in _WHITESPACE or c in _COMMENT):
            self._at += 1
            if c in _COMMENT:
                self._take_until(_NEWLINE)
        return bool(c)

    def key(self) -> str | None:
        """The text before ``=``; None, and on to the next line, where a line has none."""
        # The first character is part of the key whatever it is, even "=".
        text = self._next() + self._take_until("=" + _NEWLINE)
        return text.rstrip(_WHITESPACE) if self._next() == "=" else None

    def value(self) -> str:
        """What follows ``=``: quoted pieces, and after them an unquoted rest."""
        quoted: list[str] = []
        while (c := self._peek()) and c not in _NEWLINE:
            if c not in "\"'" + _WHITESPACE:
                return "".join(quoted) + self._bare()
            self._at += 1
            if c == "'":
                quoted.append(self._take_until("'"))
                self._at += 1
            elif c == '"':
                quoted.append(self._double_quoted())
        return "".join(quoted)

    def _bare(self) -> str:
        """Up to the end of the line, without the whitespace there unless it is escaped."""
        out: list[str] = []
        solid = 0
        while (c := self._next()) and c not in _NEWLINE:
            if c == "\\":
                escaped = self._next()
                out += escaped if escaped not in _NEWLINE else ""
            else:
                out.append(c)
            if c not in _WHITESPACE:
                solid = len(out)
        return "".join(out[:solid])

    def _double_quoted(self) -> str:
        out: list[str] = []
        while (c := self._next()) and c != '"':
            out += self._escape_in_quotes() if c == "\\" else c
        return "".join(out)

    def _escape_in_quotes(self) -> str:
        c = self._next()
        if c in _ESCAPED_IN_QUOTES or c == "\n":
            return c.strip("\n")
        return "\\" + c

    def _take_until(self, stops: str) -> str:
        """The text before the first of `stops`, which is left where it is."""
        start = self._at
        while (c := self._peek()) and c not in stops:
            self._at += 1
        return self._text[start : self._at]

    def _next(self) -> str:
        c = self._peek()
        self._at += 1
        return c

    def _peek(self) -> str:
        """The next character, an empty string at the end."""
        return self._text[self._at : self._at + 1]


def _checked_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise UsageError(f"{key!r} is no os-release key", hint="use capitals, digits and _")
    return key


def _quoted(key: str, value: str) -> str:
    if _CONTROL.search(value) or any(map(_is_noncharacter, value)):
        raise UsageError(f"the value of {key} has characters that must not be in an os-release")
    if _BARE_VALUE.fullmatch(value):
        return value
    return '"' + re.sub(r'(["\\`$])', r"\\\1", value) + '"'
