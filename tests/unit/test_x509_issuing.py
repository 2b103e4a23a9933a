"""Which certificates may stand above others."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from executables import key_usage, make_authority, version_1
from sysgraft.formats import der as asn1
from sysgraft.formats.x509 import Certificate, parse_certificate
from sysgraft.formats.x509_issuing import (
    Issuing,
    contradiction,
    read_issuing,
    signer_problem,
)
from sysgraft.testing.certificates import make_identity

Extension = tuple[x509.ExtensionType, bool]


CA = (x509.BasicConstraints(ca=True, path_length=None), True)
PROXY = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14")
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
        (CA, (x509.SubjectKeyIdentifier(b"1"), False)),
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
        *(
            (
                (CA, (x509.NameConstraints([x509.DNSName("a")], None), critical)),
                "its nameConstraints are not evaluated",
            )
            for critical in (True, False)
        ),
        *(
            ((CA, (x509.UnrecognizedExtension(PROXY, b""), critical)), "it is a proxy certificate")
            for critical in (True, False)
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


@pytest.mark.parametrize("authority", [TRUE, b""])
def test_a_negative_path_length_denies_the_right_and_signatures(authority: bytes) -> None:
    value = asn1.encode(asn1.SEQUENCE, authority, asn1.encode_integer(-1))
    negative = with_extensions(constraints(value))
    assert read_issuing(negative).problem == "its pathLenConstraint is negative"
    assert signer_problem(negative) == "its pathLenConstraint is negative"


def test_a_key_usage_that_allows_nothing_denies_signatures() -> None:
    for bits in (b"\0", b"\x07\0"):
        usage = asn1.encode(asn1.OCTET_STRING, asn1.encode(asn1.BIT_STRING, bits))
        empty = asn1.encode(asn1.SEQUENCE, asn1.encode_oid("2.5.29.15"), usage)
        assert signer_problem(with_extensions(empty)) == "its keyUsage allows nothing"


@pytest.mark.parametrize("oid", ["2.5.29.14", "2.5.29.35", "2.5.29.17", "2.5.29.37", "2.5.29.19"])
def test_what_openssl_cannot_read_denies_signatures(oid: str) -> None:
    broken = asn1.encode(asn1.SEQUENCE, asn1.encode_oid(oid), asn1.encode(asn1.OCTET_STRING, b"x"))
    assert signer_problem(with_extensions(broken))
    assert read_issuing(with_extensions(broken)).problem


def test_a_signature_algorithm_inside_that_is_another_denies_everything() -> None:
    certificate = make_authority("two algorithms", kind="p256").certificate
    inside = certificate.algorithm_der
    other = asn1.encode_algorithm("1.2.840.10045.4.3.3")
    assert certificate.tbs_der.count(inside) == 1
    changed = certificate._replace(tbs_der=certificate.tbs_der.replace(inside, other))
    assert read_issuing(changed).problem == "it names two signature algorithms"
    assert signer_problem(changed) == "it names two signature algorithms"
    assert signer_problem(certificate) == ""


ABOVE = make_authority(
    "above", kind="p256", extensions=[CA, (x509.SubjectKeyIdentifier(b"right"), False)]
)
ABOVE_SERIAL = ABOVE.certificate.serial


def directory(name: str) -> list[x509.GeneralName]:
    attribute = x509.NameAttribute(x509.NameOID.COMMON_NAME, name)
    return [x509.DNSName("a"), x509.DirectoryName(x509.Name([attribute]))]


@pytest.mark.parametrize(
    ("key", "names", "serial", "problem"),
    [
        (b"right", None, None, ""),
        (None, directory("above"), ABOVE_SERIAL, ""),
        (None, directory("ABOVE "), ABOVE_SERIAL, ""),
        (b"right", directory("above"), ABOVE_SERIAL, ""),
        (b"wrong", None, None, "its authorityKeyIdentifier names another key"),
        (
            b"wrong",
            directory("above"),
            ABOVE_SERIAL,
            "its authorityKeyIdentifier names another key",
        ),
        (None, directory("other"), ABOVE_SERIAL, "names another certificate"),
        (b"right", directory("above"), 1, "names another serial number"),
    ],
)
def test_an_issuer_is_the_one_that_was_meant(
    key: bytes | None, names: list[x509.GeneralName] | None, serial: int | None, problem: str
) -> None:
    meant = (x509.AuthorityKeyIdentifier(key, names, serial), False)
    below = make_authority("below", kind="p256", issuer=ABOVE, extensions=[meant]).certificate
    assert problem in contradiction(below, ABOVE.certificate)
    assert bool(contradiction(below, ABOVE.certificate)) == bool(problem)


def test_without_an_identifier_nobody_is_contradicted() -> None:
    plain = make_authority("plain", kind="p256")
    meant = (x509.AuthorityKeyIdentifier(b"any", None, None), False)
    below = make_authority("below", kind="p256", issuer=plain, extensions=[meant]).certificate
    assert contradiction(below, plain.certificate) == ""
    assert contradiction(plain.certificate, ABOVE.certificate) == ""


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
        ((x509.UnrecognizedExtension(PROXY, b""), True), "it is a proxy certificate"),
        ((x509.UnrecognizedExtension(PROXY, b""), False), "it is a proxy certificate"),
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
    assert signer_problem(found) == problem


def test_broken_extensions_are_no_better_than_unknown_ones() -> None:
    good = constraints(asn1.encode(asn1.SEQUENCE, TRUE))
    assert signer_problem(with_extensions(good)) == ""
    assert "twice" in signer_problem(with_extensions(good, good))
    assert signer_problem(version_1(self_issued=True)) == ""
