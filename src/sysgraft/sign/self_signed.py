"""A certificate that a key signs for itself (RFC 5280 §4.1), wherever the key is.

A Secure Boot certificate is a name for a key: firmware, shim, the kernel's keyrings and systemd
compare it or verify with the key in it, build no chain and look at no dates. So these say plainly
what they are: no authority (basicConstraints), for signatures (keyUsage), and the identifier by
which the kernel finds the key in a keyring. There is no extended usage, since shim and some
firmware refuse usages they do not expect. An RSA key gives the same certificate every time.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sysgraft.errors import KeyMaterialError, UsageError
from sysgraft.formats.der import (
    BIT_STRING,
    DER_NULL,
    GENERALIZED_TIME,
    OCTET_STRING,
    SEQUENCE,
    SET,
    UTC_TIME,
    encode,
    encode_algorithm,
    encode_integer,
    encode_oid,
    open_der,
)
from sysgraft.formats.x509 import parse_certificate

if TYPE_CHECKING:
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.keys import Signer

MAX_COMMON_NAME: Final = 64
"""RFC 5280 appendix A.1, ub-common-name."""
MAX_DAYS: Final = 36500
"""A hundred years."""

_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_ALGORITHMS: Final = {
    "rsa": encode_algorithm("1.2.840.113549.1.1.11", DER_NULL),  # sha256WithRSAEncryption
    "ec": encode_algorithm("1.2.840.10045.4.3.2"),  # ecdsa-with-SHA256
}
_COMMON_NAME: Final = encode_oid("2.5.4.3")
_KEY_IDENTIFIER: Final = encode_oid("2.5.29.14")
_UTF8_STRING: Final = 0x0C
_BOOLEAN: Final = 0x01
_VERSION_3: Final = encode(0xA0, encode_integer(2))
_TRUE: Final = encode(_BOOLEAN, b"\xff")
_FIXED_EXTENSIONS: Final = (
    # basicConstraints, critical: cA is FALSE by default
    encode(SEQUENCE, encode_oid("2.5.29.19"), _TRUE, encode(OCTET_STRING, encode(SEQUENCE))),
    # keyUsage, critical: digitalSignature, the first bit
    encode(
        SEQUENCE,
        encode_oid("2.5.29.15"),
        _TRUE,
        encode(OCTET_STRING, encode(BIT_STRING, b"\x07\x80")),
    ),
)


def self_signed(key: Signer, common_name: str, *, time: datetime, days: int) -> Certificate:
    """Make a certificate for a key, signed by it.

    Args:
        key: the key.
        common_name: whom it names, as subject and issuer.
        time: when it begins to be valid, to the second.
        days: for how long it is.

    Raises:
        UsageError: a name or time that a certificate cannot have.
        KeyMaterialError: the key cannot sign.
    """
    name = _name(common_name)
    validity = encode(SEQUENCE, *map(_time, _period(time, days)))
    algorithm = _ALGORITHMS[key.kind]
    # Derived, so that nothing in the certificate is left to chance; positive, 20 bytes at most.
    digest = hashlib.sha256(name + validity + key.key_der).digest()
    serial = int.from_bytes(digest[:20], "big") >> 1 | 1
    extensions = encode(SEQUENCE, *_FIXED_EXTENSIONS, _key_identifier(key.key_der))
    # TBSCertificate: version, serial, algorithm, issuer, validity, subject, key, [3] extensions
    tbs = encode(
        SEQUENCE,
        _VERSION_3,
        encode_integer(serial),
        algorithm,
        name,
        validity,
        name,
        key.key_der,
        encode(0xA3, extensions),
    )
    signature = encode(BIT_STRING, b"\0", key.sign(tbs))
    certificate = parse_certificate(encode(SEQUENCE, tbs, algorithm, signature))
    if not certificate.is_issued_by(certificate):
        raise KeyMaterialError("the key made a signature that it does not verify")
    return certificate


def check_name(common_name: str) -> None:
    """Raise `UsageError` if a certificate cannot bear this name."""
    if not common_name.strip() or not common_name.isprintable():
        raise UsageError("the name of a certificate is empty or not printable")
    if len(common_name) > MAX_COMMON_NAME:
        raise UsageError(
            f"the name {common_name!r} is longer than {MAX_COMMON_NAME} characters",
            hint="give a shorter NAME",
        )


def _name(common_name: str) -> bytes:
    """RDNSequence with the common name alone."""
    check_name(common_name)
    value = encode(_UTF8_STRING, common_name.encode())
    return encode(SEQUENCE, encode(SET, encode(SEQUENCE, _COMMON_NAME, value)))


def _period(time: datetime, days: int) -> tuple[datetime, datetime]:
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"a certificate is valid for 1 to {MAX_DAYS} days, not {days}")
    if time > _LAST - timedelta(days=days):
        raise UsageError("the certificate would be valid beyond the year 9999")
    begin = time.astimezone(UTC).replace(microsecond=0)
    return begin, begin + timedelta(days=days)


def _time(time: datetime) -> bytes:
    """§4.1.2.5: UTCTime through 2049, GeneralizedTime from then on."""
    if 1950 <= time.year < 2050:
        return encode(UTC_TIME, f"{time:%y%m%d%H%M%SZ}".encode())
    return encode(GENERALIZED_TIME, f"{time.year:04}{time:%m%d%H%M%SZ}".encode())


def _key_identifier(key_der: bytes) -> bytes:
    """§4.2.1.2, method 1: SHA-1 of the key's bits. A name, which nothing relies on."""
    fields = open_der(key_der, "the public key")
    fields.take(SEQUENCE)
    bits = fields.take(BIT_STRING).content[1:]
    identifier = hashlib.sha1(bits, usedforsecurity=False).digest()
    return encode(SEQUENCE, _KEY_IDENTIFIER, encode(OCTET_STRING, encode(OCTET_STRING, identifier)))
