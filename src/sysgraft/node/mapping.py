"""The map: which extensions go to which boot entries.

A pattern is a name, or a glob (``*``, ``?``, ``[…]``) for the whole of it, so that ``k3sv1.29.*``
means what it looks like: a point is a point. Names are those of extensions, without
``.sysext.raw``. Where there is no rule there is no map, and links say what goes where.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sysgraft.errors import SysgraftError
from sysgraft.formats.glob import Glob
from sysgraft.image.names import base_name
from sysgraft.node.settings import UNMATCHED
from sysgraft.node.versions import newest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sysgraft.node.settings import MapRule

MAX_PATTERN: Final = 255
"""Characters of a pattern: as many as a name has at the most."""

_SETS: Final = re.compile(r"\[[!^]?+.[^]]*\]")


def problem_of(pattern: str) -> str:
    """What is wrong with a pattern, a clause; empty if nothing is."""
    if len(pattern) > MAX_PATTERN:
        return f"it has more than {MAX_PATTERN} characters"
    checks = (
        (not pattern, "it is empty"),
        ("/" in pattern, "names have no slash"),
        ("\\" in pattern, "a backslash has no meaning in it"),
        (not pattern.isprintable(), "it has characters that cannot be seen"),
        ("[" in _SETS.sub("", pattern), "a bracket is not closed"),
    )
    found = next((problem for wrong, problem in checks if wrong), "")
    if found:
        return found
    try:
        _glob(pattern)
    except SysgraftError as error:
        return error.message
    return ""


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> Glob:
    return Glob(pattern)


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern matches the whole of a name.

    Raises:
        FormatError: it is no pattern; `problem_of` says more.
    """
    return _glob(pattern).matches(name)


def is_denied(name: str, deny: Sequence[str]) -> bool:
    """Whether an extension is denied, by its name or by what comes before its version.

    A file that is renamed behind the first ``_`` or ``+`` of its name is the same extension to
    systemd, where its release file has the name before them.
    """
    return any(matches(each, called) for each in deny for called in {name, base_name(name)})


def profiles_for(names: Sequence[str], rules: Sequence[MapRule]) -> Mapping[str, tuple[str, ...]]:
    """The profiles that each extension goes to.

    What several rules match goes to all their entries, and what none matches to ``active`` and
    ``passive``. Of several versions that would go to one profile only the newest does.

    Args:
        names: of extensions.
        rules: the map.

    Returns:
        For each name its profiles, in the order of the rules; there are none where newer versions
        take all its places. Nothing at all where there are no rules: the map is not in force.
    """
    if not rules:
        return {}
    wanted = {name: _wanted(name, rules) for name in names}
    profiles = dict.fromkeys(profile for each in wanted.values() for profile in each)
    chosen = {p: set(newest(n for n in names if p in wanted[n])) for p in profiles}
    return {name: tuple(p for p in each if name in chosen[p]) for name, each in wanted.items()}


def extensions_for(
    profiles: Collection[str], names: Sequence[str], rules: Sequence[MapRule]
) -> tuple[str, ...]:
    """The extensions that the map gives to one boot.

    Args:
        profiles: that count for it: the entry's own, its role's, ``common``.
        names: of the extensions there are.
        rules: the map; without any, the result is empty.

    Returns:
        Their names, in the order of `names`; of several versions all.
    """
    if not rules:
        return ()
    wanted = (name for name in names if not set(profiles).isdisjoint(_wanted(name, rules)))
    return tuple(dict.fromkeys(wanted))


def _wanted(name: str, rules: Sequence[MapRule]) -> tuple[str, ...]:
    """The profiles by the rules alone, whatever versions there are."""
    found = dict.fromkeys(
        entry
        for rule in rules
        if any(matches(pattern, name) for pattern in rule.patterns)
        for entry in rule.entries
    )
    return tuple(found) or UNMATCHED
