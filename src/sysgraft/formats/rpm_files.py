"""The files of an RPM package, as the parallel lists of its header describe them.

Format: ``rpmtag.h``, tags ``RPMTAG_FILE…``, ``BASENAMES``, ``DIRNAMES``, ``DIRINDEXES``; hard links
as ``rpmfi.c`` tells them. The rest of a package is the matter of `sysgraft.formats.rpm`.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sysgraft.formats.rpm_header import Header

MAX_FILES: Final = 500_000
"""Files of one package: as many as of any archive."""

MAX_PATH: Final = 4095
"""Bytes of one path, the limit of Linux."""

MAX_PATHS: Final = 128 << 20
"""Bytes of all paths: a folder's name is stored once, however many files are in it."""

# Tags, in the order of their numbers.
_FILE_SIZES: Final = 1028
_FILE_MODES: Final = 1030
_FILE_RDEVS: Final = 1033
_FILE_MTIMES: Final = 1034
_FILE_DIGESTS: Final = 1035
_FILE_LINK_TARGETS: Final = 1036
_FILE_FLAGS: Final = 1037
_FILE_USERS: Final = 1039
_FILE_GROUPS: Final = 1040
_FILE_DEVICES: Final = 1095
_FILE_INODES: Final = 1096
_DIR_INDEXES: Final = 1116
_BASE_NAMES: Final = 1117
_DIR_NAMES: Final = 1118
_LONG_FILE_SIZES: Final = 5008
_FILE_CAPS: Final = 5010
_FILE_DIGEST_ALGORITHM: Final = 5011

_MD5: Final = 1
# OpenPGP's numbers of hash algorithms (RFC 9580, 9.5), as ``hashlib`` calls them.
_ALGORITHMS: Final = {
    _MD5: "md5",
    2: "sha1",
    8: "sha256",
    9: "sha384",
    10: "sha512",
    11: "sha224",
    12: "sha3_256",
    14: "sha3_512",
}
_GHOST: Final = 1 << 6


_T = TypeVar("_T")


class StatedDigest(NamedTuple):
    """A digest that a package states.

    Attributes:
        algorithm: as ``hashlib`` has it.
        hex: lower-case hexadecimal.
    """

    algorithm: str
    hex: str


@dataclass(frozen=True, slots=True)
class File:
    """One file of a package, as its header describes it.

    Attributes:
        path: as stored, absolute.
        mode: type and permission bits, as in ``st_mode``.
        size: bytes of a regular file's content, or of a link's target.
        mtime: seconds since the epoch, UTC.
        user: the owner's name.
        group: the group's name.
        target: where a symbolic link points.
        digest: of the content; None where the package states none.
        capabilities: in libcap's text form, empty for none.
        rdev: ``(major, minor)`` of a device node.
        is_ghost: whether the package only owns the path and does not hold the file.
        holder: the index of the last of the files that are hard links of each other; its own
            where there are no others. In the archive that one carries the content.
    """

    path: bytes
    mode: int
    size: int
    mtime: int
    user: bytes
    group: bytes
    target: bytes
    digest: StatedDigest | None
    capabilities: bytes
    rdev: tuple[int, int]
    is_ghost: bool
    holder: int


def read_files(header: Header) -> Iterator[File]:
    """The files, in the order of the header.

    Raises:
        FormatError: the lists do not go together, or are not of their type.
        LimitError: there are more than `MAX_FILES`, or their paths are too long.
    """
    names = header.texts(_BASE_NAMES)
    if len(names) > MAX_FILES:
        raise LimitError(f"a package of {len(names)} files, {MAX_FILES} are allowed")
    if not names:
        return
    table = _Table(header, len(names))
    paths = _paths(header, names, table.numbers(_DIR_INDEXES))
    holders = _holders(table)
    # The names of owners are few, and each is kept once.
    owners: dict[bytes, bytes] = {}
    for index in range(len(names)):
        yield table.file(index, paths[index], holders[index], owners)


class _Table:
    """The parallel lists of a header: one value for each file."""

    def __init__(self, header: Header, count: int) -> None:
        self._header = header
        self._count = count
        self.modes = self.numbers(_FILE_MODES)
        self.flags = self.numbers(_FILE_FLAGS, optional=True)
        self._sizes = self.numbers(_LONG_FILE_SIZES if _LONG_FILE_SIZES in header else _FILE_SIZES)
        self._mtimes = self.numbers(_FILE_MTIMES)
        self._rdevs = self.numbers(_FILE_RDEVS, optional=True)
        self._users = self.texts(_FILE_USERS)
        self._groups = self.texts(_FILE_GROUPS)
        self._targets = self.texts(_FILE_LINK_TARGETS, optional=True)
        self._digests = self.texts(_FILE_DIGESTS, optional=True)
        self._capabilities = self.texts(_FILE_CAPS, optional=True)
        self._algorithm = first_number(header, _FILE_DIGEST_ALGORITHM, _MD5)

    def file(self, index: int, path: bytes, holder: int, owners: dict[bytes, bytes]) -> File:
        user, group, digest = self._users[index], self._groups[index], self._digests[index]
        return File(
            path=path,
            mode=self.modes[index],
            size=self._sizes[index],
            mtime=self._mtimes[index],
            user=owners.setdefault(user, user),
            group=owners.setdefault(group, group),
            target=self._targets[index],
            digest=stated_digest(self._algorithm, digest) if digest else None,
            capabilities=self._capabilities[index],
            rdev=(self._rdevs[index] >> 8, self._rdevs[index] & 0xFF),
            is_ghost=bool(self.flags[index] & _GHOST),
            holder=holder,
        )

    def numbers(self, tag: int, *, optional: bool = False) -> Sequence[int]:
        return self._checked(tag, self._header.numbers, 0, optional=optional)

    def texts(self, tag: int, *, optional: bool = False) -> Sequence[bytes]:
        return self._checked(tag, self._header.texts, b"", optional=optional)

    def _checked(
        self, tag: int, read: Callable[[int], Sequence[_T]], default: _T, *, optional: bool
    ) -> Sequence[_T]:
        if optional and tag not in self._header:
            return [default] * self._count
        values = read(tag)
        if len(values) != self._count:
            raise FormatError(f"{len(values)} values of tag {tag} for {self._count} files")
        return values


def _paths(header: Header, names: Sequence[bytes], folders: Sequence[int]) -> list[bytes]:
    directories = header.texts(_DIR_NAMES)
    paths: list[bytes] = []
    total = 0
    for name, folder in zip(names, folders, strict=True):
        if folder >= len(directories):
            raise FormatError(f"{printable(name[:80])} is in folder {folder}, which is not listed")
        length = len(directories[folder]) + len(name)
        total += length
        if length > MAX_PATH or total > MAX_PATHS:
            raise LimitError(f"a path longer than {MAX_PATH} bytes, or all than {MAX_PATHS}")
        paths.append(directories[folder] + name)
    return paths


def _holders(table: _Table) -> list[int]:
    """For each file the last that shares its inode; as rpm, only regular files do."""
    devices = table.numbers(_FILE_DEVICES, optional=True)
    inodes = list(zip(devices, table.numbers(_FILE_INODES, optional=True), strict=True))
    shares = [
        stat.S_ISREG(mode) and not flag & _GHOST and number > 0
        for (_, number), mode, flag in zip(inodes, table.modes, table.flags, strict=True)
    ]
    last = {inode: index for index, inode in enumerate(inodes) if shares[index]}
    return [last[inode] if shares[index] else index for index, inode in enumerate(inodes)]


def stated_digest(number: int, text: bytes) -> StatedDigest:
    """A digest as a header has it: OpenPGP's number of the algorithm, and hexadecimal.

    Raises:
        UnsupportedError: the algorithm is not known.
    """
    algorithm = _ALGORITHMS.get(number)
    if algorithm is None:
        raise UnsupportedError(f"the digest algorithm {number} is not known")
    return StatedDigest(algorithm, printable(text[:128]).lower())


def first_number(header: Header, tag: int, default: int) -> int:
    """The first number of a tag, or what stands for it where there is none."""
    return next(iter(header.numbers(tag)), default)
