"""Semantic versions and constraints on them, as the extension catalogs of Kairos use them.

Spec: Semantic Versioning 2.0.0 (section 11, precedence); constraints are those of the Go library
Masterminds/semver, which Kairos resolves with: ``>= 2.5, < 3``, ``^1.2``, ``~1.2.3``, ``1.x``,
``a || b``. A pre-release is chosen only where the constraint names one. Ranges with a hyphen are
not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.text import one_line
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_TEXT: Final = 200
"""Characters of a version or a constraint."""

_VERSION: Final = re.compile(
    r"v?(0|[1-9]\d{0,17})(?:\.(0|[1-9]\d{0,17}))?(?:\.(0|[1-9]\d{0,17}))?"
    r"(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)
_TERM: Final = re.compile(
    r"(=|!=|>=|=>|<=|=<|>|<|~>|~|\^|)\s*v?(\d{1,18}|[xX*])(?:\.(\d{1,18}|[xX*]))?"
    r"(?:\.(\d{1,18}|[xX*]))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)

Numbers = tuple[int, int, int]
_Rest = tuple[tuple[bool, int, str], ...]


@dataclass(frozen=True, slots=True)
class SemanticVersion:
    """A version; missing numbers are 0, build metadata does not count.

    Attributes:
        numbers: major, minor and patch.
        pre_release: what stands behind the hyphen.
    """

    numbers: Numbers
    pre_release: str = ""

    @property
    def key(self) -> tuple[Numbers, bool, _Rest]:
        """Greater for newer versions."""
        parts = self.pre_release.split(".") if self.pre_release else []
        rest = tuple((not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts)
        return self.numbers, not self.pre_release, rest


def parse_version(text: str) -> SemanticVersion | None:
    """The version that `text` is; None if it is none."""
    match = _VERSION.fullmatch(text) if len(text) <= MAX_TEXT else None
    if match is None:
        return None
    return SemanticVersion(_numbers(match[1], match[2], match[3]), match[4] or "")


def _numbers(*parts: str | None) -> Numbers:
    major, minor, patch = (int(part) if part and part.isdigit() else 0 for part in parts)
    return major, minor, patch


def parse_constraint(text: str) -> Callable[[SemanticVersion], bool]:
    """What tells whether a version meets a constraint.

    Raises:
        UsageError: it is none.
    """
    if len(text) > MAX_TEXT:
        raise UsageError(f"a constraint on versions of more than {MAX_TEXT} characters")
    ways = [[_term(term, text) for term in _terms(way)] for way in text.split("||")]

    def meets(version: SemanticVersion) -> bool:
        return any(all(term.allows(version) for term in way) for way in ways)

    return meets


def _terms(way: str) -> list[str]:
    """What stands between commas or spaces; spaces behind an operator belong to it."""
    joined = re.sub(r"([<>=!~^])\s+(?=[\dvxX*])", r"\1", way.strip())
    return [term for part in joined.split(",") for term in part.split() or [""]]


@dataclass(frozen=True, slots=True)
class _Term:
    """One comparison; `given` numbers were written, the others are any."""

    operator: str
    version: SemanticVersion
    given: int

    def allows(self, version: SemanticVersion) -> bool:
        if version.pre_release and not self.version.pre_release:
            return False
        return self._compares(version)

    def _compares(self, version: SemanticVersion) -> bool:
        key, mine = version.key, self.version.key
        after = key >= self._end()
        return {
            "=": key == mine if self.given == 3 else key >= mine and not after,
            "!=": key != mine if self.given == 3 else key < mine or after,
            ">": key > mine if self.given == 3 else after,
            ">=": key >= mine,
            "<": key < mine,
            "<=": key <= mine if self.given == 3 else not after,
            "~": key >= mine and key < _beyond(self.version.numbers, min(self.given, 2)),
            "^": key >= mine and key < _beyond(self.version.numbers, self._fixed()),
        }[self.operator]

    def _end(self) -> tuple[Numbers, bool, _Rest]:
        return _beyond(self.version.numbers, self.given)

    def _fixed(self) -> int:
        """How many numbers a caret keeps: up to the first that is not 0."""
        numbers = self.version.numbers[: self.given]
        return next((at + 1 for at, number in enumerate(numbers) if number), self.given)


def _beyond(numbers: Numbers, count: int) -> tuple[Numbers, bool, _Rest]:
    """The key of the first version whose first `count` numbers are greater; 0 for none."""
    if not count:
        return (1 << 62, 0, 0), True, ()
    kept = [*numbers[: count - 1], numbers[count - 1] + 1, 0, 0][:3]
    return (kept[0], kept[1], kept[2]), False, ()


_ALIASES: Final = {"": "=", "=>": ">=", "=<": "<=", "~>": "~"}


def _term(text: str, whole: str) -> _Term:
    match = _TERM.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"not a constraint on versions: {one_line(whole)}")
    parts = match.groups()[1:4]
    given = next((at for at, part in enumerate(parts) if not (part and part.isdigit())), 3)
    numbers = _numbers(*parts[:given], *[None] * (3 - given))
    return _Term(_ALIASES.get(match[1], match[1]), SemanticVersion(numbers, match[5] or ""), given)
