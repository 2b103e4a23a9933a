"""Names as OpenSSL compares them."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type

from sysgraft.formats import der as asn1
from sysgraft.formats.x509_names import canonical_name, same_name

COMMON_NAME = x509.NameOID.COMMON_NAME
ORGANIZATION = x509.NameOID.ORGANIZATION_NAME


def name(*attributes: tuple[x509.ObjectIdentifier, str, _ASN1Type]) -> bytes:
    return x509.Name(
        [x509.NameAttribute(oid, text, kind) for oid, text, kind in attributes]
    ).public_bytes()


def common(text: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> bytes:
    return name((COMMON_NAME, text, kind))


@pytest.mark.parametrize(
    "other",
    [
        common("An Authority"),
        common("an authority"),
        common("AN AUTHORITY", _ASN1Type.PrintableString),
        common("An Authority", _ASN1Type.BMPString),
        common("An Authority", _ASN1Type.UniversalString),
        common("An Authority", _ASN1Type.T61String),
        common("An Authority", _ASN1Type.IA5String),
        common("An Authority", _ASN1Type.VisibleString),
        common("  An   Authority "),
        common("An\t\r\n\v\fAuthority"),
    ],
)
def test_spelling_does_not_tell_names_apart(other: bytes) -> None:
    assert same_name(common("An Authority"), other)
    assert canonical_name(other) == canonical_name(common("an authority"))


@pytest.mark.parametrize(
    "other",
    [
        common("AnAuthority"),
        common("An Authority 2"),
        name((ORGANIZATION, "An Authority", _ASN1Type.UTF8String)),
        common("An Authority", _ASN1Type.OctetString),
        name(*[(COMMON_NAME, "An Authority", _ASN1Type.UTF8String)] * 2),
        asn1.encode(asn1.SEQUENCE),
        b"",
        b"junk",
    ],
)
def test_other_names_are_others(other: bytes) -> None:
    assert not same_name(common("An Authority"), other)
    assert same_name(other, other)


def test_the_order_of_parts_counts_and_that_inside_one_does_not() -> None:
    one, two = (
        asn1.encode(asn1.SEQUENCE, asn1.encode_oid(oid), asn1.encode(0x0C, text))
        for oid, text in (("2.5.4.3", b"a"), ("2.5.4.10", b"b"))
    )
    both = asn1.encode(asn1.SEQUENCE, asn1.encode(asn1.SET, one, two))
    turned = asn1.encode(asn1.SEQUENCE, asn1.encode(asn1.SET, two, one))
    assert same_name(both, turned)
    first = asn1.encode(asn1.SEQUENCE, asn1.encode(asn1.SET, one), asn1.encode(asn1.SET, two))
    second = asn1.encode(asn1.SEQUENCE, asn1.encode(asn1.SET, two), asn1.encode(asn1.SET, one))
    assert not same_name(first, second)
    assert not same_name(both, first)
