"""Which certificates may stand above others."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from executables import key_usage, make_authority, version_1
from sysgraft.formats import der as asn1
from sysgraft.formats.x509 import Certificate, parse_certificate
from sysgraft.formats.x509_issuing import Issuing, read_issuing, unknown_extension
from sysgraft.testing.certificates import make_identity

Extension = tuple[x509.ExtensionType, bool]


CA = (x509.BasicConstraints(ca=True, path_length=None), True)
NO_CA = (x509.BasicConstraints(ca=False, path_length=None), True)


def issuing(*extensions: Extension) -> Issuing:
    return read_issuing(make_authority("ca", kind="p256", extensions=extensions).certificate)


@pytest.mark.parametrize(
    "extensions",
    [
        (CA,),
        ((CA[0], False),),
        (CA, (key_usage(may_sign=True), True)),
        (CA, (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), True)),
        (CA, (x509.SubjectAlternativeName([x509.DNSName("a")]), False)),
        (CA, (x509.NameConstraints([x509.DNSName("a")], None), False)),
    ],
)
def test_authorities_may_issue(extensions: tuple[Extension, ...]) -> None:
    assert issuing(*extensions) == Issuing()


@pytest.mark.parametrize(
    ("extensions", "problem"),
    [
        ((), "it has no basicConstraints"),
        (((key_usage(may_sign=True), True),), "it has no basicConstraints"),
        ((NO_CA,), "its basicConstraints do not name it an authority"),
        ((CA, (key_usage(may_sign=False), True)), "its keyUsage has no keyCertSign"),
        (
            (CA, (x509.NameConstraints([x509.DNSName("a")], None), True)),
            "its critical extension 2.5.29.30 is not evaluated",
        ),
        (
            (CA, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), True)),
            "its critical extension 1.2.3 is not evaluated",
        ),
    ],
)
def test_others_may_not(extensions: tuple[Extension, ...], problem: str) -> None:
    assert issuing(*extensions).problem == problem


@pytest.mark.parametrize("length", [0, 1, 7, 255, 30000])
def test_the_length_of_the_path_is_read(length: int) -> None:
    found = read_issuing(make_authority("ca", kind="p256", path_length=length).certificate)
    assert found == Issuing(path_length=length)


def test_a_root_of_version_1_may_issue_but_nobody_else_of_that_version() -> None:
    assert read_issuing(version_1(self_issued=True)) == Issuing()
    assert read_issuing(version_1(self_issued=False)).problem == "it has no basicConstraints"
    # Version 3 without extensions is no authority.
    assert read_issuing(make_identity(kind="p256").certificate).problem


def with_extensions(*extensions: bytes) -> Certificate:
    """A certificate with these extensions in DER; its signature does not matter."""
    outer = asn1.open_der(make_identity(kind="p256").certificate.der, "it")
    fields = asn1.DerReader(outer.take(asn1.SEQUENCE).content, "it")
    kept = [fields.take_any().raw for _ in range(7)]
    rest = [outer.take(asn1.SEQUENCE).raw, outer.take(asn1.BIT_STRING).raw]
    explicit = asn1.encode(0xA3, asn1.encode(asn1.SEQUENCE, *extensions))
    tbs = asn1.encode(asn1.SEQUENCE, *kept, explicit)
    return parse_certificate(asn1.encode(asn1.SEQUENCE, tbs, *rest))


def constraints(value: bytes) -> bytes:
    oid = asn1.encode_oid("2.5.29.19")
    return asn1.encode(asn1.SEQUENCE, oid, asn1.encode(asn1.OCTET_STRING, value))


TRUE = asn1.encode(0x01, b"\xff")


def test_hand_made_constraints_are_read() -> None:
    good = constraints(asn1.encode(asn1.SEQUENCE, TRUE))
    assert read_issuing(with_extensions(good)) == Issuing()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        TRUE,
        asn1.encode(asn1.SEQUENCE, asn1.encode(0x01, b"\x01")),
        asn1.encode(asn1.SEQUENCE, asn1.encode(0x01, b"")),
        asn1.encode(asn1.SEQUENCE, TRUE, asn1.encode_integer(1 << 24)),
        asn1.encode(asn1.SEQUENCE, TRUE, asn1.encode(asn1.INTEGER, b"\0\0")),
        asn1.encode(asn1.SEQUENCE, TRUE, asn1.encode_integer(1), asn1.encode_integer(1)),
        asn1.encode(asn1.SEQUENCE, TRUE) + b"\0",
    ],
)
def test_broken_constraints_deny_the_right(value: bytes) -> None:
    assert read_issuing(with_extensions(constraints(value))).problem


def test_an_extension_twice_denies_the_right() -> None:
    good = constraints(asn1.encode(asn1.SEQUENCE, TRUE))
    assert "twice" in read_issuing(with_extensions(good, good)).problem


def test_a_negative_path_length_allows_nothing_between() -> None:
    value = asn1.encode(asn1.SEQUENCE, TRUE, asn1.encode_integer(-5))
    assert read_issuing(with_extensions(constraints(value))) == Issuing(path_length=0)


@pytest.mark.parametrize(
    ("extension", "problem"),
    [
        ((x509.NameConstraints([x509.DNSName("a")], None), True), ""),
        ((x509.InhibitAnyPolicy(0), True), ""),
        ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), False), ""),
        (
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), True),
            "its critical extension 1.2.3 is not evaluated",
        ),
        ((x509.OCSPNoCheck(), True), ""),
        (
            (x509.SubjectKeyIdentifier(b"1"), True),
            "its critical extension 2.5.29.14 is not evaluated",
        ),
    ],
)
def test_who_signs_may_have_no_unknown_critical_extension(
    extension: Extension, problem: str
) -> None:
    found = make_authority("x", kind="p256", extensions=[extension]).certificate
    assert unknown_extension(found) == problem


def test_broken_extensions_are_no_better_than_unknown_ones() -> None:
    good = constraints(asn1.encode(asn1.SEQUENCE, TRUE))
    assert unknown_extension(with_extensions(good)) == ""
    assert "twice" in unknown_extension(with_extensions(good, good))
    assert unknown_extension(version_1(self_issued=True)) == ""
