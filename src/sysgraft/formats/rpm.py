"""RPM binary packages: what they are, which files they hold, and where the payload is.

Format: RPM v4 and v6 package format ("Lead", "Signature", "Header", tags of ``rpmtag.h``). The
digests of the header are checked; OpenPGP signatures are not, and scriptlets are only named.
Not read are source packages, delta packages, and what rpm 3 wrote (``OLDFILENAMES``). The archive
in the payload is read by `sysgraft.formats.rpm_payload`.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from sysgraft.base.blob import SubBlob
from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats.rpm_header import LEAD_MAGIC, Region, read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.formats.rpm_header import Header

MAX_FILES: Final = 500_000
"""Files of one package: as many as of any archive."""

MAX_PATH: Final = 4095
"""Bytes of one path, the limit of Linux."""

MAX_PATHS: Final = 128 << 20
"""Bytes of all paths: a folder's name is stored once, however many files are in it."""

_LEAD_SIZE: Final = 96
_SOURCE_PACKAGE: Final = 1
_NEWEST_FORMAT: Final = 6

# Tags of the signature header.
_SIG_SHA1 = 269
_SIG_SHA256 = 273
# Tags of the header, in the order of their numbers.
_NAME = 1000
_VERSION = 1001
_RELEASE = 1002
_EPOCH = 1003
_ARCH = 1022
_FILE_SIZES = 1028
_FILE_MODES = 1030
_FILE_RDEVS = 1033
_FILE_MTIMES = 1034
_FILE_DIGESTS = 1035
_FILE_LINK_TARGETS = 1036
_FILE_FLAGS = 1037
_FILE_USERS = 1039
_FILE_GROUPS = 1040
_FILE_DEVICES = 1095
_FILE_INODES = 1096
_SOURCE_FLAG = 1106
_DIR_INDEXES = 1116
_BASE_NAMES = 1117
_DIR_NAMES = 1118
_PAYLOAD_FORMAT = 1124
_PAYLOAD_COMPRESSOR = 1125
_OLD_FILE_NAMES = 1027
_LONG_FILE_SIZES = 5008
_FILE_CAPS = 5010
_FILE_DIGEST_ALGORITHM = 5011
_PAYLOAD_DIGEST = 5092
_PAYLOAD_DIGEST_ALGORITHM = 5093
_FORMAT = 5114

# What would run at an installation: a script or only the program for it, and triggers.
_SCRIPTLETS: Final = {
    "%pretrans": (1151, 1153),
    "%pre": (1023, 1085),
    "%post": (1024, 1086),
    "%posttrans": (1152, 1154),
}

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


@dataclass(frozen=True, slots=True)
class Package:
    """A package.

    Attributes:
        name: of the package.
        version: epoch, version and release as rpm writes them: ``2:1.0-3``.
        architecture: rpm's spelling; ``noarch`` for all.
        files: in the order of the header.
        scriptlets: what would run at an installation, ``%post`` for instance.
        payload: the archive of the contents, maybe compressed.
        compressor: of the payload, rpm's name of it; empty where none is stated.
        payload_digest: of `payload` as it is; None where the package states none.
        header_digest: which digest of the header was compared, empty for none.
    """

    name: str
    version: str
    architecture: str
    files: tuple[File, ...]
    scriptlets: tuple[str, ...]
    payload: Blob
    compressor: str
    payload_digest: StatedDigest | None
    header_digest: str


def read_package(blob: Blob) -> Package:
    """Read a package's headers.

    Raises:
        FormatError: it breaks the rules of its format, or the header's digest differs.
        LimitError: it has more files than `MAX_FILES`, or larger headers than are read.
        UnsupportedError: a source package, or one of another format.
    """
    _check_lead(blob)
    signatures = read_header(blob, _LEAD_SIZE, Region.SIGNATURES)
    start = _LEAD_SIZE + len(signatures.raw)
    start += -start % 8
    header = read_header(blob, start, Region.IMMUTABLE)
    checked = _check_digest(signatures, header)
    _check_kind(header)
    behind = start + len(header.raw)
    return Package(
        name=_required(header, _NAME, "name"),
        version=_version(header),
        architecture=_required(header, _ARCH, "architecture"),
        files=tuple(_files(header)),
        scriptlets=tuple(name for name, tags in _SCRIPTLETS.items() if _has_any(header, tags)),
        payload=SubBlob(blob, behind, blob.size - behind),
        compressor=printable(header.text(_PAYLOAD_COMPRESSOR) or b""),
        payload_digest=_payload_digest(header),
        header_digest=checked,
    )


def _check_lead(blob: Blob) -> None:
    if blob.size < _LEAD_SIZE:
        raise TruncatedError("the package ends inside its lead")
    lead = blob.read_at(0, _LEAD_SIZE)
    if not lead.startswith(LEAD_MAGIC):
        raise FormatError("not an RPM package")
    if int.from_bytes(lead[6:8], "big") == _SOURCE_PACKAGE:
        raise _source_package()


def _source_package() -> UnsupportedError:
    return UnsupportedError(
        "a source package: it holds what a package is built from, not what is installed",
        hint="build it (rpmbuild --rebuild) and give the binary package",
    )


def _check_kind(header: Header) -> None:
    if _SOURCE_FLAG in header:
        raise _source_package()
    version = _first(header, _FORMAT, 4)
    if version > _NEWEST_FORMAT:
        raise UnsupportedError(f"a package of format {version}, up to {_NEWEST_FORMAT} are read")
    payload = header.text(_PAYLOAD_FORMAT) or b"cpio"
    if payload != b"cpio":
        raise UnsupportedError(f"a payload of the format {printable(payload[:40])}")
    if _OLD_FILE_NAMES in header and _BASE_NAMES not in header:
        raise UnsupportedError("a package of rpm 3, whose file names are stored otherwise")


def _check_digest(signatures: Header, header: Header) -> str:
    """The strongest digest of the header that the signature header states, compared."""
    for tag, algorithm in ((_SIG_SHA256, "sha256"), (_SIG_SHA1, "sha1")):
        stated = signatures.text(tag)
        if stated is None:
            continue
        found = hashlib.new(algorithm, header.raw, usedforsecurity=False).hexdigest()
        if found.encode() != stated.lower():
            raise FormatError(
                f"the digest of the package's header is {algorithm}:{found}, "
                f"{printable(stated[:128])} is stated",
            )
        return algorithm
    return ""


def _payload_digest(header: Header) -> StatedDigest | None:
    texts = header.texts(_PAYLOAD_DIGEST)
    number = _first(header, _PAYLOAD_DIGEST_ALGORITHM, 8)
    return _stated(number, texts[0]) if texts else None


def _stated(number: int, text: bytes) -> StatedDigest:
    algorithm = _ALGORITHMS.get(number)
    if algorithm is None:
        raise UnsupportedError(f"the digest algorithm {number} is not known")
    return StatedDigest(algorithm, printable(text[:128]).lower())


def _version(header: Header) -> str:
    version = f"{_required(header, _VERSION, 'version')}-{_required(header, _RELEASE, 'release')}"
    return f"{_first(header, _EPOCH, 0)}:{version}" if _EPOCH in header else version


def _required(header: Header, tag: int, what: str) -> str:
    text = header.text(tag)
    if not text:
        raise FormatError(f"the package states no {what}")
    return printable(text[:256])


def _first(header: Header, tag: int, default: int) -> int:
    return next(iter(header.numbers(tag)), default)


def _has_any(header: Header, tags: Sequence[int]) -> bool:
    return any(tag in header for tag in tags)


def _files(header: Header) -> list[File]:
    names = header.texts(_BASE_NAMES)
    if len(names) > MAX_FILES:
        raise LimitError(f"a package of {len(names)} files, {MAX_FILES} are allowed")
    if not names:
        return []
    table = _Table(header, len(names))
    paths = _paths(header, names, table.numbers(_DIR_INDEXES))
    modes = table.numbers(_FILE_MODES)
    flags = table.numbers(_FILE_FLAGS, optional=True)
    sizes = table.numbers(_LONG_FILE_SIZES if _LONG_FILE_SIZES in header else _FILE_SIZES)
    mtimes = table.numbers(_FILE_MTIMES)
    rdevs = table.numbers(_FILE_RDEVS, optional=True)
    users, groups = table.texts(_FILE_USERS), table.texts(_FILE_GROUPS)
    targets = table.texts(_FILE_LINK_TARGETS, optional=True)
    digests = table.texts(_FILE_DIGESTS, optional=True)
    caps = table.texts(_FILE_CAPS, optional=True)
    algorithm = _first(header, _FILE_DIGEST_ALGORITHM, _MD5)
    inodes = zip(
        table.numbers(_FILE_DEVICES, optional=True),
        table.numbers(_FILE_INODES, optional=True),
        strict=True,
    )
    holders = _holders(list(inodes), modes, flags)
    names_of_owners: dict[bytes, bytes] = {}
    return [
        File(
            path=paths[index],
            mode=modes[index],
            size=sizes[index],
            mtime=mtimes[index],
            user=names_of_owners.setdefault(users[index], users[index]),
            group=names_of_owners.setdefault(groups[index], groups[index]),
            target=targets[index],
            digest=_stated(algorithm, digests[index]) if digests[index] else None,
            capabilities=caps[index],
            rdev=(rdevs[index] >> 8, rdevs[index] & 0xFF),
            is_ghost=bool(flags[index] & _GHOST),
            holder=holders[index],
        )
        for index in range(len(names))
    ]


class _Table:
    """The parallel lists of a header: one value for each file."""

    def __init__(self, header: Header, count: int) -> None:
        self._header = header
        self._count = count

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


def _holders(
    inodes: Sequence[tuple[int, int]], modes: Sequence[int], flags: Sequence[int]
) -> list[int]:
    """For each file the last that shares its inode; as rpm, only regular files do."""
    shares = [
        stat.S_ISREG(mode) and not flag & _GHOST and number > 0
        for (_, number), mode, flag in zip(inodes, modes, flags, strict=True)
    ]
    last = {inode: index for index, inode in enumerate(inodes) if shares[index]}
    return [last[inode] if shares[index] else index for index, inode in enumerate(inodes)]
