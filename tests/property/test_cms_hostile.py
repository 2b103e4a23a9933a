"""Hostile bytes: signatures, certificates and keys are refused in one way only."""

from __future__ import annotations

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st

from edits import Edit, edited, edits
from sysgraft.errors import FormatError, KeyMaterialError
from sysgraft.formats import cms, der, x509
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.sign.verify import trust
from sysgraft.sign.verify.roothash import check_roothash_signature
from sysgraft.testing.certificates import NOW, make_identity

IDENTITY = make_identity(kind="p256")
KEY = load_private_key(IDENTITY.key_pem)
ROOT_HASH = bytes(32)
SIGNATURE = sign_root_hash(ROOT_HASH, KEY, IDENTITY.certificate)
STORE = trust.from_certificates(IDENTITY.certificate.der, "db.pem")

damage = edits(2000)


@given(damage)
@example([(0, 0, b"\x30\x84\xff\xff\xff\xff")])
@example([(0, 0, b"\x30\x80")])
def test_an_edited_signature_is_refused_or_read_back_exactly(changes: list[Edit]) -> None:
    data = edited(SIGNATURE, changes)
    with contextlib.suppress(FormatError):
        assert cms.serialise(cms.parse(data)) == data


@given(damage)
def test_an_edited_signature_always_gets_a_verdict(changes: list[Edit]) -> None:
    data = edited(SIGNATURE, changes)
    verdict = check_roothash_signature(data, ROOT_HASH, fingerprint=None, store=STORE, now=NOW)
    good = (verdict.signature.status, verdict.trust.status) == ("ok", "ok")
    assert good == (data == SIGNATURE)


@given(damage)
def test_an_edited_certificate_is_refused_or_usable(changes: list[Edit]) -> None:
    data = edited(IDENTITY.certificate.der, changes)
    with contextlib.suppress(FormatError):
        certificate = x509.parse_certificate(data)
        assert certificate.der == data
        assert (certificate.subject + certificate.issuer).isprintable()
        with contextlib.suppress(KeyMaterialError):
            certificate.is_issued_by(certificate)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_signature_certificate_and_key(data: bytes) -> None:
    for read in (cms.parse, x509.load_certificates, x509.name_text):
        with contextlib.suppress(FormatError):
            read(data)
    with contextlib.suppress(KeyMaterialError):
        load_private_key(data, b"secret")


@given(damage)
def test_an_edited_key_is_refused_or_read(changes: list[Edit]) -> None:
    with contextlib.suppress(KeyMaterialError):
        load_private_key(edited(IDENTITY.encode_key(pem=False), changes), b"secret")


@given(st.integers())
def test_integers_survive_der(value: int) -> None:
    element = der.DerReader(der.encode_integer(value), "it").take(der.INTEGER)
    assert der.read_integer(element, "it") == value


@given(st.binary(max_size=70_000))
def test_values_survive_der(content: bytes) -> None:
    raw = der.encode(der.OCTET_STRING, content)
    reader = der.DerReader(raw, "it")
    element = reader.take(der.OCTET_STRING)
    reader.finish()
    assert (element.content, element.raw) == (content, raw)
