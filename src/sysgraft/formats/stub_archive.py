"""The cpio archives that systemd-stub makes of the files beside an image, byte for byte.

The stub packs credentials and extensions into ``newc`` archives, hands them to the kernel as
initrds and measures each as one piece (systemd-stub(7); ``src/boot/cpio.c``). Names and contents
decide all bytes: there are no times, owners or places in them. systemd-boot packs what a boot entry
lists as ``extra`` in nearly the same way (since v261). Here an archive is a chain of steps, so that
whoever hashes many of them can share what they have in common. General archives are the matter of
`sysgraft.formats.cpio`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

MAX_FILE: Final = (1 << 32) - 1
"""Bytes of one file: its size has eight hexadecimal digits."""

_HEADER: Final = 110
_DIRECTORY: Final = 0o040000
_REGULAR: Final = 0o100000
_TOP: Final = ".extra"
_TOP_MODE: Final = 0o555
# The one number with upper-case digits is the length of the trailer's name.
TRAILER: Final = (
    b"070701"
    + b"0" * 32
    + b"00000001"
    + b"0" * 48
    + b"0000000B"
    + b"0" * 8
    + (b"TRAILER!!!\0" + bytes(3))
)
"""What ends an archive, padded."""


@dataclass(frozen=True, slots=True)
class Folder:
    """Where in the initrd an archive's files go.

    Attributes:
        path: below the root.
        mode: permissions of the folder.
        file_mode: permissions of its files.
    """

    path: str
    mode: int
    file_mode: int


class File(NamedTuple):
    """A file to be packed.

    Attributes:
        name: its last part only.
        size: bytes.
        key: stands for the content; the same for the same content.
    """

    name: str
    size: int
    key: Hashable


class Step(NamedTuple):
    """A part of an archive that has one file's content in it.

    Attributes:
        head: the bytes before the content.
        key: whose content follows.
        size: bytes of the content.
    """

    head: bytes
    key: Hashable
    size: int

    @property
    def padding(self) -> bytes:
        """The bytes behind the content."""
        return bytes(-self.size % 4)


def pack(folder: Folder, files: Sequence[File]) -> tuple[Step, ...]:
    """What the stub packs of these files, in this order; `TRAILER` follows.

    Raises:
        LimitError: a file is too large for the format.
    """
    numbers = Numbers()
    top = _folders(folder, numbers)
    return tuple(
        Step(head if count else top + head, file.key, file.size)
        for count, file in enumerate(files)
        for head in (_entry(folder, file, numbers.next()),)
    )


class Numbers:
    """Gives out inode numbers, from 1."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """The next one."""
        self._last += 1
        return self._last


def pack_extra(folder: Folder, file: File, numbers: Numbers) -> Step:
    """One more file of a boot entry, as systemd-boot packs it.

    It writes the folders again before every file, and numbers the files of all its archives
    together in the order in which the entry lists them.

    Raises:
        LimitError: the file is too large for the format.
    """
    top = _folders(folder, numbers)
    return Step(top + _entry(folder, file, numbers.next()), file.key, file.size)


def _folders(folder: Folder, numbers: Numbers) -> bytes:
    return _head(_TOP, _DIRECTORY | _TOP_MODE, 0, numbers.next()) + _head(
        folder.path, _DIRECTORY | folder.mode, 0, numbers.next()
    )


def _entry(folder: Folder, file: File, number: int) -> bytes:
    if file.size > MAX_FILE:
        raise LimitError(f"{file.name} has {file.size} bytes; in a cpio archive {MAX_FILE} fit")
    return _head(f"{folder.path}/{file.name}", _REGULAR | folder.file_mode, file.size, number)


def _head(path: str, mode: int, size: int, number: int) -> bytes:
    """Magic, inode, mode, uid, gid, nlink, mtime, size, four device numbers, namesize, check."""
    name = path.encode("ascii") + b"\0"
    fields = (number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return head + bytes(-len(head) % 4)
