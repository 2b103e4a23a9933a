"""CMS SignedData (RFC 5652 §5), which is PKCS#7 signedData (RFC 2315 §9) under its newer name.

Reads and writes one subset: version 1, signers named by issuer and serial, no revocation lists.
What a signature may be about is given as `Rules`; without any it is one of a root hash. Whatever
is read is written back as the same bytes, so nothing in a signature goes unseen. A single signer
is read and checked by `sysgraft.formats.cms_signer`; nothing here decides trust.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, UnsupportedError
from sysgraft.formats.cms_rules import WHAT, Rules
from sysgraft.formats.cms_signer import (
    CONTEXT_0,
    CONTEXT_1,
    DATA,
    VERSION,
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

ROOT_HASH: Final = Rules(
    name="data",
    content_type=DATA,
    content_tag=OCTET_STRING,
    must_sign_attributes=False,
    unsigned_attributes=False,
    max_size=MAX_SIGNED_DATA,
    max_signers=MAX_SIGNERS,
)
"""What the signature of a root hash may hold."""

_SIGNED_DATA: Final = encode_oid("1.2.840.113549.1.7.2")


@dataclass(frozen=True, slots=True)
class SignedData:
    """A signature with all its signers.

    Attributes:
        digests: AlgorithmIdentifiers of all digests used.
        signers: at least one.
        certificates: in DER; certificates inside a signature prove nothing.
        content: what is signed, without its tag and length; None if it is detached.
        rules: what it is about.
    """

    digests: tuple[bytes, ...]
    signers: tuple[SignerInfo, ...]
    certificates: tuple[bytes, ...] = ()
    content: bytes | None = None
    rules: Rules = ROOT_HASH


def parse(der: bytes, rules: Rules = ROOT_HASH) -> SignedData:
    """Read a ContentInfo that holds SignedData.

    Args:
        der: the signature.
        rules: what it may hold.

    Raises:
        LimitError: it is longer than the rules allow, or has too many certificates or signers.
        UnsupportedError: it uses a feature outside the subset this module and the rules name.
        FormatError: it is not SignedData in DER.
    """
    if len(der) > rules.max_size:
        raise LimitError(f"{WHAT} has {len(der)} bytes; the limit is {rules.max_size}")
    # ContentInfo ::= SEQUENCE { contentType, content [0] EXPLICIT }
    outer = open_der(der, WHAT)
    if outer.take(OBJECT_IDENTIFIER).raw != _SIGNED_DATA:
        raise FormatError(f"{WHAT} does not hold SignedData")
    explicit = outer.enter(CONTEXT_0)
    outer.finish()
    fields = explicit.enter(SEQUENCE)
    explicit.finish()
    return _read_signed_data(fields, rules)


def _read_signed_data(fields: DerReader, rules: Rules) -> SignedData:
    """SignedData: version, digests SET, content info, [0] certificates, [1] CRLs, signers SET."""
    check_version(fields)
    digests = tuple(each.raw for each in fields.enter(SET).rest(SEQUENCE))
    content = _read_content(fields.enter(SEQUENCE), rules)
    certificates = _read_certificates(fields)
    if fields.next_tag == CONTEXT_1:
        raise UnsupportedError(f"{WHAT} holds revocation lists")
    signer_set = fields.enter(SET)
    fields.finish()
    signers = tuple(
        read_signer(DerReader(one.content, WHAT), rules) for one in signer_set.rest(SEQUENCE)
    )
    if not signers:
        raise FormatError(f"{WHAT} has no signer")
    if len(signers) > rules.max_signers:
        raise LimitError(f"{WHAT} has {len(signers)} signers; the limit is {rules.max_signers}")
    _check_digests(digests, signers)
    return SignedData(digests, signers, certificates, content, rules)


def _read_content(fields: DerReader, rules: Rules) -> bytes | None:
    """EncapsulatedContentInfo: type and, unless it is detached, [0] with the content.

    In CMS the content is an OCTET STRING; in PKCS#7, which the signers of executables write, it
    is whatever its type says (RFC 5652 §5.2.1).
    """
    if fields.take(OBJECT_IDENTIFIER).raw != rules.content_type:
        raise UnsupportedError(f"{WHAT} is about a content type other than {rules.name}")
    if fields.next_tag is None:
        return None
    explicit = fields.enter(CONTEXT_0)
    fields.finish()
    content = explicit.take(rules.content_tag).content
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
    rules = signed.rules
    content = () if signed.content is None else (encode(rules.content_tag, signed.content),)
    fields = [
        VERSION,
        encode(SET, *signed.digests),
        encode(SEQUENCE, rules.content_type, *(encode(CONTEXT_0, each) for each in content)),
    ]
    if signed.certificates:
        fields.append(encode(CONTEXT_0, *signed.certificates))
    fields.append(encode(SET, *map(serialise_signer, signed.signers)))
    return encode(SEQUENCE, _SIGNED_DATA, encode(CONTEXT_0, encode(SEQUENCE, *fields)))
