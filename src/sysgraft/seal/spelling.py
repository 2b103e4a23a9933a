"""Other names under which a sidecar file may have been put beside an image.

The name is in the archive and so in the digest, and one letter is enough. Tried are the spellings
that are common: ``NAME.raw`` for ``NAME.sysext.raw``, with and without a version, the case of a
short FAT name, and the names of the other files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUFFIXES: Final = (".sysext.raw", ".confext.raw", ".addon.efi", ".raw", ".cred", ".efi")
"""The longest first."""
_SAME: Final = ((".sysext.raw", ".raw"), (".raw", ".sysext.raw"))
# UAPI.10 (version format): what follows the last _ or -, if a digit leads it.
_VERSION: Final = re.compile(r"(?P<stem>.+?)(?P<version>[_-]v?[0-9][A-Za-z0-9.~^+-]*)")


def spellings(name: str, others: Iterable[str]) -> Iterator[str]:
    """Other names for a file, the likely ones first; some may come twice.

    Args:
        name: what it is called.
        others: names of other files, of which versions are taken, and then the names themselves.
    """
    others = list(others)
    stem, suffix = split(name)
    for one, another in _SAME:
        if suffix == one:
            yield stem + another
    yield from (name.lower(), name.upper())
    plain = without_version(stem)
    if plain != stem:
        yield plain + suffix
    for other in others:
        other_stem, _ = split(other)
        version = other_stem.removeprefix(without_version(other_stem))
        if version:
            yield plain + version + suffix
    yield from others


def split(name: str) -> tuple[str, str]:
    """A name without its suffix, and that in lower case; an unknown suffix belongs to the name."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], name[len(name) - len(suffix) :]
    return name, ""


def without_version(stem: str) -> str:
    """``wifi`` for ``wifi_1.2`` and ``wifi-1.2``."""
    found = _VERSION.fullmatch(stem)
    return found["stem"] if found else stem
