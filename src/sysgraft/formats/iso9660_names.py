"""Names in an ISO 9660 volume: those of ECMA-119 beside the full ones of Rock Ridge.

ECMA-119 §7.5 and §7.6, as interchange level 3 has them: capital letters, digits and ``_``, up to 30
of them with the dot of a file, which ends in the version ``;1``. They are for readers that know
nothing else; Linux, macOS and the BSDs read Rock Ridge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, LimitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_NAME: Final = 255
"""Bytes of a full name: what Linux takes."""
MAX_DEPTH: Final = 8
"""Folders inside one another, the topmost counted (ECMA-119 §6.8.2.1)."""

_VERSION: Final = ";1"
_MAX_VOLUME_ID: Final = 32
_MAX_STEM: Final = 24
_MAX_EXTENSION: Final = 3
_MAX_TAIL: Final = 99_999
_NOT_D: Final = re.compile(r"[^A-Z0-9_]")
_VOLUME_ID: Final = re.compile(rf"[A-Z0-9_]{{1,{_MAX_VOLUME_ID}}}")


def check_path(path: str) -> None:
    """Refuse what Rock Ridge cannot say or Linux cannot have.

    Raises:
        InputError: a part of it is no name.
        LimitError: it is in too many folders.
    """
    names = path.split("/")
    if len(names) > MAX_DEPTH:
        raise LimitError(f"more than {MAX_DEPTH} folders inside one another", file=path)
    for name in names:
        raw = name.encode("utf-8", "surrogateescape")
        if name in ("", ".", "..") or b"\0" in raw or len(raw) > MAX_NAME:
            raise InputError("not a name that an ISO image can have", file=path)


def check_volume_id(text: str) -> None:
    """Refuse what is no name of a volume (d-characters, ECMA-119 §8.4.6).

    Raises:
        UsageError: it is none.
    """
    if not _VOLUME_ID.fullmatch(text):
        raise UsageError(
            f"not a volume's name: {text!r}",
            hint=f"it has up to {_MAX_VOLUME_ID} capital letters, digits and _",
        )


def identifiers(names: Iterable[str], folders: Iterable[str]) -> Mapping[str, bytes]:
    """The identifier of each name of one folder, no two alike.

    Args:
        names: all of them.
        folders: those that are folders.
    """
    folders = frozenset(folders)
    found: dict[str, bytes] = {}
    taken: set[tuple[str, str]] = set()
    tails: dict[tuple[str, str], int] = {}
    for name in sorted(names):
        stem, extension = _parts(name, is_folder=name in folders)
        key = (stem, extension)
        while (stem, extension) in taken:
            tails[key] = number = tails.get(key, 0) + 1
            if number > _MAX_TAIL:
                raise LimitError(
                    f"more than {_MAX_TAIL} names of one folder begin alike", file=name
                )
            stem = f"{key[0][: _MAX_STEM - 5]}{number:05}"
        taken.add((stem, extension))
        text = stem if name in folders else f"{stem}.{extension}{_VERSION}"
        found[name] = text.encode("ascii")
    return found


def _parts(name: str, *, is_folder: bool) -> tuple[str, str]:
    stem, dot, extension = name.upper().rpartition(".")
    if is_folder or not dot or not stem:
        return _cut(name, _MAX_STEM), ""
    return _cut(stem, _MAX_STEM), _cut(extension, _MAX_EXTENSION)


def _cut(text: str, length: int) -> str:
    return _NOT_D.sub("_", text.upper())[:length] or "_"


def order(identifier: bytes) -> tuple[bytes, bytes]:
    """The place of an identifier among others (ECMA-119 §9.3): by name, then by extension."""
    stem, _, extension = identifier.partition(b".")
    return stem, extension
