"""Attributes of a signer in CMS SignedData (RFC 5652 §5.3 and §11).

Signed attributes stand between signature and content: the signature is over them, and they hold
the digest of the content. Unsigned ones stand behind the signature. This reads and writes both,
and knows the meaning of the two that signed attributes need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats.cms_rules import WHAT
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
    from sysgraft.formats.cms_rules import Rules

CONTENT_TYPE: Final = encode_oid("1.2.840.113549.1.9.3")
MESSAGE_DIGEST: Final = encode_oid("1.2.840.113549.1.9.4")
"""The two attributes that have to be signed (RFC 5652 §5.3)."""


def read_attributes(attributes: bytes) -> dict[bytes, list[bytes]]:
    """The attributes of a SET (RFC 5652 §5.3): for each type in DER, what its sets of values hold.

    Raises:
        FormatError: it is no SET of attributes in DER.
    """
    found: dict[bytes, list[bytes]] = {}
    for attribute in open_der(attributes, WHAT, SET).rest(SEQUENCE):
        fields = DerReader(attribute.content, WHAT)
        kind = fields.take(OBJECT_IDENTIFIER).raw
        found.setdefault(kind, []).append(fields.take(SET).content)
        fields.finish()
    return found


def read_digest(signed: bytes, rules: Rules) -> bytes:
    """The messageDigest among signed attributes, RFC 5652 §5.3 and §11.1, §11.2.

    Raises:
        FormatError: they are not about the rules' content type, or have not one digest.
    """
    found = read_attributes(signed)
    if found.get(CONTENT_TYPE) != [rules.content_type]:
        raise FormatError(f"{WHAT} has signed attributes without the content type {rules.name}")
    digests = found.get(MESSAGE_DIGEST, [])
    if len(digests) != 1:
        raise FormatError(f"{WHAT} has signed attributes without one message digest")
    values = DerReader(digests[0], WHAT)
    digest = values.take(OCTET_STRING).content
    values.finish()
    return digest


def signed_attributes(content_type: bytes, digest: bytes, *others: bytes) -> bytes:
    """The SET of attributes to sign (RFC 5652 §5.3, sorted as DER has it).

    Args:
        content_type: object identifier in DER.
        digest: of the content.
        others: further attributes in DER.
    """
    needed = (
        attribute(CONTENT_TYPE, content_type),
        attribute(MESSAGE_DIGEST, encode(OCTET_STRING, digest)),
    )
    return encode(SET, *sorted((*needed, *others)))


def attribute(kind: bytes, *values: bytes) -> bytes:
    """One attribute in DER: its type's object identifier and its values."""
    return encode(SEQUENCE, kind, encode(SET, *values))
