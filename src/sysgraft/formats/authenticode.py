"""Authenticode: the signature of an executable.

Microsoft "Windows Authenticode Portable Executable Signature Format" (2008): PKCS#7 SignedData
whose content, SpcIndirectDataContent, holds the digest of the executable. Reads and builds that
content; the structure around it is `sysgraft.formats.cms`, the digest itself
`sysgraft.formats.authenticode_digest`. Time stamps are recognised and not verified: firmware does
not look at them either, unless it has a database for them (dbt), which is not handled here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats import cms
from sysgraft.formats.cms_attributes import read_attributes
from sysgraft.formats.cms_rules import WHAT, Rules
from sysgraft.formats.cms_signer import DIGESTS, SHA256
from sysgraft.formats.der import (
    BIT_STRING,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    DerReader,
    algorithm_text,
    encode,
    encode_oid,
    oid_text,
)
from sysgraft.formats.wincert import ALIGNMENT

if TYPE_CHECKING:
    from sysgraft.formats.cms_signer import SignerInfo

MAX_SIGNATURE: Final = 64 << 10
"""Bytes of one signature; with a chain of certificates and a time stamp it has up to 20 KiB. EDK II
finds the digest of none that is longer (HashPeImageByType)."""

SPC_INDIRECT_DATA: Final = encode_oid("1.3.6.1.4.1.311.2.1.4")
RULES: Final = Rules(
    name="SpcIndirectDataContent",
    content_type=SPC_INDIRECT_DATA,
    content_tag=SEQUENCE,
    must_sign_attributes=True,
    unsigned_attributes=True,
    max_size=MAX_SIGNATURE,
    max_signers=1,
)
"""What such a signature may hold; the specification has one signer (§"SignedData")."""

_SPC_PE_IMAGE_DATA: Final = encode_oid("1.3.6.1.4.1.311.2.1.15")
# SpcPeImageData ::= SEQUENCE { flags BIT STRING, file [0] EXPLICIT SpcLink }, the link being
# [2] EXPLICIT [0] IMPLICIT BMPString. The text is the one the specification prescribes.
_PE_IMAGE_DATA: Final = encode(
    SEQUENCE,
    encode(BIT_STRING, b"\0"),
    encode(0xA0, encode(0xA2, encode(0x80, "<<<Obsolete>>>".encode("utf-16-be")))),
)

_TIMESTAMPS: Final = {
    encode_oid("1.3.6.1.4.1.311.3.3.1"): "RFC 3161",
    encode_oid("1.2.840.113549.1.9.6"): "PKCS#9",
}
"""Unsigned attributes that hold a time stamp: a token, or a countersignature of the older kind."""


@dataclass(frozen=True, slots=True)
class ImageDigest:
    """The digest of an executable.

    Attributes:
        algorithm: as ``hashlib`` has it.
        value: its bytes.
    """

    algorithm: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of an executable.

    Attributes:
        signed: the PKCS#7 structure.
        digest: of the executable, as the signature has it.
        timestamp: the kind of time stamp that is there, unverified; empty if there is none.
        unsigned: object identifiers of further attributes that nobody signed.
    """

    signed: cms.SignedData
    digest: ImageDigest
    timestamp: str = ""
    unsigned: tuple[str, ...] = ()

    @property
    def signer(self) -> SignerInfo:
        """Who signed."""
        return self.signed.signers[0]

    @property
    def content(self) -> bytes:
        """What was signed, as the message digest takes it: without its tag and length."""
        return self.signed.content or b""


def parse(data: bytes) -> Signature:
    """Read a signature.

    Args:
        data: PKCS#7 in DER; fewer than 8 zeros may stand behind it, as some signers count the
            padding of the certificate table in.

    Raises:
        LimitError: it is longer than `MAX_SIGNATURE`, or has several signers.
        UnsupportedError: it uses an algorithm or a feature that is not accepted.
        FormatError: it is no such signature in DER.
    """
    signed = cms.parse(_without_padding(data), RULES)
    if signed.content is None:
        raise FormatError(f"{WHAT} holds no digest of an executable")
    digest_der, value = _read_content(signed.content)
    (signer,) = signed.signers
    algorithm = DIGESTS.get(digest_der)
    if algorithm != signer.digest:
        raise FormatError(
            f"{WHAT} names two digests, {algorithm or algorithm_text(digest_der)} "
            f"and {signer.digest}"
        )
    if len(value) != hashlib.new(algorithm).digest_size:
        raise FormatError(f"{WHAT} has a {algorithm} of {len(value)} bytes")
    timestamp, unsigned = _read_unsigned(signer)
    return Signature(signed, ImageDigest(algorithm, value), timestamp, unsigned)


def _without_padding(data: bytes) -> bytes:
    if len(data) > MAX_SIGNATURE:
        return data
    raw = DerReader(data, WHAT).take(SEQUENCE).raw
    behind = data[len(raw) :]
    return data if len(behind) >= ALIGNMENT or any(behind) else raw


def _read_content(content: bytes) -> tuple[bytes, bytes]:
    """SpcIndirectDataContent: the digest's AlgorithmIdentifier and value.

    data SpcAttributeTypeAndOptionalValue, messageDigest DigestInfo
    """
    fields = DerReader(content, WHAT)
    data = fields.enter(SEQUENCE)
    # Flags and, at times, digests of single pages. Firmware reads neither type nor value, and the
    # signer of Debian's fwupd names another type than SpcPeImageData.
    data.take(OBJECT_IDENTIFIER)
    data.take_optional(SEQUENCE)
    data.finish()
    info = fields.enter(SEQUENCE)
    fields.finish()
    algorithm = info.take(SEQUENCE).raw
    value = info.take(OCTET_STRING).content
    info.finish()
    return algorithm, value


def _read_unsigned(signer: SignerInfo) -> tuple[str, tuple[str, ...]]:
    """The kind of time stamp among unsigned attributes, and what else is there."""
    if signer.unsigned_attributes is None:
        return "", ()
    kinds = read_attributes(signer.unsigned_attributes)
    stamps = (name for kind, name in _TIMESTAMPS.items() if kind in kinds)
    others = (kind for kind in kinds if kind not in _TIMESTAMPS)
    return next(stamps, ""), tuple(oid_text(_contents(kind)) for kind in others)


def _contents(oid: bytes) -> bytes:
    return DerReader(oid, WHAT).take(OBJECT_IDENTIFIER).content


def content_for(digest: bytes) -> bytes:
    """SpcIndirectDataContent for the SHA-256 of an executable, without its tag and length.

    As sbsign and systemd-sbsign write it.
    """
    return encode(SEQUENCE, _SPC_PE_IMAGE_DATA, _PE_IMAGE_DATA) + encode(
        SEQUENCE, SHA256, encode(OCTET_STRING, digest)
    )
