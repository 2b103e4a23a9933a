"""Certificates that keys sign for themselves, and new keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sysgraft.errors import KeyMaterialError, UsageError
from sysgraft.formats.x509 import load_certificates, parse_certificate
from sysgraft.sign.keys import PrivateKey, load_private_key
from sysgraft.sign.new_keys import make_identity, make_key, pem
from sysgraft.sign.self_signed import MAX_DAYS, self_signed
from sysgraft.testing.certificates import KeyType
from sysgraft.testing.certificates import make_identity as make_test_identity

TIME = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def signer(kind: KeyType = "rsa-2048") -> PrivateKey:
    return load_private_key(make_test_identity("self-signed", kind=kind).key_pem)


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072", "p256", "p384", "p521"])
def test_a_certificate_says_what_it_is(kind: KeyType) -> None:
    certificate = self_signed(signer(kind), "kéys PK", time=TIME, days=30)
    assert certificate.subject == certificate.issuer == "CN=kéys PK"
    assert certificate.not_before == TIME.replace(microsecond=0)
    assert certificate.not_after - certificate.not_before == timedelta(days=30)
    read = x509.load_der_x509_certificate(certificate.der)
    read.verify_directly_issued_by(read)
    extensions = {each.value.oid._name: each for each in read.extensions}
    assert extensions.keys() == {"basicConstraints", "keyUsage", "subjectKeyIdentifier"}
    constraints = extensions["basicConstraints"]
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(False, None))
    usage = read.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_cert_sign) == (True, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(read.public_key())
    assert extensions["subjectKeyIdentifier"].value == identifier


def test_the_same_key_name_and_time_give_the_same_certificate() -> None:
    first = self_signed(signer(), "a", time=TIME, days=30)
    assert self_signed(signer(), "a", time=TIME, days=30) == first
    others = [
        self_signed(signer(), "b", time=TIME, days=30),
        self_signed(signer(), "a", time=TIME, days=31),
        self_signed(signer("p256"), "a", time=TIME, days=30),
    ]
    serials = {each.serial for each in (first, *others)}
    assert len(serials) == 4
    assert all(0 < each < 1 << 159 for each in serials)


@pytest.mark.parametrize(
    "time",
    [
        datetime(1950, 1, 1, tzinfo=UTC),
        datetime(1949, 12, 31, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=9))),
    ],
)
def test_times_are_written_in_the_form_their_year_wants(time: datetime) -> None:
    certificate = self_signed(signer("p256"), "a", time=time, days=1)
    assert certificate.not_before == time
    assert parse_certificate(certificate.der).not_after == time + timedelta(days=1)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31m", "x" * 65])
def test_names_that_no_certificate_should_bear_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        self_signed(signer(), name, time=TIME, days=1)


def test_the_longest_name_is_taken() -> None:
    assert self_signed(signer("p256"), "é" * 64, time=TIME, days=1).subject == "CN=" + "é" * 64


@pytest.mark.parametrize("days", [0, -1, MAX_DAYS + 1, 10**9])
def test_durations_that_are_not_possible_are_refused(days: int) -> None:
    with pytest.raises(UsageError, match="days"):
        self_signed(signer(), "a", time=TIME, days=days)
    with pytest.raises(UsageError, match="9999"):
        self_signed(signer(), "a", time=datetime(9999, 12, 31, tzinfo=UTC), days=1)


class Liar(PrivateKey):
    def sign(self, data: bytes) -> bytes:
        return super().sign(data + b"!")


def test_a_signature_that_does_not_hold_is_not_given_out() -> None:
    liar = Liar(load_private_key(make_test_identity().key_pem)._key)
    with pytest.raises(KeyMaterialError, match="does not verify"):
        self_signed(liar, "a", time=TIME, days=1)


# --- New keys ------------------------------------------------------------------------------------


def test_a_new_key_is_written_as_pkcs8_and_can_be_read() -> None:
    key = make_key(2048)
    assert key.private_pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert load_private_key(key.private_pem).key_der == key.signer.key_der
    public = serialization.load_pem_public_key(key.public_pem)
    assert (
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        == key.public_pem
    )
    assert make_key(2048).private_pem != key.private_pem


def test_a_passphrase_encrypts_a_new_key() -> None:
    key = make_key(2048, passphrase=b"open")
    assert key.private_pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert load_private_key(key.private_pem, b"open").key_der == key.signer.key_der
    with pytest.raises(KeyMaterialError, match="passphrase is wrong"):
        load_private_key(key.private_pem, b"shut")


@pytest.mark.parametrize("bits", [1024, 2047, 8192])
def test_sizes_that_firmware_does_not_take_are_not_made(bits: int) -> None:
    with pytest.raises(UsageError, match=f"{bits} bits"):
        make_key(bits)


def test_a_new_identity_belongs_together() -> None:
    identity = make_identity("a", bits=3072, time=TIME, days=1)
    assert identity.key.bits == 3072
    assert identity.certificate.key_der == identity.key.signer.key_der
    assert load_certificates(pem("CERTIFICATE", identity.certificate.der)) == (
        identity.certificate,
    )
