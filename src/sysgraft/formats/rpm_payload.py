"""The archive in an RPM package: which of the header's files comes next, and its content.

Format: cpio in the ``newc`` form with the paths of the header, or, where files are too large for
that, rpm's own short form (``07070X``), whose entries state the file's number in the header and
nothing else. All but the content comes from the header, as in rpm. The archive arrives decompressed
and is read once; every file the package does not only own has to be in it.
"""

from __future__ import annotations

import stat
from binascii import Error as NotHexadecimal
from binascii import unhexlify
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, TruncatedError
from sysgraft.formats.cpio import HEADER, MAGIC, MAX_PATH, TRAILER
from sysgraft.formats.cpio_reader import parse_header
from sysgraft.formats.stream import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.formats.rpm_files import File
    from sysgraft.formats.stream import ByteSource

_SHORT_MAGIC: Final = b"07070X"
_SHORT_DIGITS: Final = 8
_GRAIN: Final = 4


class Member(NamedTuple):
    """One entry.

    Attributes:
        number: of the file in the header.
        size: bytes of content that follow.
    """

    number: int
    size: int


class PayloadReader:
    """The entries of an archive, in its order.

    Iterate over it, and `read` each member's content before the next; what is not read is passed
    over.

    Args:
        source: the archive, decompressed.
        files: of the header.
    """

    def __init__(self, source: ByteSource, files: Sequence[File]) -> None:
        self._source = source
        self._files = files
        self._indexes = {_stored_name(file.path): index for index, file in enumerate(files)}
        self._missing = {index for index, file in enumerate(files) if not file.is_ghost}
        self._seen: set[int] = set()
        self._position = 0
        self._left = 0
        if len(self._indexes) != len(files):
            raise FormatError("the package lists a path twice")

    def __iter__(self) -> Iterator[Member]:
        """Each entry in turn.

        Raises:
            FormatError: the archive breaks its format's rules, or is not what the header says.
        """
        while (member := self._next()) is not None:
            self._left = member.size
            if member.number in self._seen:
                raise FormatError(f"{self._name(member.number)} comes twice in the archive")
            self._seen.add(member.number)
            self._missing.discard(member.number)
            yield member
            self._pass(self._left)
            self._align()
        self._finish()

    def read(self, length: int) -> bytes:
        """The next `length` bytes of the current member; fewer only at its end.

        Raises:
            TruncatedError: the archive ends first.
        """
        data = self._exactly(min(length, self._left))
        self._left -= len(data)
        return data

    def _next(self) -> Member | None:
        """The next entry, None at the end of the archive."""
        magic = self._exactly(len(MAGIC))
        if magic == _SHORT_MAGIC:
            return self._short()
        start = self._position - len(MAGIC)
        fields = parse_header(magic + self._exactly(HEADER - len(MAGIC)), start)
        size, name_size = fields[6], fields[11]
        if not 1 < name_size <= MAX_PATH + 1:
            raise LimitError(f"a name of {name_size} bytes in the archive, at byte {start}")
        name = self._exactly(name_size)
        self._align()
        if name == TRAILER + b"\0":
            return None
        index = self._indexes.get(_stored_name(name[:-1]))
        if index is None or name[-1:] != b"\0":
            raise FormatError(f"the archive holds {printable(name[:-1])}, which is not listed")
        self._check_size(index, size)
        return Member(index, size)

    def _short(self) -> Member:
        text = self._exactly(_SHORT_DIGITS)
        try:
            index = int.from_bytes(unhexlify(text), "big")
        except NotHexadecimal:
            index = len(self._files)
        if index >= len(self._files):
            raise FormatError(f"the archive holds file {printable(text)}, which is not listed")
        self._align()
        return Member(index, self._stated_size(index))

    def _stated_size(self, index: int) -> int:
        """Bytes of content: of hard links only the last has it, as rpm writes them."""
        file = self._files[index]
        has_content = stat.S_ISREG(file.mode) or stat.S_ISLNK(file.mode)
        return file.size if has_content and file.holder == index else 0

    def _check_size(self, index: int, size: int) -> None:
        file = self._files[index]
        # Tools other than rpm store the content of hard links with each of them.
        if size != self._stated_size(index) and (file.holder == index or size != file.size):
            raise FormatError(
                f"{self._name(index)} has {file.size} bytes in the header, {size} in the archive",
            )

    def _finish(self) -> None:
        """Only zeros may follow; every file has to have come."""
        while data := self._source.read(CHUNK):
            if data.count(0) != len(data):
                raise FormatError("data follows the end of the package's archive")
        if self._missing:
            raise FormatError(f"{self._name(min(self._missing))} is not in the package's archive")

    def _align(self) -> None:
        self._exactly(-self._position % _GRAIN)

    def _pass(self, length: int) -> None:
        self._moved(self._source.skip(length), length)
        self._left = 0

    def _exactly(self, length: int) -> bytes:
        data = self._source.read(length)
        self._moved(len(data), length)
        return data

    def _moved(self, count: int, wanted: int) -> None:
        self._position += count
        if count != wanted:
            raise TruncatedError(f"the package's archive ends at byte {self._position}")

    def _name(self, index: int) -> str:
        return printable(self._files[index].path)


def _stored_name(path: bytes) -> bytes:
    """A path as both header (``/usr/x``) and archive (``./usr/x``, ``usr/x``) mean it."""
    return path.removeprefix(b"./").removeprefix(b"/")
