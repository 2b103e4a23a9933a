"""Files of a medium, and those among them that are for an installer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from sysgraft.base.text import one_line
from sysgraft.build.sources.image_files import open_unchanged
from sysgraft.errors import InputError, in_file
from sysgraft.formats.stub_folders import POLICY
from sysgraft.host.folders import walk
from sysgraft.image.names import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.base.blob import Blob

Group: TypeAlias = Literal[
    "boot loader", "UKI", "extra", "shared", "settings", "keys", "carried", "overlay"
]
CARRIED: Final = "extensions"
"""The folder at the top of a medium with what an installer is to install."""


class MediaFile(NamedTuple):
    """A file of a medium.

    Attributes:
        path: on the medium.
        content: its bytes.
        group: what it is there for.
        source: the file it comes from; empty if it is made here.
    """

    path: str
    content: Blob
    group: Group
    source: str = ""


def opened(path: str) -> Blob:
    """A file that may not change while it is read.

    Raises:
        InputError: it is not there, or no regular file.
    """
    with in_file(path):
        return open_unchanged(path)


def carried_files(paths: Iterable[str]) -> Iterator[MediaFile]:
    """Extension images, and those of folders, with their signed policies, in `CARRIED`.

    Raises:
        InputError: there is none, or two have the same name.
    """
    seen: dict[str, str] = {}
    for path in paths:
        for place in _extension_files(path):
            name = os.path.basename(place)
            if name in seen:
                raise InputError(
                    f"the medium would have it twice: {one_line(seen[name])}", file=place
                )
            seen[name] = place
            yield MediaFile(f"{CARRIED}/{name}", opened(place), "carried", place)


def _extension_files(path: str) -> list[str]:
    """An extension image, or those of a folder with their signed policies."""
    if not os.path.isdir(path):
        if not _is_carried(os.path.basename(path)):
            raise InputError(
                "an installer passes over a file of this name",
                file=path,
                hint="it takes .sysext.raw, .confext.raw and their .pcrsig.json",
            )
        return [path]
    found = []
    for each in walk(path):
        if not _is_carried(os.path.basename(os.fsdecode(each.path))):
            continue
        if not os.path.isfile(each.place):
            raise InputError(
                "it is called as an extension image is, and is no file",
                file=os.fsdecode(each.place),
            )
        found.append(os.fsdecode(each.place))
    if not found:
        raise InputError("there is no extension image below it", file=path)
    return sorted(found)


def _is_carried(name: str) -> bool:
    return name.endswith(POLICY) or kind_of(name) is not None
