"""Reading certificates: every field as another parser reads it, and nothing half-read."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from cryptography import x509 as reference
from cryptography.hazmat.primitives import hashes, serialization

from sysgraft.errors import FormatError, KeyMaterialError, LimitError, TruncatedError
from sysgraft.formats import der as asn1
from sysgraft.formats import x509
from sysgraft.testing.certificates import make_identity, make_key


def named(*attributes: tuple[reference.ObjectIdentifier, str]) -> x509.Certificate:
    key = make_key("p256")
    name = reference.Name([reference.NameAttribute(kind, text) for kind, text in attributes])
    certificate = reference.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2021, 1, 1, tzinfo=UTC),
    ).sign(key, hashes.SHA256())
    return x509.parse_certificate(certificate.public_bytes(serialization.Encoding.DER))


@pytest.mark.parametrize("kind", ["rsa-2048", "p256", "p521"])
def test_fields_are_those_another_parser_reads(kind: str) -> None:
    ours = make_identity(kind=kind).certificate  # type: ignore[arg-type]
    theirs = reference.load_der_x509_certificate(ours.der)
    assert ours.serial == theirs.serial_number
    assert ours.issuer_der == theirs.issuer.public_bytes()
    assert ours.subject_der == theirs.subject.public_bytes()
    assert ours.subject == theirs.subject.rfc4514_string()
    assert ours.not_before == theirs.not_valid_before_utc
    assert ours.not_after == theirs.not_valid_after_utc
    assert ours.tbs_der == theirs.tbs_certificate_bytes
    assert ours.signature == theirs.signature
    assert ours.fingerprint == theirs.fingerprint(hashes.SHA256())
    assert ours.load_public_key() == theirs.public_key()


def test_dates_beyond_2049_and_before_1970_are_read() -> None:
    for year in (1951, 2049, 2050, 9999):
        made = make_identity(
            kind="p256",
            not_before=datetime(1951, 1, 1, tzinfo=UTC),
            not_after=datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC),
        )
        assert made.certificate.not_after == datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_names_are_escaped_as_rfc_4514_says() -> None:
    oid = reference.NameOID
    certificate = named(
        (oid.COUNTRY_NAME, "DE"),
        (oid.ORGANIZATION_NAME, 'Acme, "Inc" <x>;y+z\\'),
        (oid.COMMON_NAME, "#1 "),
    )
    theirs = reference.load_der_x509_certificate(certificate.der).subject.rfc4514_string()
    assert certificate.subject == theirs
    assert certificate.subject == 'CN=\\#1\\ ,O=Acme\\, \\"Inc\\" \\<x\\>\\;y\\+z\\\\,C=DE'


def test_control_characters_in_names_do_not_reach_the_terminal() -> None:
    subject = named((reference.NameOID.COMMON_NAME, "a\x1b[2Jb\nc\u202e")).subject
    assert subject == "CN=a\\x1b[2Jb\\nc\\u202e"


def test_attributes_without_a_short_name_show_their_identifier() -> None:
    certificate = named((reference.ObjectIdentifier("1.2.840.99999.7"), "x"))
    assert certificate.subject == "1.2.840.99999.7=#0c0178"


def test_pem_der_and_bundle_give_the_same_certificates() -> None:
    one, two = make_identity("one"), make_identity("two")
    assert x509.load_certificates(one.certificate.der) == (one.certificate,)
    assert x509.load_certificates(one.certificate_pem) == (one.certificate,)
    bundle = b"a comment\n" + one.certificate_pem + one.key_pem + two.certificate_pem
    assert x509.load_certificates(bundle) == (one.certificate, two.certificate)
    windows = one.certificate_pem.replace(b"\n", b"\r\n")
    assert x509.load_certificates(windows) == (one.certificate,)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n",
        b"-----BEGIN CERTIFICATE-----\nMII*\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIIBA\n-----END CERTIFICATE-----\n",
        b"\x30\x80\x00\x00",
    ],
)
def test_text_without_a_whole_certificate_is_refused(text: bytes) -> None:
    with pytest.raises(FormatError):
        x509.load_certificates(text)


def test_a_bundle_with_one_broken_certificate_is_refused() -> None:
    good = make_identity().certificate_pem
    with pytest.raises(FormatError):
        x509.load_certificates(good + b"-----BEGIN CERTIFICATE-----\nMIIB\n")


def test_sizes_beyond_the_limits_are_refused() -> None:
    with pytest.raises(LimitError):
        x509.parse_certificate(bytes(x509.MAX_CERTIFICATE + 1))
    with pytest.raises(LimitError):
        x509.load_certificates(bytes(x509.MAX_BUNDLE + 1))


def test_every_truncation_is_refused() -> None:
    der = make_identity(kind="p256").certificate.der
    for length in range(len(der)):
        with pytest.raises(TruncatedError):
            x509.parse_certificate(der[:length])


def test_trailing_bytes_are_refused() -> None:
    der = make_identity(kind="p256").certificate.der
    with pytest.raises(FormatError, match="1 bytes more"):
        x509.parse_certificate(der + b"\0")


def test_a_key_that_is_neither_rsa_nor_ec_is_named_as_such() -> None:
    certificate = make_identity(kind="ed25519").certificate
    with pytest.raises(KeyMaterialError, match="neither RSA nor EC"):
        certificate.load_public_key()


def test_issued_by_needs_the_name_and_the_signature() -> None:
    root = make_identity("root")
    leaf = make_identity("leaf", issuer=root, kind="p256").certificate
    namesake = make_identity("root", kind="rsa-3072").certificate
    assert leaf.is_issued_by(root.certificate) is True
    assert leaf.is_issued_by(leaf) is False
    assert namesake.subject_der == root.certificate.subject_der
    assert leaf.is_issued_by(namesake) is False
    assert root.certificate.is_issued_by(root.certificate) is True


@pytest.mark.parametrize(
    ("der", "message"),
    [
        ("3005020100", "has a value of 5 bytes where 3 are"),
        ("308103020100", "not DER"),
        ("30820003020100", "not DER"),
        ("3082", "ends inside a length"),
        ("3084000000030201", "not DER"),
        ("3080020100" + "0000", "not DER"),
        ("1f8101020100", "tag"),
        ("300302010000", "more than its structure"),
        ("30", "ends inside a length"),
    ],
)
def test_der_that_is_not_the_shortest_form_is_refused(der: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        asn1.open_der(bytes.fromhex(der), "it").finish()


@pytest.mark.parametrize("content", ["", "0001", "ff80", "0000", "ffff"])
def test_integers_that_are_not_the_shortest_form_are_refused(content: str) -> None:
    raw = asn1.encode(asn1.INTEGER, bytes.fromhex(content))
    element = asn1.DerReader(raw, "it").take(asn1.INTEGER)
    with pytest.raises(FormatError):
        asn1.read_integer(element, "it")


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 256, -1, -128, -129, 2**159, -(2**64)])
def test_integers_are_written_as_they_are_read(value: int) -> None:
    element = asn1.DerReader(asn1.encode_integer(value), "it").take(asn1.INTEGER)
    assert asn1.read_integer(element, "it") == value


@pytest.mark.parametrize(
    ("dotted", "der"),
    [
        ("2.5.4.3", "0603550403"),
        ("1.2.840.113549.1.7.2", "06092a864886f70d010702"),
        ("2.999.0", "0603883700"),
    ],
)
def test_object_identifiers_have_the_bytes_of_x690(dotted: str, der: str) -> None:
    assert asn1.encode_oid(dotted).hex() == der
    assert asn1.algorithm_text(asn1.encode_algorithm(dotted)) == dotted


@pytest.mark.parametrize(
    "text",
    [
        b"20260101000000",
        b"20261301000000Z",
        b"20260101006000Z",
        b"20260101000000+0100",
        b"\xff" * 15,
    ],
)
def test_times_that_are_not_utc_dates_are_refused(text: bytes) -> None:
    der = make_identity(kind="p256", not_after=datetime(2050, 1, 1, tzinfo=UTC)).certificate.der
    good = asn1.encode(asn1.GENERALIZED_TIME, b"20500101000000Z")
    assert der.count(good) == 1
    bad = asn1.encode(asn1.GENERALIZED_TIME, text[:15].ljust(15, b"0"))
    with pytest.raises(FormatError, match="validity"):
        x509.parse_certificate(der.replace(good, bad))


def test_base64_without_line_breaks_is_read() -> None:
    der = make_identity(kind="p256").certificate.der
    text = b"-----BEGIN CERTIFICATE-----" + base64.b64encode(der) + b"-----END CERTIFICATE-----"
    assert x509.load_certificates(text)[0].der == der
