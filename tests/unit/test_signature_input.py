"""Entries for signature databases from certificates, lists, updates and hashes."""

from __future__ import annotations

import hashlib
from uuid import UUID

import pytest

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import authvar, esl
from sysgraft.formats.signature_input import certificates_in, read_entries
from sysgraft.testing.certificates import make_identity

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
OTHER = UUID("00112233-4455-6677-8899-aabbccddeeff")
ONE, TWO = make_identity("one"), make_identity("two")
HASH = hashlib.sha256(b"program").digest()


def certificate_lists(*identities: object, owner: UUID = OWNER) -> tuple[esl.SignatureList, ...]:
    return tuple(
        esl.SignatureList(esl.CERT_X509, (esl.Signature(owner, each.certificate.der),))  # type: ignore[attr-defined]
        for each in identities
    )


@pytest.mark.parametrize("data", [ONE.certificate.der, ONE.certificate_pem])
def test_a_certificate_becomes_a_list_of_its_owner(data: bytes) -> None:
    assert read_entries(data, OWNER) == certificate_lists(ONE)


def test_a_bundle_becomes_a_list_for_each_certificate() -> None:
    bundle = b"subject=CN = one\n" + ONE.certificate_pem + b"\n" + TWO.certificate_pem
    found = read_entries(bundle, OWNER)
    assert found == certificate_lists(ONE, TWO)
    assert certificates_in(found) == (ONE.certificate, TWO.certificate)


def test_lists_and_updates_keep_their_owners() -> None:
    lists = certificate_lists(ONE, TWO, owner=OTHER)
    value = esl.serialise(lists)
    assert read_entries(value, OWNER) == lists
    update = authvar.serialise(authvar.SignedUpdate(None, b"not looked at", value))
    assert read_entries(update, OWNER) == lists


@pytest.mark.parametrize(
    "text",
    [
        f"{HASH.hex()}\n{'0' * 64}\n",
        f"# revoked\n\n{HASH.hex().upper()}  EFI/Linux/old kernel.efi\r\n{'0' * 64} *b",
    ],
)
def test_text_with_hashes_becomes_one_list(text: str) -> None:
    (found,) = read_entries(text.encode(), OWNER)
    assert found.type == esl.CERT_SHA256
    assert [each.data for each in found.signatures] == [HASH, bytes(32)]
    assert certificates_in((found,)) == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n# nothing\n",
        b"hello\n",
        HASH.hex().encode()[:-1],
        HASH.hex().encode() + b"\nhello\n",
        HASH.hex().encode() + b"00",
        ONE.certificate.der[:-1],
        ONE.key_pem,
        esl.serialise(certificate_lists(ONE))[:-1],
        authvar.serialise(authvar.SignedUpdate(None, b"", b"")),
        authvar.serialise(authvar.SignedUpdate(None, b"", b"value")),
        b"MZ" + bytes(4096),
    ],
)
def test_what_has_no_entries_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_entries(data, OWNER)


def test_a_certificate_in_a_list_has_to_be_one_where_certificates_are_asked_for() -> None:
    entry = esl.Signature(OWNER, b"no certificate")
    with pytest.raises(FormatError):
        certificates_in((esl.SignatureList(esl.CERT_X509, (entry,)),))


def test_the_number_of_hashes_is_limited() -> None:
    line = HASH.hex().encode() + b"\n"
    (found,) = read_entries(line * 100, OWNER)
    assert len(found.signatures) == 100
    with pytest.raises((FormatError, LimitError)):
        read_entries(line * (esl.MAX_SIGNATURES + 1), OWNER)
