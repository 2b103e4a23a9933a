"""Names on a FAT volume: what it can hold, and the short names beside the long ones.

Microsoft FAT: General Overview of On-Disk Format 1.03 (fatgen103), "FAT Long Directory Entries" and
"Name Limits and Character Sets". Firmware reads UCS-2 (UEFI 2.10 §13.3), so that characters beyond
16 bits are refused, which Windows and Linux could write. Short names are in ASCII alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import LimitError
from sysgraft.formats.fat import fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_NAME: Final = 255
"""UTF-16 units of a long name."""

_BAD: Final = re.compile(r'[\x00-\x1f\x7f"*/:<>?|\\\ud800-\udfff\U00010000-\U0010ffff]')
# Windows takes them for devices in every folder, with any extension; mtools refuses them too.
_DEVICES: Final = re.compile(r"(CON|PRN|AUX|NUL|CLOCK\$|COM[1-9]|LPT[1-9])(\.|$)", re.IGNORECASE)
# What a short name is made of ("Name Limits and Character Sets"), without the letters past ASCII.
_LETTERS: Final = r"A-Z0-9$%'\-_@~`!(){}^#&"
_PLAIN: Final = re.compile(rf"([{_LETTERS}]{{1,8}})(?:\.([{_LETTERS}]{{1,3}}))?")
_NO_LETTER: Final = re.compile(rf"[^{_LETTERS}]")
_BASE: Final = 8
_EXTENSION: Final = 3
_MAX_TAIL: Final = 999_999


def problem(name: str) -> str:
    """Why a name cannot be kept, as a sentence without its end; empty if it can."""
    if not name or name in (".", "..") or _BAD.search(name) or name.endswith((".", " ")):
        return "FAT cannot keep this name"
    if len(name) > MAX_NAME:
        return f"FAT cannot keep this name: it has more than {MAX_NAME} letters"
    if _DEVICES.match(name):
        return "the name is that of a DOS device"
    return ""


def is_short(name: str) -> bool:
    """Whether a name is one of the form 8.3 in capitals, so that it needs no long form."""
    return _PLAIN.fullmatch(name) is not None


def short_names(names: Iterable[str]) -> Mapping[str, bytes]:
    """The eleven bytes of a short name for each name of one folder.

    A name that has the form 8.3 but for its case is its own; any other is cut and ends in ``~1``
    and so on, by the names' order, and never is what another file is called.

    Args:
        names: no two of which FAT would take for the same.

    Raises:
        LimitError: a million names begin alike.
    """
    names = sorted(names)
    found = {name: _padded(*plain) for name in names if (plain := _plain(name)) is not None}
    taken = {*found.values(), *(_padded(*plain) for n in names if (plain := _split(fold(n))))}
    tails: dict[tuple[str, str], int] = {}
    for name in names:
        if name not in found:
            found[name] = _with_tail(name, taken, tails)
            taken.add(found[name])
    return found


def _plain(name: str) -> tuple[str, str] | None:
    """Base and extension of a name that is lost by nothing but its case."""
    return _split(name.upper()) if name.isascii() else None


def _split(name: str) -> tuple[str, str] | None:
    match = _PLAIN.fullmatch(name)
    return (match[1], match[2] or "") if match else None


def _padded(base: str, extension: str) -> bytes:
    return (base.ljust(_BASE) + extension.ljust(_EXTENSION)).encode("ascii")


def _with_tail(name: str, taken: set[bytes], tails: dict[tuple[str, str], int]) -> bytes:
    base, extension = _basis(name)
    key = base, extension
    for number in range(tails.get(key, 1), _MAX_TAIL + 1):
        tail = f"~{number}"
        short = _padded(base[: _BASE - len(tail)] + tail, extension)
        if short not in taken:
            tails[key] = number + 1
            return short
    raise LimitError(f"more than {_MAX_TAIL} names of one folder have the same short name")


def _basis(name: str) -> tuple[str, str]:
    """The specification's basis name: capitals, without spaces and dots, cut."""
    letters = fold(name).replace(" ", "").lstrip(".")
    stem, _, extension = letters.rpartition(".") if "." in letters else (letters, "", "")
    base = _NO_LETTER.sub("_", stem.replace(".", ""))[: _BASE - 2]
    return base or "_", _NO_LETTER.sub("_", extension)[:_EXTENSION]
