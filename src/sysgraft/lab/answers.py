"""What the probe sent: a sequence of items, read with care, since the guest may send anything.

An item is a line with a name and a number, so many bytes, a line break. The item ``end`` is the
last; without it the guest stopped in between.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats import os_release
from sysgraft.lab.report import Guest, Merged, Script

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ANSWERS: Final = 64 << 20
"""Bytes of everything the guest may send."""
MAX_TEXT: Final = 1 << 20
"""Bytes of an item that is made into text; of the journal the end, of others longer ones are not
known. What a script leaves stays as it came."""
MAX_ITEMS: Final = 1000
USERSPACE_LOG: Final = "userspace-log"
"""The item that is systemd's log of its measurements."""
IMA_LOG: Final = "ima-log"
"""The item that is the kernel's list of measurements."""
_FILE: Final = "file:"

# Names are the probe's own, or behind "file:" the last part of a path in the guest.
_HEAD: Final = re.compile(rb"([^\n]{1,512}) (\d{1,10})\n")
_VERSION: Final = re.compile(r"systemd (\d{1,9})(?!\d)")
_STATUS: Final = re.compile(rb"\s*([0-9]{1,3})\s*")


def parse(data: bytes) -> Guest | None:
    """What the guest said; None if it said nothing."""
    items, complete = split(data)
    if not items and not complete:
        return None
    version = _VERSION.match(_text(items, "systemd"))
    return Guest(
        complete=complete,
        kernel=_text(items, "kernel"),
        os_release=_os_release(items.get("os-release", b"")),
        cmdline=_text(items, "cmdline"),
        secure_boot={"0": False, "1": True}.get(_text(items, "secure-boot")),
        systemd=version[1] if version else "",
        sysext=_merged(_text(items, "sysext")),
        confext=_merged(_text(items, "confext")),
        journal=_decoded(items.get("journal", b"")[-MAX_TEXT:]),
        failed_units=_first_words(_text(items, "failed-units")),
        script=_script(items),
        items=items,
    )


def split(data: bytes) -> tuple[dict[str, bytes], bool]:
    """The items that are whole, and whether the last one came."""
    items: dict[str, bytes] = {}
    position = 0
    while (head := _HEAD.match(data, position)) and len(items) < MAX_ITEMS:
        name, start = head[1].decode(errors="replace"), head.end()
        end = start + int(head[2])
        if name == "end":
            return items, True
        if data[end : end + 1] != b"\n":
            break
        items[name] = data[start:end]
        position = end + 1
    return items, False


def _script(items: Mapping[str, bytes]) -> Script | None:
    status = _STATUS.fullmatch(items.get("status", b"")[:16])
    if status is None:
        return None
    files = {
        name.removeprefix(_FILE): data for name, data in items.items() if name.startswith(_FILE)
    }
    return Script(int(status[1]), items.get("output", b""), files)


def _text(items: Mapping[str, bytes], name: str) -> str:
    """An item as text; nothing if it is too long to be what it should be."""
    data = items.get(name, b"")
    return _decoded(data) if len(data) <= MAX_TEXT else ""


def _decoded(data: bytes) -> str:
    return data.decode(errors="replace").strip()


def _os_release(data: bytes) -> dict[str, str]:
    if len(data) > MAX_TEXT:
        return {}
    try:
        return dict(os_release.parse(data))
    except FormatError:
        return {}


def _merged(text: str) -> tuple[Merged, ...] | None:
    """``systemd-sysext status --json``: a list of hierarchies; without extensions it says none."""
    try:
        rows = json.loads(text)
        return tuple(Merged(plain(row["hierarchy"]), _names(row["extensions"])) for row in rows)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _names(value: object) -> tuple[str, ...]:
    return tuple(map(plain, value)) if isinstance(value, list) else ()


def plain(value: object) -> str:
    """A value from JSON as text that can be written: JSON knows halves of characters."""
    return str(value).encode(errors="replace").decode()


def _first_words(text: str) -> tuple[str, ...]:
    return tuple(line.split()[0] for line in text.splitlines() if line.split())
