"""CMS SignedData (RFC 5652 §5), which is PKCS#7 signedData (RFC 2315 §9) under its newer name.

Reads and writes the subset that signs a root hash: version 1, content type data, signers named
by issuer and serial, no revocation lists. Whatever is read is written back as the same bytes, so
nothing in a signature goes unseen. A single signer is read and checked by
`sysgraft.formats.cms_signer`; nothing here decides trust.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats.cms_signer import (
    CONTEXT_0,
    CONTEXT_1,
    DATA,
    VERSION,
    WHAT,
    check_version,
    read_signer,
    serialise_signer,
)
from sysgraft.formats.der import (
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    DerReader,
    encode,
    encode_oid,
    open_der,
)

if TYPE_CHECKING:
    from sysgraft.formats.cms_signer import SignerInfo

MAX_SIGNED_DATA: Final = 64 << 10
"""Bytes in one signature. With a certificate it has about 1.2 KiB; systemd takes 16 KiB."""
MAX_CERTIFICATES: Final = 16
"""Certificates in one signature: room for a chain, which nothing here walks."""
MAX_SIGNERS: Final = 16
"""Signers of one signature; more than two have not been seen."""

_SIGNED_DATA: Final = encode_oid("1.2.840.113549.1.7.2")


@dataclass(frozen=True, slots=True)
class SignedData:
    """A signature with all its signers.

    Attributes:
        digests: AlgorithmIdentifiers of all digests used.
        signers: at least one.
        certificates: in DER; certificates inside a signature prove nothing.
        content: what is signed, None if it is detached.
    """

    digests: tuple[bytes, ...]
    signers: tuple[SignerInfo, ...]
    certificates: tuple[bytes, ...] = ()
    content: bytes | None = None


def parse(der: bytes) -> SignedData:
    """Read a ContentInfo that holds SignedData.

    Raises:
        LimitError: it is longer than `MAX_SIGNED_DATA`, or has too many certificates or signers.
        UnsupportedError: it uses a feature outside the subset this module names.
        FormatError: it is not SignedData in DER.
    """
    if len(der) > MAX_SIGNED_DATA:
        raise LimitError(f"{WHAT} has {len(der)} bytes; the limit is {MAX_SIGNED_DATA}")
    # ContentInfo ::= SEQUENCE { contentType, content [0] EXPLICIT }
    outer = open_der(der, WHAT)
    if outer.take(OBJECT_IDENTIFIER).raw != _SIGNED_DATA:
        raise FormatError(f"{WHAT} does not hold SignedData")
    explicit = outer.enter(CONTEXT_0)
    outer.finish()
    fields = explicit.enter(SEQUENCE)
    explicit.finish()
    return _read_signed_data(fields)


def _read_signed_data(fields: DerReader) -> SignedData:
    """SignedData: version, digests SET, content info, [0] certificates, [1] CRLs, signers SET."""
    check_version(fields)
    digests = tuple(each.raw for each in fields.enter(SET).rest(SEQUENCE))
    content = _read_content(fields.enter(SEQUENCE))
    certificates = _read_certificates(fields)
    if fields.next_tag == CONTEXT_1:
        raise UnsupportedError(f"{WHAT} holds revocation lists")
    signer_set = fields.enter(SET)
    fields.finish()
    signers = tuple(read_signer(DerReader(one.content, WHAT)) for one in signer_set.rest(SEQUENCE))
    if not signers:
        raise FormatError(f"{WHAT} has no signer")
    if len(signers) > MAX_SIGNERS:
        raise LimitError(f"{WHAT} has {len(signers)} signers; the limit is {MAX_SIGNERS}")
    _check_digests(digests, signers)
    return SignedData(digests, signers, certificates, content)


def _read_content(fields: DerReader) -> bytes | None:
    """EncapsulatedContentInfo: type and, unless it is detached, [0] with an OCTET STRING."""
    if fields.take(OBJECT_IDENTIFIER).raw != DATA:
        raise UnsupportedError(f"{WHAT} is about a content type other than data")
    if fields.next_tag is None:
        return None
    explicit = fields.enter(CONTEXT_0)
    fields.finish()
    content = explicit.take(OCTET_STRING).content
    explicit.finish()
    return content


def _read_certificates(fields: DerReader) -> tuple[bytes, ...]:
    if fields.next_tag != CONTEXT_0:
        return ()
    certificates = tuple(each.raw for each in fields.enter(CONTEXT_0).rest(SEQUENCE))
    if not certificates:
        raise FormatError(f"{WHAT} has an empty set of certificates")
    if len(certificates) > MAX_CERTIFICATES:
        raise LimitError(
            f"{WHAT} holds {len(certificates)} certificates; the limit is {MAX_CERTIFICATES}",
        )
    return certificates


def _check_digests(digests: tuple[bytes, ...], signers: tuple[SignerInfo, ...]) -> None:
    """Nothing signs the list of digests, so it has to say exactly what the signers say."""
    if len(set(digests)) != len(digests) or set(digests) != {each.digest_der for each in signers}:
        raise FormatError(f"{WHAT} lists other digests than its signers use")


def serialise(signed: SignedData) -> bytes:
    """The DER ContentInfo; of anything `parse` returned, the bytes it was read from."""
    content = () if signed.content is None else (encode(OCTET_STRING, signed.content),)
    fields = [
        VERSION,
        encode(SET, *signed.digests),
        encode(SEQUENCE, DATA, *(encode(CONTEXT_0, each) for each in content)),
    ]
    if signed.certificates:
        fields.append(encode(CONTEXT_0, *signed.certificates))
    fields.append(encode(SET, *map(serialise_signer, signed.signers)))
    return encode(SEQUENCE, _SIGNED_DATA, encode(CONTEXT_0, encode(SEQUENCE, *fields)))
