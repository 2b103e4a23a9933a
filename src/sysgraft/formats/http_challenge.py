"""What a server asks for before it answers: the ``WWW-Authenticate`` header.

Spec: RFC 9110, section 11.6.1, and RFC 6750, section 3, as registries use them (Distribution,
"Token Authentication Specification": realm, service, scope). Schemes other than Basic and Bearer
are taken apart too and left to the caller.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEADER: Final = 8192
"""Characters of the header: what web servers allow for a line."""

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME: Final = re.compile(rf"\s*,?\s*({_WORD})(?=\s|,|$)")
_PARAMETER: Final = re.compile(rf'\s*,?\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))')
_ESCAPE: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove who one is.

    Attributes:
        scheme: lower case: ``basic``, ``bearer``.
        parameters: by lower-case name.
    """

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges in a header; what makes no sense ends the list."""
    found = []
    rest = header[:MAX_HEADER]
    while match := _SCHEME.match(rest):
        rest = rest[match.end() :]
        parameters, rest = _parameters(rest)
        found.append(Challenge(match[1].lower(), parameters))
    return tuple(found)


def _parameters(text: str) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    while match := _PARAMETER.match(text):
        quoted, plain = match[2], match[3]
        value = plain if quoted is None else _ESCAPE.sub(r"\1", quoted)
        found.setdefault(match[1].lower(), value)
        text = text[match.end() :]
    return found, text
