"""The entry token: what the names of an installation's kernels begin with on the boot partition.

As kernel-install(8) finds it: written down in ``/etc/kernel/entry-token``, else the machine ID if
``/etc/machine-id`` has one, else ``IMAGE_ID`` or ``ID`` of os-release. Several installations share
a partition and are told apart by it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, InputError, UsageError
from sysgraft.formats import os_release
from sysgraft.host.sysfs import SysfsFolder, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

AUTO: Final = "auto"
_LITERAL: Final = "literal:"
_WRITTEN: Final = "etc/kernel/entry-token"
_MACHINE_ID: Final = "etc/machine-id"
_OS_RELEASE: Final = ("etc/os-release", "usr/lib/os-release")
_FIELDS: Final = {"os-image-id": "IMAGE_ID", "os-id": "ID"}
_IDENTIFIER: Final = re.compile(r"[0-9a-f]{32}")
_NAME: Final = re.compile(r'[^\x00-\x1f\x7f/\\:*?"<>|\[\]]{1,120}')
"""What FAT can hold, without what would be a pattern to a boot loader; with room for a version."""
_TAKEN: Final = frozenset({"efi", "loader", "sysgraft.new"})
"""Folders of the partition that belong to all installations."""


def is_token(text: str) -> bool:
    """Whether it can begin the names of files, and be that of a folder of its own."""
    is_name = bool(_NAME.fullmatch(text)) and not text.startswith(".") and text == text.strip()
    return is_name and text.casefold() not in _TAKEN


def find_token(root: str, wanted: str = AUTO) -> str:
    """The entry token of the system below `root`.

    Args:
        root: the folder that stands for its root.
        wanted: as kernel-install's ``--entry-token``: ``auto``, ``machine-id``, ``os-id``,
            ``os-image-id``, ``literal:TOKEN``; or the token itself.

    Raises:
        UsageError: the token cannot be the beginning of a file name.
        InputError: the system has none of the wanted kind.
    """
    files = SysfsFolder(root)
    if wanted in (AUTO, "machine-id", *_FIELDS):
        found = next(_found(files, wanted), "")
        if not found:
            raise InputError(
                f"the system says nothing of its {'' if wanted == AUTO else wanted + ' '}token",
                file=root,
                hint="give it with --entry-token, or write it into /etc/kernel/entry-token",
            )
        return found
    token = wanted.removeprefix(_LITERAL)
    if not is_token(token):
        raise UsageError(f"no file name can begin with the entry token {token!r}")
    return token


def _found(files: SysfsFolder, wanted: str) -> Iterator[str]:
    if wanted == AUTO:
        written = read_text(files, _WRITTEN).partition("\n")[0].strip()
        if is_token(written):
            yield written
    if wanted in (AUTO, "machine-id") and (identifier := machine_id(files)):
        yield identifier
    release = release_of(files)
    for kind, field in _FIELDS.items():
        if wanted in (AUTO, kind) and is_token(release.get(field, "")):
            yield release[field]


def machine_id(files: SysfsFolder) -> str:
    """The machine ID; empty where it is made at each boot (machine-id(5))."""
    text = read_text(files, _MACHINE_ID)
    return text if _IDENTIFIER.fullmatch(text) and int(text, 16) else ""


def release_of(files: SysfsFolder) -> Mapping[str, str]:
    """The fields of os-release; none where there is no such file, or a broken one."""
    for place in _OS_RELEASE:
        data = files.read(place, os_release.MAX_SIZE)
        if data is not None:
            try:
                return os_release.parse(data)
            except FormatError:
                return {}
    return {}
