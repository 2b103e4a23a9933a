"""Names of extensions with a version in them: which belong together, and which is the newest.

Nobody has to put a version into a name, and there is no one way to do it. What is split here is
what is most surely a version, since of one family only the newest goes to a boot entry: a name
that merely ends in digits (``iwlwifi-9260``) is a family of its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.base import version

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_NAME: Final = 255
"""Characters that are looked at: those of a file's name."""
_CUT: Final = re.compile(
    r"_(?=v?[0-9])"  # fw_1.2: systemd's own mark (uapi.10, extension-release)
    r"|-(?=v?[0-9]+(?:\.[0-9]|[-+~^][^_]*?[0-9]\.[0-9]))"  # a-1.2, a-2404-1.2, not a-9260
    r"|(?=v[0-9]+\.[0-9])"  # k3sv1.30.0
)


def split_name(name: str) -> tuple[str, str]:
    """The family and the version of an extension's name.

    The name is cut at the first place behind its first character where one of these begins:

    - ``_``, followed by a digit or by ``v`` and a digit;
    - ``-``, followed by digits (``v`` before them or not), if a point and a digit follow these, or
      one of ``- + ~ ^`` does and a number with a point stands somewhere before the next ``_``;
    - ``v``, digits, a point, a digit; the ``v`` belongs to the version.

    ``_`` and ``-`` belong to neither part. A name without such a place is a family without version.
    A family never has a version itself: split again, it stays what it is.
    """
    found = _CUT.search(name, 1, _MAX_NAME)
    return (name[: found.start()], name[found.end() :]) if found else (name, "")


def version_key(name: str) -> tuple[version.Key, str]:
    """A key that sorts the names of one family, the newest last: by systemd's order of versions.

    A leading ``v`` does not count. Of names with equal versions, the later in the alphabet wins.
    """
    return version.key(split_name(name)[1].removeprefix("v")), name


def newest(names: Iterable[str]) -> tuple[str, ...]:
    """The newest name of each family, families in the order in which they come first."""
    found: dict[str, tuple[version.Key, str]] = {}
    for name in names:
        family, key = split_name(name)[0], version_key(name)
        found[family] = max(found.get(family, key), key)
    return tuple(name for _, name in found.values())
