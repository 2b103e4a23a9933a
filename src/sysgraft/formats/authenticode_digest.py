"""The digest of an executable that its signature holds, as UEFI firmware computes it.

Microsoft "Windows Authenticode Portable Executable Signature Format", "Calculating the PE Image
Hash"; EDK II does it in DxeImageVerificationLib, HashPeImage. Everything counts but the field
CheckSum, the entry of the certificate table in the headers, and that table:

    headers · sections by their place in the file · what is behind the last one

Where what is behind begins is found by adding up sizes. Bytes between two sections are therefore
not part of the digest, and such gaps are reported. Images whose digest two programs may compute
differently (overlaps, a certificate table that is not at the end) are refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats.wincert import ALIGNMENT, aligned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.authenticode import ImageDigest
    from sysgraft.formats.pe import Image

BUFFER: Final = 4 << 20
"""Bytes read and hashed at a time: enough to keep a thread busy while others have the lock."""
_CHECKSUM: Final = 4
_DIRECTORY_ENTRY: Final = 8
# Where the first of digestAlgorithms is, if the lengths in front of it have two bytes each, as
# they have up to 64 KiB. EDK II looks nowhere else (HashPeImageByType).
_DIGEST_OID: Final = 32
_OID: Final = 9
_OIDS: Final = {
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}

Range = tuple[int, int]
"""Offset and length."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which bytes of a file its digest covers.

    Attributes:
        ranges: what is hashed, in that order.
        gaps: what lies between headers and sections, and is not hashed.
        end: where the certificate table begins, or would; not aligned if there is none.
    """

    ranges: tuple[Range, ...]
    gaps: tuple[Range, ...]
    end: int


def coverage(image: Image) -> Coverage:
    """What the digest of an executable covers.

    Raises:
        FormatError: sections overlap, or the certificate table is not at the end of the file.
    """
    sections = sorted((one for one in image.sections if one.raw_size), key=lambda one: one.offset)
    gaps: list[Range] = []
    reached, above = image.size_of_headers, "the headers"
    for section in sections:
        if section.offset < reached:
            raise FormatError(f"the section {section.name} overlaps {above}")
        gaps.append((reached, section.offset - reached))
        reached, above = section.end, f"the section {section.name}"
    end = _table_offset(image, reached)
    counted = image.size_of_headers + sum(one.raw_size for one in sections)
    ranges = [*_header_ranges(image), *((one.offset, one.raw_size) for one in sections)]
    ranges.append((counted, end - counted))
    return Coverage(_joined(ranges), tuple(gap for gap in gaps if gap[1]), end)


def _table_offset(image: Image, reached: int) -> int:
    """Where the certificate table begins; the end of the file without one."""
    offset, size = image.security
    if not size:
        return image.size
    if offset + size != image.size:
        raise FormatError(
            f"the certificate table ends at byte {offset + size}, not with the file at {image.size}"
        )
    if offset < reached:
        raise FormatError("the certificate table overlaps the executable")
    if offset % ALIGNMENT:
        raise FormatError(f"the certificate table is at byte {offset}, no multiple of {ALIGNMENT}")
    return offset


def _header_ranges(image: Image) -> Iterator[Range]:
    start = 0
    for offset, length in holes(image.checksum_offset, image.security_offset):
        yield start, offset - start
        start = offset + length
    yield start, image.size_of_headers - start


def holes(checksum_offset: int, security_offset: int) -> tuple[Range, ...]:
    """What the digest leaves out of the headers.

    Args:
        checksum_offset: where CheckSum is.
        security_offset: where data directory 4 is; 0 if there is none.
    """
    checksum = (checksum_offset, _CHECKSUM)
    return (checksum, (security_offset, _DIRECTORY_ENTRY)) if security_offset else (checksum,)


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same bytes in the same order, in as few ranges as possible."""
    found: list[Range] = []
    for offset, length in ranges:
        if found and sum(found[-1]) == offset:
            found[-1] = (found[-1][0], found[-1][1] + length)
        elif length:
            found.append((offset, length))
    return tuple(found)


def likely_algorithms(signatures: Iterable[bytes]) -> frozenset[str]:
    """The digests that these signatures speak of, told by a glance; SHA-256 if there are none.

    Hashing takes longest, so it may begin while whatever reads signatures is still being loaded.
    """
    names = (_OIDS.get(each[_DIGEST_OID : _DIGEST_OID + _OID]) for each in signatures)
    return frozenset(filter(None, names)) or frozenset(("sha256",))


def compute(
    blob: Blob,
    covered: Coverage,
    algorithms: Iterable[str],
    *,
    advance: Callable[[int], object] = int,
) -> dict[str, bytes]:
    """Digests of an executable, from one pass over it.

    Args:
        blob: the file.
        covered: what `coverage` said of it.
        algorithms: as ``hashlib`` has them.
        advance: told how many more bytes were hashed; may raise to end it.

    Raises:
        TruncatedError: the file ends before its headers say.
    """
    hashes = {name: hashlib.new(name) for name in algorithms}
    longest = max((length for _, length in covered.ranges), default=0)
    buffer = memoryview(bytearray(min(BUFFER, longest)))
    for offset, length in _pieces(covered.ranges):
        view = buffer[:length]
        blob.readinto_at(offset, view)
        for each in hashes.values():
            each.update(view)
        advance(length)
    return {name: each.digest() for name, each in hashes.items()}


def filled_gaps(blob: Blob, covered: Coverage) -> tuple[Range, ...]:
    """The gaps that hold anything but zeros: bytes that can be changed without being noticed."""
    return tuple(
        gap
        for gap in covered.gaps
        if any(any(blob.read_at(offset, length)) for offset, length in _pieces([gap]))
    )


def _pieces(ranges: Iterable[Range]) -> Iterator[Range]:
    for start, length in ranges:
        for offset in range(start, start + length, BUFFER):
            yield offset, min(BUFFER, start + length - offset)


class SequentialDigest:
    """The SHA-256 of an executable that is given from its first byte to its last.

    For whoever writes an executable whose sections follow each other without gaps. What it gives
    is what `compute` gives for the finished file, padded for the certificate table.

    Args:
        checksum_offset: where CheckSum is; what stands there does not matter.
        security_offset: where data directory 4 is; likewise.
    """

    __slots__ = ("_at", "_hash", "_holes")

    def __init__(self, checksum_offset: int, security_offset: int) -> None:
        self._hash = hashlib.sha256()
        self._holes = holes(checksum_offset, security_offset)
        self._at = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        start, end = self._at, self._at + len(view)
        at = start
        for offset, length in self._holes:
            if at < offset + length and offset < end:
                self._hash.update(view[at - start : max(offset, at) - start])
                at = min(offset + length, end)
        self._hash.update(view[at - start :])
        self._at = end

    def finish(self) -> ImageDigest:
        """The digest of all that was given and of zeros up to a multiple of 8 bytes."""
        from sysgraft.formats.authenticode import ImageDigest  # noqa: PLC0415  see `compute`

        self._hash.update(bytes(aligned(self._at) - self._at))
        return ImageDigest("sha256", self._hash.digest())
