"""EFI signature lists and what a dbx revokes."""

from __future__ import annotations

import hashlib
import struct
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from sysgraft.errors import FormatError, LimitError, TruncatedError
from sysgraft.formats import der as asn1
from sysgraft.formats import esl
from sysgraft.formats.revocations import Revocations
from sysgraft.formats.x509 import parse_certificate
from sysgraft.testing.certificates import NOW, Identity, make_identity

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
OTHER = UUID("00112233-4455-6677-8899-aabbccddeeff")
NO_TIME = bytes(16)
# SEC 2, 2.4.2.
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def one(kind: UUID, *data: bytes, header: bytes = b"") -> esl.SignatureList:
    return esl.SignatureList(kind, tuple(esl.Signature(OWNER, each) for each in data), header)


def header(kind: UUID, size: int, header_size: int, entry: int) -> bytes:
    return struct.pack("<16sIII", kind.bytes_le, size, header_size, entry)


def test_a_list_has_the_bytes_of_the_specification() -> None:
    data = esl.serialise([one(esl.CERT_SHA256, b"\xaa" * 32)])
    assert data == bytes.fromhex(
        "26 16 c4 c1 4c 50 92 40 ac a9 41 f9 36 93 43 28"
        "4c 00 00 00 00 00 00 00 30 00 00 00"
        "bd 9a fa 77 59 03 32 4d bd 60 28 f4 e7 8f 78 4b" + "aa" * 32
    )
    assert esl.parse(data) == (one(esl.CERT_SHA256, b"\xaa" * 32),)


def test_lists_of_all_types_come_back_as_written() -> None:
    lists = (
        one(esl.CERT_X509, b"certificate"),
        one(esl.CERT_SHA256, bytes(32), b"\1" * 32),
        one(esl.CERT_X509_SHA256, bytes(48)),
        one(esl.CERT_X509_SHA384, bytes(64)),
        one(esl.CERT_X509_SHA512, bytes(80)),
        one(OTHER, b"abc", b"def", header=b"its header"),
    )
    assert esl.parse(esl.serialise(lists)) == lists
    assert esl.parse(b"") == ()


@pytest.mark.parametrize(
    "data",
    [
        header(esl.CERT_X509, 28 + 20, 0, 0) + bytes(20),  # entries of no size
        header(esl.CERT_X509, 28 + 20, 0, 16) + bytes(20),  # an owner and nothing
        header(esl.CERT_X509, 28 + 20, 0, 19) + bytes(20),  # no whole number
        header(esl.CERT_X509, 28 + 20, 0, 2**32 - 1) + bytes(20),
        header(esl.CERT_X509, 27, 0, 20) + bytes(20),  # shorter than its header
        header(esl.CERT_X509, 0, 0, 20) + bytes(20),
        header(esl.CERT_X509, 28 + 24, 4, 20) + bytes(24),  # a header its type has not
        header(OTHER, 28 + 20, 2**32 - 1, 20) + bytes(20),
        header(OTHER, 28 + 20, 21, 20) + bytes(20),
        header(esl.CERT_SHA256, 28 + 47, 0, 47) + bytes(47),  # a short hash
        header(esl.CERT_X509_SHA256, 28 + 48, 0, 48) + bytes(48),  # no time
    ],
)
def test_sizes_that_do_not_fit_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        esl.parse(data)


def test_truncation_anywhere_is_refused() -> None:
    data = esl.serialise([one(esl.CERT_SHA256, bytes(32)), one(OTHER, b"abc")])
    boundary = len(esl.serialise([one(esl.CERT_SHA256, bytes(32))]))
    for length in set(range(1, len(data))) - {boundary}:
        with pytest.raises(TruncatedError):
            esl.parse(data[:length])


def test_size_and_number_of_entries_are_limited() -> None:
    with pytest.raises(LimitError):
        esl.parse(bytes(esl.MAX_SIGNATURE_LISTS + 1))
    count = esl.MAX_SIGNATURES + 1
    with pytest.raises(LimitError):
        esl.parse(header(OTHER, 28 + 17 * count, 0, 17) + bytes(17 * count))
    half = count // 2 + 1
    with pytest.raises(LimitError):
        esl.parse((header(OTHER, 28 + 17 * half, 0, 17) + bytes(17 * half)) * 2)


def test_entries_of_unequal_length_cannot_share_a_list() -> None:
    with pytest.raises(FormatError):
        esl.serialise([one(esl.CERT_X509, b"a", b"bc")])


def test_a_dbx_revokes_by_certificate_hash_and_signed_part() -> None:
    certificate = make_identity().certificate
    other = make_identity("somebody else").certificate
    tbs = certificate.tbs_der
    entries = {
        "this certificate": one(esl.CERT_X509, certificate.der),
        "certificate's SHA-256": one(esl.CERT_SHA256, certificate.fingerprint),
        "sha256 of": one(esl.CERT_X509_SHA256, hashlib.sha256(tbs).digest() + NO_TIME),
        "sha384 of": one(esl.CERT_X509_SHA384, hashlib.sha384(tbs).digest() + b"\1" * 16),
        "sha512 of": one(esl.CERT_X509_SHA512, hashlib.sha512(tbs).digest() + NO_TIME),
    }
    for reason, entry in entries.items():
        revocations = Revocations.from_lists([entry])
        assert reason in (revocations.is_revoked(certificate) or "")
        assert revocations.is_revoked(other) is None
        assert revocations.count == 1


def test_a_hash_counts_only_as_what_its_list_says() -> None:
    certificate = make_identity().certificate
    tbs_hash = hashlib.sha256(certificate.tbs_der).digest()
    wrong = Revocations.from_lists(
        [
            one(esl.CERT_SHA256, tbs_hash),
            one(esl.CERT_X509_SHA256, certificate.fingerprint + NO_TIME),
            one(OTHER, certificate.der),
        ]
    )
    assert wrong.is_revoked(certificate) is None


def test_a_revoked_issuer_takes_what_it_issued_with_it() -> None:
    root = make_identity("root")
    leaf = make_identity("leaf", issuer=root).certificate
    namesake = make_identity("root", kind="rsa-3072").certificate
    by_root = Revocations.from_lists([one(esl.CERT_X509, root.certificate.der)])
    by_namesake = Revocations.from_lists([one(esl.CERT_X509, namesake.der)])
    assert by_root.is_revoked(leaf) == "dbx holds its issuer, CN=root,O=sysgraft tests"
    assert by_namesake.is_revoked(leaf) is None


def test_a_revoked_root_is_found_above_an_intermediate_that_is_known() -> None:
    root = make_identity("root")
    inter = make_identity("inter", issuer=root)
    leaf = make_identity("leaf", issuer=inter).certificate
    other = make_identity("other").certificate
    revocations = Revocations.from_lists([one(esl.CERT_X509, root.certificate.der)])
    known = (other, leaf, inter.certificate)
    assert revocations.is_revoked(leaf, known) == (
        "CN=inter,O=sysgraft tests, above it, is revoked: "
        "dbx holds its issuer, CN=root,O=sysgraft tests"
    )
    assert revocations.is_revoked(leaf, (other, leaf)) is None, "nobody knows who issued it"
    assert revocations.is_revoked(other, known) is None


@pytest.mark.parametrize("kind", [esl.CERT_SHA256, esl.CERT_X509_SHA256])
def test_an_intermediate_revoked_by_its_hash_takes_the_leaf_with_it(kind: UUID) -> None:
    inter = make_identity("inter")
    leaf = make_identity("leaf", issuer=inter).certificate
    fingerprint = inter.certificate.fingerprint
    if kind != esl.CERT_SHA256:
        fingerprint = hashlib.sha256(inter.certificate.tbs_der).digest() + NO_TIME
    revocations = Revocations.from_lists([one(kind, fingerprint)])
    assert revocations.is_revoked(leaf, (inter.certificate,))
    namesake = make_identity("inter", kind="rsa-3072").certificate
    assert revocations.is_revoked(leaf, (namesake,)) is None


def test_a_revoked_root_is_found_however_far_above() -> None:
    chain = [make_identity("0", kind="p256")]
    for number in range(1, 41):
        chain.append(make_identity(str(number), kind="p256", issuer=chain[-1]))
    known = tuple(each.certificate for each in chain)
    revocations = Revocations.from_lists([one(esl.CERT_SHA256, known[0].fingerprint)])
    assert revocations.is_revoked(known[40], known)
    assert revocations.is_revoked(known[40], known[:20] + known[21:]) is None


def test_issuers_in_a_circle_are_climbed_once() -> None:
    first = make_identity("first", kind="p256")
    second = make_identity("second", kind="p256", issuer=first)
    # Cross-signed: the first key has a certificate by the second one, too.
    again = make_identity("first", kind="p256", issuer=second, serial=2)
    known = tuple(each.certificate for each in (first, second, again))
    harmless = Revocations.from_lists([one(esl.CERT_SHA256, bytes(32))])
    assert harmless.is_revoked(again.certificate, known) is None
    revoked = Revocations.from_lists([one(esl.CERT_SHA256, first.certificate.fingerprint)])
    assert revoked.is_revoked(again.certificate, known)


def test_an_issuer_whose_signature_cannot_be_checked_revokes_by_its_name() -> None:
    root = make_identity("edwards", kind="ed25519")
    leaf = make_identity("leaf", issuer=root).certificate
    revocations = Revocations.from_lists([one(esl.CERT_X509, root.certificate.der)])
    assert "cannot be checked" in (revocations.is_revoked(leaf) or "")


def test_unreadable_certificates_in_a_dbx_do_not_hide_the_others() -> None:
    certificate = make_identity().certificate
    lists = [one(esl.CERT_X509, b"junk"), one(esl.CERT_X509, certificate.der)]
    revocations = Revocations.from_lists(lists)
    assert revocations.is_revoked(certificate) is not None
    assert revocations.count == 2
    assert len(revocations.notes) == 1


def test_an_unreadable_certificate_revokes_by_the_names_in_it() -> None:
    root = make_identity("root")
    leaf = make_identity("leaf", issuer=root).certificate
    other = make_identity("other").certificate
    broken = root.certificate.der[:-1]
    revocations = Revocations.from_lists([one(esl.CERT_X509, broken)])
    assert revocations.unreadable == {broken}
    for each in (root.certificate, leaf):
        assert "cannot be read" in (revocations.is_revoked(each) or "")
    assert revocations.is_revoked(other) is None
    below = make_identity("below", issuer=make_identity("inter", issuer=root))
    inter = make_identity("inter", issuer=root).certificate
    assert revocations.is_revoked(below.certificate, (inter,))


@pytest.mark.parametrize("behind", [b"\0", bytes(4), b"junk", bytes(100)])
def test_what_is_behind_a_certificate_in_a_dbx_does_not_count(behind: bytes) -> None:
    root = make_identity("root")
    leaf = make_identity("leaf", issuer=root).certificate
    revocations = Revocations.from_lists([one(esl.CERT_X509, root.certificate.der + behind)])
    assert revocations.is_revoked(root.certificate) == "dbx holds this certificate"
    assert revocations.is_revoked(leaf) == "dbx holds its issuer, CN=root,O=sysgraft tests"
    assert revocations.notes == ()


def test_an_issuer_under_another_spelling_is_the_same_issuer() -> None:
    root = make_identity("root")
    for name in ("ROOT", " Root", "rOOT  "):
        spelt = Identity(root.key, make_identity(name).certificate)
        leaf = make_identity("leaf", issuer=spelt).certificate
        assert leaf.issuer_der != root.certificate.subject_der
        revocations = Revocations.from_lists([one(esl.CERT_X509, root.certificate.der)])
        assert revocations.is_revoked(leaf) == "dbx holds its issuer, CN=root,O=sysgraft tests"
        below = make_identity("below", issuer=make_identity("leaf", issuer=spelt)).certificate
        assert revocations.is_revoked(below, (leaf,))
    other = make_identity("ro ot", issuer=make_identity("ro ot")).certificate
    assert revocations.is_revoked(other) is None


def test_a_certificate_whose_signature_was_made_anew_is_the_same_certificate() -> None:
    authority = make_identity("curve", kind="p256")
    leaf = make_identity("leaf", issuer=authority).certificate
    revocations = Revocations.from_lists([one(esl.CERT_X509, leaf.der)])
    r, s = decode_dss_signature(leaf.signature)
    again = asn1.encode(asn1.BIT_STRING, b"\0", encode_dss_signature(r, P256_ORDER - s))
    written = parse_certificate(asn1.encode(asn1.SEQUENCE, leaf.tbs_der, leaf.algorithm_der, again))
    assert written.is_issued_by(authority.certificate)
    assert written.der != leaf.der
    assert revocations.is_revoked(written) == "dbx holds this certificate"
    # Issued once more, at another time, with the same number and key.
    later = make_identity("leaf", issuer=authority, not_after=NOW).certificate
    assert revocations.is_revoked(later) == "dbx holds this certificate"
    renewed = make_identity("leaf", issuer=authority, serial=7).certificate
    assert revocations.is_revoked(renewed) is None


def test_revocations_add_up() -> None:
    one_certificate, two = make_identity("1").certificate, make_identity("2").certificate
    both = Revocations.from_lists(
        [one(esl.CERT_X509, one_certificate.der)]
    ) | Revocations.from_lists([one(esl.CERT_SHA256, two.fingerprint)])
    assert both.is_revoked(one_certificate)
    assert both.is_revoked(two)
    assert both.is_revoked(make_identity("3").certificate) is None
