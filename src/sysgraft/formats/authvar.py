"""Signed updates of EFI variables, ``.auth`` files (UEFI 2.10 §8.2.2).

EFI_VARIABLE_AUTHENTICATION_2 is a time and a PKCS#7 signature in front of the variable's new
value. The signature is over the variable's name, namespace, attributes, that time and the value,
so a file fits one variable only, though its name is not in it. Reads and writes the file, builds
what is signed, and checks a signature against a given certificate; whom to trust, and whether an
update is newer than what a firmware has, is not known here. The older form with a counter
(EFI_VARIABLE_AUTHENTICATION) and that with a nonce (_3) are not read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError, UsageError
from sysgraft.formats import cms, cms_signer
from sysgraft.formats.der import OBJECT_IDENTIFIER, SEQUENCE, encode, encode_oid, open_der
from sysgraft.formats.efivar import (
    DATABASE_ATTRIBUTES,
    GLOBAL_VARIABLE,
    IMAGE_SECURITY_DATABASE,
)
from sysgraft.formats.esl import MAX_SIGNATURE_LISTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.formats.x509 import Certificate

# offset size  EFI_TIME (§8.3)
#      0    2  Year
#      2    5  Month, Day, Hour, Minute, Second
#      7    1  Pad1, 0
#      8    4  Nanosecond, 0
#     12    2  TimeZone, 0: the time is UTC
#     14    2  Daylight, 0, and Pad2, 0
_TIME: Final = struct.Struct("<H5BxIhBx")
# offset size  WIN_CERTIFICATE_UEFI_GUID (§32.2.4), behind the time
#      0    4  dwLength: these 24 bytes and CertData
#      4    2  wRevision
#      6    2  wCertificateType
#      8   16  CertType
#     24       CertData: SignedData in DER
_CERTIFICATE: Final = struct.Struct("<IHH16s")
_REVISION: Final = 0x0200
_TYPE_EFI_GUID: Final = 0x0EF1
_PKCS7_GUID: Final = UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")

HEADER: Final = _TIME.size + _CERTIFICATE.size
"""Bytes before the signature."""
MAX_UPDATE: Final = HEADER + cms.MAX_SIGNED_DATA + MAX_SIGNATURE_LISTS
"""Bytes in one update: the longest signature and the longest signature lists."""

APPEND_WRITE: Final = 0x40
"""Attribute of an update that adds entries to those that are there (§8.2.1)."""
NAMESPACES: Final[Mapping[str, UUID]] = {
    "PK": GLOBAL_VARIABLE,
    "KEK": GLOBAL_VARIABLE,
    "db": IMAGE_SECURITY_DATABASE,
    "dbx": IMAGE_SECURITY_DATABASE,
}
"""The Secure Boot databases and the namespace of each (§3.3, §32.6.1)."""

_SIGNED_DATA: Final = encode_oid("1.2.840.113549.1.7.2")
_WHAT: Final = "the signature of the variable"


@dataclass(frozen=True, slots=True)
class SignedUpdate:
    """A variable's new value with its signature.

    Attributes:
        time: in whole seconds, UTC; None if all its fields are 0, as in updates that only append.
        signature: SignedData in DER, as it stands in the file.
        value: the new value, or what is appended; empty to delete the variable.
    """

    time: datetime | None
    signature: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """Which variable an update is for.

    Attributes:
        name: the variable's name.
        namespace: its vendor GUID.
        append: whether the value is added to what is there.
    """

    name: str
    namespace: UUID
    append: bool = False

    @property
    def attributes(self) -> int:
        """What the firmware is given together with the update, and what is signed."""
        return DATABASE_ATTRIBUTES | (APPEND_WRITE if self.append else 0)


def database(name: str, *, append: bool = False) -> Target:
    """A Secure Boot database by its name.

    Raises:
        UsageError: there is none of that name.
    """
    namespace = NAMESPACES.get(name)
    if namespace is None:
        raise UsageError(
            f"there is no signature database {name!r}", hint=f"one of {', '.join(NAMESPACES)}"
        )
    return Target(name, namespace, append)


def parse(data: bytes) -> SignedUpdate:
    """Read an ``.auth`` file.

    Raises:
        LimitError: it is longer than `MAX_UPDATE`.
        UnsupportedError: it is authenticated in another way.
        FormatError: it is no signed update.
    """
    if len(data) > MAX_UPDATE:
        raise LimitError(f"an update of {len(data)} bytes; the limit is {MAX_UPDATE}")
    if len(data) < HEADER:
        raise TruncatedError(f"a signed update begins with {HEADER} bytes, there are {len(data)}")
    length, revision, kind, guid = _CERTIFICATE.unpack_from(data, _TIME.size)
    if (revision, kind) != (_REVISION, _TYPE_EFI_GUID):
        raise FormatError(f"not a signed update: certificate type {kind:#06x}, not 0x0ef1")
    if guid != _PKCS7_GUID.bytes_le:
        raise UnsupportedError(f"a signature of the type {UUID(bytes_le=guid)}, which is no PKCS#7")
    end = _TIME.size + length
    if length < _CERTIFICATE.size:
        raise FormatError(f"the signature has a length of {length} bytes with its header")
    if end > len(data):
        raise TruncatedError(f"the signature ends at byte {end}, there are {len(data)}")
    return SignedUpdate(decode_time(data[: _TIME.size]), data[HEADER:end], data[end:])


def serialise(update: SignedUpdate) -> bytes:
    """The ``.auth`` file; of anything `parse` returned, the bytes it was read from."""
    length = _CERTIFICATE.size + len(update.signature)
    certificate = _CERTIFICATE.pack(length, _REVISION, _TYPE_EFI_GUID, _PKCS7_GUID.bytes_le)
    return encode_time(update.time) + certificate + update.signature + update.value


def is_update(data: bytes) -> bool:
    """Whether this begins like a signed update."""
    if len(data) < HEADER:
        return False
    _, revision, kind, guid = _CERTIFICATE.unpack_from(data, _TIME.size)
    return (revision, kind, guid) == (_REVISION, _TYPE_EFI_GUID, _PKCS7_GUID.bytes_le)


def encode_time(time: datetime | None) -> bytes:
    """A time as EFI_TIME; parts of a second are cut off, None gives zeros."""
    if time is None:
        return bytes(_TIME.size)
    utc = time.astimezone(UTC)
    return _TIME.pack(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, 0, 0, 0)


def decode_time(data: bytes) -> datetime | None:
    """The time in these 16 bytes; None if all of them are 0.

    Raises:
        FormatError: it is no time, or a field is set that has to be 0 in an update (§8.2.2).
    """
    if not any(data):
        return None
    year, month, day, hour, minute, second = _TIME.unpack(data)[:6]
    try:
        time = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise FormatError(f"the time of the update is none: {error}") from error
    if encode_time(time) != data:
        raise FormatError("the time of the update has fields set that have to be 0")
    return time


def signed_content(target: Target, time: datetime | None, value: bytes) -> bytes:
    """What the signature is over: name without its end, namespace, attributes, time, value."""
    return (
        target.name.encode("utf-16-le")
        + target.namespace.bytes_le
        + target.attributes.to_bytes(4, "little")
        + encode_time(time)
        + value
    )


def without_content_info(der: bytes) -> bytes:
    """The SignedData inside a ContentInfo, which is what a firmware reads."""
    outer = open_der(der, _WHAT)
    outer.take(OBJECT_IDENTIFIER)
    return outer.enter(cms_signer.CONTEXT_0).take(SEQUENCE).raw


def read_signature(update: SignedUpdate) -> cms.SignedData:
    """The signature of an update; EDK II takes it with a ContentInfo around it too.

    Raises:
        UnsupportedError: it uses a feature that `sysgraft.formats.cms` does not handle.
        FormatError: it is no detached SignedData in DER.
    """
    der = update.signature
    # SignedData begins with its version, ContentInfo with its type.
    if open_der(der, _WHAT).next_tag != OBJECT_IDENTIFIER:
        der = encode(SEQUENCE, _SIGNED_DATA, encode(cms_signer.CONTEXT_0, der))
    signed = cms.parse(der)
    if signed.content is not None:
        raise FormatError(f"{_WHAT} holds a content of its own")
    return signed


def verify(update: SignedUpdate, target: Target, certificate: Certificate) -> bool:
    """Whether the update of this variable was signed with this certificate's key.

    Raises:
        FormatError: the signature cannot be read.
        KeyMaterialError: the certificate's key cannot be used.
    """
    content = signed_content(target, update.time, update.value)
    signers = read_signature(update).signers
    return all(
        each.is_by(certificate) and cms_signer.verify(each, content, certificate)
        for each in signers
    )
