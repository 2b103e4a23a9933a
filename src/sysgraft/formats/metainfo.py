"""Which package has a firmware file: AppStream metainfo of Debian's firmware packages.

``/usr/share/metainfo/*.metainfo.xml`` of type ``firmware`` (AppStream 1.0 §2.3.3): ``<firmware
type="runtime">`` names a file below the firmware folder, ``<name>`` is the package in Debian's. The
few elements are looked for in the text; it is no XML reader, and follows no entities or includes.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Final, NamedTuple

from sysgraft.errors import LimitError

MAX_SIZE: Final = 4 << 20
"""Bytes of a file; Debian 13's largest has under 200 kB."""

_COMPONENT: Final = re.compile(rb"<component\s[^<>]{0,200}type=[\"']firmware[\"']")
_NAME: Final = re.compile(rb"<(?:pkgname|name)>\s*([a-z0-9][a-z0-9+.-]{1,100})\s*<")
_FIRMWARE: Final = re.compile(
    rb"<firmware\s+type=[\"']runtime[\"']\s*>\s*([^<>]{1,400}?)\s*</firmware>"
)


class FirmwarePackage(NamedTuple):
    """A package with firmware.

    Attributes:
        name: of the package.
        files: the names that drivers ask for.
    """

    name: str
    files: tuple[str, ...]


def parse(data: bytes) -> FirmwarePackage | None:
    """The package that a metainfo file describes; None for one without firmware.

    Raises:
        LimitError: it has more than `MAX_SIZE` bytes.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a metainfo file of more than {MAX_SIZE} bytes")
    name = _NAME.search(data)
    if _COMPONENT.search(data) is None or name is None:
        return None
    found = (unescape(each.decode("utf-8", "replace")) for each in _FIRMWARE.findall(data))
    return FirmwarePackage(name[1].decode(), tuple(dict.fromkeys(found)))
