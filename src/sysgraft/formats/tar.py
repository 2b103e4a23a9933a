"""Tape archives: a strict reader of ustar, pax and GNU tar.

Spec: POSIX.1-2017, ``pax``, "ustar Interchange Format" and "pax Interchange Format"; GNU tar
manual, "Basic Tar Format". One pass over a `ByteSource`, at most one header block and one pax
header in memory. It does not interpret paths, write archives, or read sparse files and
multi-volume archives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, TruncatedError
from sysgraft.formats import tar_fields as fields
from sysgraft.formats.stream import CHUNK
from sysgraft.formats.tar_header import (
    BLOCK,
    ZEROS,
    Extras,
    Kind,
    Member,
    check_global,
    checksum_holds,
    data_size,
    looks_like_tar,
    member,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.formats.stream import ByteSource

__all__ = ["Kind", "Member", "TarReader", "looks_like_tar"]

MAX_PAX_HEADER: Final = 1 << 20
"""Bytes of one pax header: room for 15 extended attributes of the largest size."""

MAX_METADATA: Final = 1 << 28
"""Bytes of all pax headers and long names of an archive, because callers keep what they say."""

MAX_ENTRIES: Final = 500_000
"""Headers in one archive: a large distribution has about 500,000 files."""

MAX_IGNORED: Final = 100
"""Unused pax keys that are remembered: enough to tell a user."""


class TarReader:
    """The entries of an archive, in order.

    Iterate once; `read` gives the data of the entry the iteration stands at, the next step
    passes over what was not read. Behind the end marker only zeros may follow; they are read.

    Attributes:
        ignored: pax keys that were seen and not used, such as ``SCHILY.acl.access``.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._position = 0
        self._left = 0
        self._padding = 0
        self._entries = 0
        self._metadata = 0
        self.ignored: set[bytes] = set()

    def __iter__(self) -> Iterator[Member]:
        """Each entry in turn.

        Raises:
            FormatError: the archive breaks its format's rules.
        """
        while True:
            extras = Extras()
            while (header := self._header()) is not None and self._is_extra(header, extras):
                pass
            if header is None:
                extras.refuse_orphans()
                return
            self._note_ignored(extras)
            entry = member(header, extras, self._position)
            self._left = entry.size
            self._padding = -entry.size % BLOCK
            yield entry
            self._pass(self._left + self._padding)

    def read(self, length: int) -> bytes:
        """The next `length` bytes of the current entry's data; fewer only at its end.

        Raises:
            TruncatedError: the archive ends first.
        """
        wanted = min(length, self._left)
        data = self._source.read(wanted)
        self._moved(len(data), wanted)
        self._left -= wanted
        return data

    def _pass(self, length: int) -> None:
        self._moved(self._source.skip(length), length)
        self._left = self._padding = 0

    def _moved(self, count: int, wanted: int) -> None:
        self._position += count
        if count != wanted:
            raise TruncatedError(f"the archive ends inside an entry, at byte {self._position}")

    def _header(self) -> bytes | None:
        """The next header block; None at the end of the archive."""
        header = self._source.read(BLOCK)
        if len(header) != BLOCK:
            raise TruncatedError(
                f"the archive ends at byte {self._position + len(header)} without an end marker",
            )
        self._position += BLOCK
        if header == ZEROS:
            self._finish()
            return None
        if not checksum_holds(header):
            raise FormatError(
                f"no valid header at byte {self._position - BLOCK}: the checksum differs",
            )
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise LimitError(f"the archive has more than {MAX_ENTRIES} entries")
        return header

    def _finish(self) -> None:
        """Read the rest: a second zero block and any padding, but nothing else."""
        while data := self._source.read(CHUNK):
            if data.count(0) != len(data):
                raise FormatError(
                    f"data follows the end of the archive at byte {self._position}",
                    hint="archives written one behind the other are not read: join them with "
                    "tar --concatenate",
                )

    def _is_extra(self, header: bytes, extras: Extras) -> bool:
        """Take up a header that only describes the next entry."""
        flag = header[156:157]
        if flag in (b"x", b"X"):
            extras.set_pax(fields.pax_records(self._metadata_of(header, MAX_PAX_HEADER)))
        elif flag in (b"L", b"K"):
            extras.set_long(flag, fields.text(self._metadata_of(header, fields.MAX_NAME + 1)))
        elif flag == b"g":
            check_global(fields.pax_records(self._metadata_of(header, MAX_PAX_HEADER)))
        elif flag == b"V":  # a volume label: a name and nothing else
            self._metadata_of(header, 0)
        else:
            return False
        return True

    def _metadata_of(self, header: bytes, limit: int) -> bytes:
        size = data_size(header)
        self._metadata += size
        if size > limit or self._metadata > MAX_METADATA:
            raise LimitError(
                f"a header of {size} bytes: one may have {limit}, all together {MAX_METADATA}",
            )
        self._left = size
        data = self.read(size)
        self._pass(-size % BLOCK)
        return data

    def _note_ignored(self, extras: Extras) -> None:
        for key in extras.unused():
            if len(self.ignored) < MAX_IGNORED:
                self.ignored.add(key[:64])
