"""The files of a container image that was saved as one uncompressed archive, by name.

Names may be symbolic links, which Docker writes for layers that occur twice.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.archive_path import clean_path
from sysgraft.formats.oci import MAX_DOCUMENT
from sysgraft.formats.stream import BlobSource
from sysgraft.formats.tar import Kind, TarReader

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.formats.tar import Member

MAX_FILES: Final = 100_000
"""Files of one saved image: two or three for each layer, of which there are at most 1000."""

_MAX_LINKS: Final = 8


class ArchiveIndex:
    """What lies where in an archive; the last of a name counts.

    Raises:
        FormatError: it breaks its format's rules.
        LimitError: it holds more than `MAX_FILES`.
    """

    def __init__(self, blob: Blob) -> None:
        self._members: dict[str, Member] = {}
        for member in TarReader(BlobSource(blob)):
            self._members[clean_path(member.name).decode("utf-8", "surrogateescape")] = member
            if len(self._members) > MAX_FILES:
                raise LimitError(f"more than {MAX_FILES} files, too many for a saved image")

    def has(self, name: str) -> bool:
        """Whether there is a file `name`."""
        return name in self._members

    def find(self, name: str) -> Member:
        """The regular file that `name` leads to.

        Raises:
            FormatError: there is none.
        """
        target = name
        for _ in range(_MAX_LINKS):
            member = self._members.get(target)
            if member is None:
                break
            if member.kind is Kind.FILE:
                return member
            target = _link_target(target, member)
        raise FormatError(f"the image has no file {shown_name(name)}")


def whole_document(blob: Blob, name: str) -> bytes:
    """All of a JSON document; raises `LimitError` if it is larger than `MAX_DOCUMENT`."""
    if blob.size > MAX_DOCUMENT:
        raise LimitError(f"{shown_name(name)} has more than {MAX_DOCUMENT} bytes")
    return blob.read_at(0, blob.size)


def _link_target(name: str, member: Member) -> str:
    target = member.linkname.decode("utf-8", "surrogateescape")
    if member.kind is Kind.SYMLINK:
        target = posixpath.join(posixpath.dirname(name), target)
    return posixpath.normpath(target).lstrip("/")


def shown_name(name: str) -> str:
    """A name in an archive for a message."""
    return printable(name[:200].encode("utf-8", "surrogateescape"))
