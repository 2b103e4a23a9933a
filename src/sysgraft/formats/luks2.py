"""LUKS2 headers: which copy counts, and what its metadata says of keys and tokens.

LUKS2 On-Disk Format Specification, version 1: binary header, JSON area, JSON objects. A header is
kept twice, the second behind the first; each is a block of 4096 bytes and a JSON text behind it,
with a checksum over both. The newer good copy counts, as for cryptsetup. Nothing is unlocked and
nothing is written: key material, digests and key derivation are not read, and what the checksum
covers is not authenticated by anything. LUKS1 is not handled.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats.luks2_tokens import RECOVERY, TPM2, OtherToken, Token, Tpm2Token, read_token
from sysgraft.formats.strict_json import as_object, as_text, load

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

__all__ = ["RECOVERY", "TPM2", "Header", "OtherToken", "Segment", "Token", "Tpm2Token", "parse"]

SIZES: Final = tuple(1 << bits for bits in range(14, 23))
"""Bytes of one copy with its JSON area, 16 KiB to 4 MiB; the second begins there."""
MAX_OBJECTS: Final = 32
"""Key slots, tokens or segments of a header (cryptsetup ``lib/luks2/luks2.h``)."""

_MAGIC: Final = b"LUKS\xba\xbe"
_SECOND_MAGIC: Final = b"SKUL\xba\xbe"
_BINARY_SIZE: Final = 4096
# Big-endian. 0 magic, 6 version, 8 size of the copy, 16 sequence number, 24 label, 72 checksum
# algorithm, 104 salt, 168 UUID, 208 subsystem, 256 offset of the copy, 264 padding, 448 checksum.
_BINARY: Final = struct.Struct(">6sHQQ48s32s64s40s48sQ184s64s")
_CHECKSUM: Final = slice(448, 512)
# cryptsetup takes any hash its library knows and writes SHA-256.
_ALGORITHMS: Final = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})
_OBJECTS: Final = ("keyslots", "tokens", "segments", "digests", "config")
_ID: Final = re.compile(r"0|[1-9][0-9]?")
_UINT64: Final = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the volume.

    Attributes:
        number: its identifier.
        type: ``crypt``, or ``linear`` for what is not encrypted (yet).
        offset: where it begins, in bytes.
        size: bytes; None where it goes on to the end of the device.
        encryption: the cipher, such as ``aes-xts-plain64``; empty where there is none.
    """

    number: int
    type: str
    offset: int
    size: int | None
    encryption: str


@dataclass(frozen=True, slots=True)
class Header:
    """What the newer good copy says.

    Attributes:
        uuid: the volume's identifier, as text.
        label: its name, empty if it has none.
        seqid: how often the header was written.
        size: bytes of one copy.
        is_secondary: whether the second copy was taken: the first is damaged or older.
        keyslots: their identifiers.
        segments: the parts of the volume.
        tokens: how key slots can be opened, and whatever else was put there.
    """

    uuid: str
    label: str
    seqid: int
    size: int
    is_secondary: bool
    keyslots: tuple[int, ...]
    segments: tuple[Segment, ...]
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class _Copy:
    seqid: int
    size: int
    offset: int
    label: bytes
    uuid: bytes
    document: dict[str, object]


def parse(blob: Blob) -> Header:
    """Read the header at the start of a device or of a detached header.

    Raises:
        UnsupportedError: it is of LUKS1, or uses a checksum that is not known here.
        FormatError: there is no header, both copies are damaged, or the metadata breaks a rule;
            also by its subclasses.
    """
    copy = _newer(blob)
    slots = tuple(_objects(copy, "keyslots"))
    return Header(
        uuid=printable(copy.uuid),
        label=printable(copy.label),
        seqid=copy.seqid,
        size=copy.size,
        is_secondary=copy.offset > 0,
        keyslots=slots,
        segments=tuple(
            _segment(number, fields) for number, fields in _objects(copy, "segments").items()
        ),
        tokens=tuple(
            read_token(number, fields, slots) for number, fields in _objects(copy, "tokens").items()
        ),
    )


# --- The two copies ------------------------------------------------------------------------------


def _newer(blob: Blob) -> _Copy:
    """The good copy with the higher sequence number, the first where they are equal."""
    _refuse_luks1(blob)
    first = _try(blob, 0)
    places = (first.size,) if isinstance(first, _Copy) else SIZES
    second = next(
        (c for c in (_try(blob, place) for place in places) if isinstance(c, _Copy)), None
    )
    if isinstance(first, _Copy):
        return second if second and second.seqid > first.seqid else first
    if second is None:
        raise first
    return second


def _refuse_luks1(blob: Blob) -> None:
    if blob.read_at(0, 8) == _MAGIC + b"\0\1":
        raise UnsupportedError("the volume is LUKS1, which has no tokens")


def _try(blob: Blob, offset: int) -> _Copy | FormatError:
    try:
        return _read_copy(blob, offset)
    except FormatError as error:
        return error


def _read_copy(blob: Blob, offset: int) -> _Copy:
    fields = _BINARY.unpack(blob.read_at(offset, _BINARY.size))
    magic, version, size, seqid, label, algorithm, _, uuid, _, place, _, checksum = fields
    if magic != (_SECOND_MAGIC if offset else _MAGIC):
        raise FormatError("there is no LUKS2 header")
    if version != 2:
        raise UnsupportedError(f"the LUKS header has version {version}, not 2")
    if size not in SIZES or place != offset or offset not in (0, size):
        raise FormatError(f"the LUKS2 header cannot have {size} bytes and be at {place}")
    data = bytearray(blob.read_at(offset, size))
    _check(data, _ascii(algorithm), checksum)
    return _Copy(
        seqid=seqid,
        size=size,
        offset=offset,
        label=label.partition(b"\0")[0],
        uuid=uuid.partition(b"\0")[0],
        document=_document(bytes(data[_BINARY_SIZE:])),
    )


def _ascii(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii", "replace")


def _check(data: bytearray, algorithm: str, checksum: bytes) -> None:
    """Hold a copy to its checksum, which counts as zeros itself."""
    if algorithm not in _ALGORITHMS:
        raise UnsupportedError("the checksum of the LUKS2 header is of an unknown algorithm")
    data[_CHECKSUM] = bytes(len(checksum))
    digest = hashlib.new(algorithm, data, usedforsecurity=False).digest()
    if digest != checksum[: len(digest)]:
        raise FormatError("the LUKS2 header does not match its checksum")


def _document(area: bytes) -> dict[str, object]:
    """The metadata: an object from the first byte on, then at least one NUL and nothing else."""
    text = area.rstrip(b"\0")
    if not text.startswith(b"{") or len(text) == len(area):
        raise FormatError("the JSON area of the LUKS2 header is not an object and zeros behind it")
    document = as_object(load(text, "the LUKS2 metadata"), "the LUKS2 metadata")
    for name in _OBJECTS:
        as_object(document.get(name), f"{name} of the LUKS2 metadata")
    return document


# --- The metadata --------------------------------------------------------------------------------


def _objects(copy: _Copy, name: str) -> dict[int, dict[str, object]]:
    """The objects of one kind by their identifiers, in that order."""
    found = as_object(copy.document[name], name)
    if len(found) > MAX_OBJECTS:
        raise LimitError(f"the LUKS2 metadata has more than {MAX_OBJECTS} {name}")
    for text in found:
        if not _ID.fullmatch(text) or int(text) >= MAX_OBJECTS:
            raise FormatError(f"{name} of the LUKS2 metadata have an identifier that is none")
    return {
        number: as_object(found[str(number)], f"{number} of {name}")
        for number in sorted(map(int, found))
    }


def _segment(number: int, fields: dict[str, object]) -> Segment:
    what = f"segment {number}"
    dynamic = fields.get("size") == "dynamic"
    return Segment(
        number=number,
        type=as_text(fields.get("type"), f"the type of {what}"),
        offset=_uint64(fields.get("offset"), f"the offset of {what}"),
        size=None if dynamic else _uint64(fields.get("size"), f"the size of {what}"),
        encryption=as_text(fields.get("encryption", ""), f"the encryption of {what}"),
    )


def _uint64(value: object, what: str) -> int:
    """A number in decimal digits, in quotes: JSON's own are not exact everywhere."""
    if not isinstance(value, str) or not _UINT64.fullmatch(value) or int(value) >> 64:
        raise FormatError(f"{what} is not a 64-bit number in quotes")
    return int(value)
