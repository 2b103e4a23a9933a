"""RPM binary packages: what they are, which files they hold, and where the payload is.

Format: RPM v4 and v6 package format ("Lead", "Signature", "Header", tags of ``rpmtag.h``). The
digests of the header are checked; OpenPGP signatures are not, and scriptlets are only named.
Not read are source packages, delta packages, and what rpm 3 wrote (``OLDFILENAMES``). The archive
in the payload is read by `sysgraft.formats.rpm_payload`, the list of files by
`sysgraft.formats.rpm_files`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import SubBlob
from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, TruncatedError, UnsupportedError
from sysgraft.formats.rpm_files import first_number, read_files, stated_digest
from sysgraft.formats.rpm_header import LEAD_MAGIC, Region, read_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.formats.rpm_files import File, StatedDigest
    from sysgraft.formats.rpm_header import Header

_LEAD_SIZE: Final = 96
_SOURCE_PACKAGE: Final = 1
_NEWEST_FORMAT: Final = 6

# Tags of the signature header.
_SIG_SHA1: Final = 269
_SIG_SHA256: Final = 273
# Tags of the header, in the order of their numbers.
_NAME: Final = 1000
_VERSION: Final = 1001
_RELEASE: Final = 1002
_EPOCH: Final = 1003
_ARCH: Final = 1022
_OLD_FILE_NAMES: Final = 1027
_SOURCE_FLAG: Final = 1106
_BASE_NAMES: Final = 1117
_PAYLOAD_FORMAT: Final = 1124
_PAYLOAD_COMPRESSOR: Final = 1125
_PAYLOAD_DIGEST: Final = 5092
_PAYLOAD_DIGEST_ALGORITHM: Final = 5093
_FORMAT: Final = 5114

# What would run at an installation: a script, or only the program for one.
_SCRIPTLETS: Final = {
    "%pretrans": (1151, 1153),
    "%pre": (1023, 1085),
    "%post": (1024, 1086),
    "%posttrans": (1152, 1154),
}


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
        files=tuple(read_files(header)),
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
    version = first_number(header, _FORMAT, 4)
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
    number = first_number(header, _PAYLOAD_DIGEST_ALGORITHM, 8)
    return stated_digest(number, texts[0]) if texts else None


def _version(header: Header) -> str:
    version = f"{_required(header, _VERSION, 'version')}-{_required(header, _RELEASE, 'release')}"
    return f"{first_number(header, _EPOCH, 0)}:{version}" if _EPOCH in header else version


def _required(header: Header, tag: int, what: str) -> str:
    text = header.text(tag)
    if not text:
        raise FormatError(f"the package states no {what}")
    return printable(text[:256])


def _has_any(header: Header, tags: Sequence[int]) -> bool:
    return any(tag in header for tag in tags)
