"""Verdicts on executables: chains, databases, revocations, several signatures."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from executables import image_digest, make_authority, make_pe, signature_of
from sysgraft.formats import authenticode, cms, cms_signer, esl
from sysgraft.formats import der as asn1
from sysgraft.formats.cms_attributes import attribute
from sysgraft.sign.verify import chain, trust
from sysgraft.sign.verify.authenticode import ImageVerdict, Judge
from sysgraft.sign.verify.opened_signature import needed_digests, open_signature
from sysgraft.testing.certificates import NOW, Identity, make_identity
from sysgraft.testing.efivars import FakeEfiVariables, certificate_list, secure_boot_values

if TYPE_CHECKING:
    from collections.abc import Sequence

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
IMAGE = make_pe()
DIGESTS = {name: image_digest(IMAGE, name).value for name in ("sha1", "sha256", "sha384", "sha512")}
NOBODY = trust.TrustStore()
CURVE_NOTE = "firmware that is built without elliptic curves, as many are, takes only RSA"
ROOT = make_authority("root", kind="p256")
INTER = make_authority("inter", kind="p256", issuer=ROOT)
LEAF = make_identity("leaf", kind="p256", issuer=INTER)
ALONE = make_identity("alone", kind="p256")


def signed_by(identity: Identity, *above: Identity) -> bytes:
    return signature_of(IMAGE, identity, above)


def judge(
    signatures: Sequence[bytes],
    store: trust.TrustStore,
    *,
    now: datetime = NOW,
    digests: dict[str, bytes] | None = None,
) -> ImageVerdict:
    opened = [open_signature(each) for each in signatures]
    needed = needed_digests(opened, store) | {"sha256"}
    known = {name: value for name, value in (digests or DIGESTS).items() if name in needed}
    return Judge(opened, store, now).verdict(known)


def states(verdict: ImageVerdict) -> tuple[str, str, str]:
    return verdict.signature.status, verdict.trust.status, verdict.revocation.status


def notes(verdict: ImageVerdict) -> tuple[str, ...]:
    """Its notes, but for the one that goes with every elliptic curve."""
    return tuple(note for note in verdict.notes if not note.endswith(CURVE_NOTE))


def trusting(*identities: Identity) -> trust.TrustStore:
    store = NOBODY
    for each in identities:
        store |= trust.from_certificates(each.certificate_pem, f"{each.certificate.subject}.pem")
    return store


def hashes(kind: UUID, *values: bytes) -> bytes:
    entries = tuple(esl.Signature(OWNER, value) for value in values)
    return esl.serialise([esl.SignatureList(kind, entries)])


def dbx(*identities: Identity, lists: bytes = b"") -> trust.TrustStore:
    ders = (each.certificate.der for each in identities)
    return trust.from_dbx(certificate_list(*ders, owner=OWNER) + lists, "dbx.esl")


def db(lists: bytes) -> trust.TrustStore:
    return trust.from_signature_lists(lists, "db.esl", for_executables=True)


# --- Who signed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rsa-2048", "p256", "p384", "p521"])
def test_the_signers_own_certificate_is_enough(kind: str) -> None:
    identity = make_identity(kind=kind)  # type: ignore[arg-type]
    verdict = judge([signed_by(identity)], trusting(identity))
    assert states(verdict) == ("ok", "ok", "skipped")
    assert verdict.notes == (() if kind == "rsa-2048" else (CURVE_NOTE,))
    (only,) = verdict.signatures
    assert only.signer is not None
    assert only.signer.source == f"{identity.certificate.subject}.pem"
    assert only.signer.certificate == identity.certificate
    assert only.digest is not None
    assert only.digest.value == DIGESTS["sha256"]


def test_the_certificate_inside_creates_no_trust() -> None:
    for store in (NOBODY, trusting(make_identity("other", kind="p256"))):
        verdict = judge([signed_by(ALONE)], store)
        assert states(verdict) == ("ok", "fail", "skipped")
    assert judge([signed_by(ALONE)], NOBODY).trust.reason == "no trusted certificate given"


@pytest.mark.parametrize("trusted", [LEAF, INTER, ROOT])
def test_any_certificate_of_the_chain_may_be_trusted(trusted: Identity) -> None:
    verdict = judge([signed_by(LEAF, INTER)], trusting(trusted))
    assert states(verdict) == ("ok", "ok", "skipped")
    assert (f"below {trusted.certificate.subject}" in verdict.trust.reason) == (trusted != LEAF)


def test_a_link_that_is_missing_breaks_the_chain() -> None:
    assert states(judge([signed_by(LEAF)], trusting(ROOT))) == ("ok", "fail", "skipped")
    assert states(judge([signed_by(LEAF)], trusting(INTER))) == ("ok", "ok", "skipped")
    # Trust inputs may supply it too, as a db with several certificates would not; they are more.
    assert states(judge([signed_by(LEAF)], trusting(INTER, ROOT))) == ("ok", "ok", "skipped")


def test_a_root_inside_the_signature_is_a_link_only() -> None:
    verdict = judge([signed_by(LEAF, INTER, ROOT)], trusting(ALONE))
    assert states(verdict) == ("ok", "fail", "skipped")


def test_who_is_no_authority_issues_nothing() -> None:
    plain = make_identity("plain", kind="p256")
    below = make_identity("below", kind="p256", issuer=plain)
    verdict = judge([signed_by(below)], trusting(plain))
    assert states(verdict) == ("ok", "fail", "skipped")
    assert verdict.trust.reason == (
        "CN=plain,O=sysgraft tests of CN=plain,O=sysgraft tests.pem is no issuer: "
        "it has no basicConstraints"
    )


def test_an_issuer_that_was_not_meant_issued_nothing() -> None:
    above = make_authority(
        "meant",
        kind="p256",
        extensions=[
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (x509.SubjectKeyIdentifier(b"one"), False),
        ],
    )
    for key, status in ((b"one", "ok"), (b"two", "fail")):
        meant = (x509.AuthorityKeyIdentifier(key, None, None), False)
        below = make_authority("below it", kind="p256", issuer=above, extensions=[meant])
        verdict = judge([signed_by(below)], trusting(above))
        assert states(verdict) == ("ok", status, "skipped")
        assert ("names another key" in verdict.trust.reason) == (status == "fail")
        # To revoke, the name and the signature are enough.
        assert judge([signed_by(below)], dbx(above)).revocation.status == "fail"


def test_an_issuer_under_another_spelling_revokes_and_does_not_trust() -> None:
    above = make_authority("spelling", kind="p256")
    spelt = Identity(above.key, make_authority("SPELLING", kind="p256").certificate)
    below = make_identity("below spelling", kind="p256", issuer=spelt)
    assert states(judge([signed_by(below)], trusting(above))) == ("ok", "fail", "skipped")
    assert states(judge([signed_by(below)], trusting(below) | dbx(above))) == ("ok", "ok", "fail")


def test_the_length_of_the_path_is_kept() -> None:
    short = make_authority("short", kind="p256", path_length=0)
    inter = make_authority("inter of short", kind="p256", issuer=short)
    direct = make_identity("direct", kind="p256", issuer=short)
    deep = make_identity("deep", kind="p256", issuer=inter)
    assert states(judge([signed_by(direct)], trusting(short)))[1] == "ok"
    assert states(judge([signed_by(deep, inter)], trusting(short)))[1] == "fail"
    assert states(judge([signed_by(deep, inter)], trusting(inter)))[1] == "ok"


def test_a_namesake_of_the_root_issues_nothing() -> None:
    namesake = make_authority("root", kind="p384")
    assert namesake.certificate.subject_der == ROOT.certificate.subject_der
    verdict = judge([signed_by(LEAF, INTER)], trusting(namesake))
    assert states(verdict) == ("ok", "fail", "skipped")
    inter = judge([signed_by(INTER)], trusting(namesake))
    assert "it did not sign this one" in inter.trust.reason


def test_of_two_ways_firmware_may_take_the_wrong_one() -> None:
    namesake = make_authority("inter", kind="p384", issuer=ROOT)
    crossed = Identity(INTER.key, make_authority("inter", kind="p256", issuer=ALONE).certificate)
    for other in (namesake, crossed):
        for inside in ((INTER, other), (other, INTER)):
            signature = signed_by(LEAF, *inside)
            assert states(judge([signature], trusting(ROOT)))[1] == "fail"
            # Firmware looks among what it trusts first.
            assert states(judge([signature], trusting(INTER)))[1] == "ok"
            assert states(judge([signature], trusting(LEAF)))[1] == "ok"
    twice = signed_by(LEAF, INTER, INTER, ROOT)
    assert states(judge([twice], trusting(ROOT)))[1] == "ok"


def test_what_is_self_signed_has_to_be_trusted_itself() -> None:
    """OpenSSL calls another certificate for its name and key a mimic."""
    old = make_authority("again", kind="p256")
    new = make_authority("again", kind="p256", path_length=3)
    assert (old.key, old.certificate.der != new.certificate.der) == (new.key, True)
    below = make_identity("below again", kind="p256", issuer=old)
    assert states(judge([signed_by(old)], trusting(new)))[1] == "fail"
    assert states(judge([signed_by(below, old)], trusting(new)))[1] == "ok"
    assert states(judge([signed_by(new)], trusting(new)))[1] == "ok"


def test_issuers_in_a_circle_and_long_chains_come_to_an_end() -> None:
    one = make_authority("one", kind="p256")
    two = make_authority("two", kind="p256", issuer=one)
    back = make_authority("one", kind="p256", issuer=two)
    signer = make_identity("signer", kind="p256", issuer=back)
    assert states(judge([signed_by(signer, back, two)], trusting(ALONE)))[1] == "fail"
    links = [make_authority("0", kind="p256")]
    for number in range(1, chain.MAX_LENGTH + 2):
        links.append(make_authority(str(number), kind="p256", issuer=links[-1]))
    fits = [signed_by(links[-1], *links[1:-1]), signed_by(links[-2], *links[1:-2])]
    assert [states(judge([each], trusting(links[0])))[1] for each in fits] == ["fail", "ok"]


def test_the_signers_certificate_has_to_be_inside() -> None:
    for kept in ((), (ROOT.certificate.der,)):
        signed = authenticode.parse(signed_by(ALONE)).signed
        der = cms.serialise(dataclasses.replace(signed, certificates=kept))
        verdict = judge([der], trusting(ALONE))
        assert states(verdict) == ("fail", "fail", "skipped")
        assert "which firmware needs" in verdict.signature.reason


def test_two_certificates_that_may_be_the_signers_are_one_too_many() -> None:
    """OpenSSL takes the first, whoever signed, and compares names in its own form."""
    issuer = make_identity("ALONE", kind="p256")
    serial = ALONE.certificate.serial
    spelt = make_identity("anybody", kind="p256", issuer=issuer, serial=serial)
    signed = authenticode.parse(signed_by(ALONE)).signed
    for namesake in (make_identity("alone", kind="p384"), spelt):
        ders = (namesake.certificate.der, ALONE.certificate.der)
        for both in (ders, ders[::-1]):
            der = cms.serialise(dataclasses.replace(signed, certificates=both))
            verdict = judge([der], trusting(ALONE))
            assert states(verdict) == ("fail", "fail", "skipped")
            assert "2 certificates inside have its signer's issuer" in verdict.signature.reason
            assert states(judge([der], trusting(ALONE) | dbx(ROOT))) == ("fail", "fail", "fail")
    twice = cms.serialise(dataclasses.replace(signed, certificates=signed.certificates * 2))
    assert states(judge([twice], trusting(ALONE))) == ("ok", "ok", "skipped")


def test_another_executable_is_not_what_was_signed() -> None:
    other = {**DIGESTS, "sha256": bytes(32)}
    verdict = judge([signed_by(ALONE)], trusting(ALONE), digests=other)
    assert states(verdict) == ("fail", "fail", "skipped")
    assert f"its sha256 is {bytes(32).hex()}" in verdict.signature.reason
    assert "did not make a sound signature" in verdict.trust.reason


def test_a_key_that_only_claims_the_name_is_refused() -> None:
    forger = make_identity("alone", kind="p384")
    signed = authenticode.parse(signed_by(forger)).signed
    der = cms.serialise(dataclasses.replace(signed, certificates=(ALONE.certificate.der,)))
    verdict = judge([der], trusting(ALONE))
    assert states(verdict) == ("fail", "fail", "skipped")
    assert "did not make this signature" in verdict.signature.reason


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (datetime(2121, 1, 1, tzinfo=UTC), "expired on 2120-01-01"),
        (datetime(2019, 1, 1, tzinfo=UTC), "valid only from 2020-01-01"),
    ],
)
def test_dates_are_a_note_only(now: datetime, words: str) -> None:
    verdict = judge([signed_by(ALONE)], trusting(ALONE), now=now)
    assert states(verdict) == ("ok", "ok", "skipped")
    (note,) = notes(verdict)
    assert words in note


def test_what_nobody_signed_is_a_note() -> None:
    signed = authenticode.parse(signed_by(LEAF, INTER, ALONE)).signed
    kinds = ("1.3.6.1.4.1.311.3.3.1", "1.2.3.4")
    found = (attribute(asn1.encode_oid(kind), asn1.encode_integer(1)) for kind in kinds)
    unsigned = asn1.encode(asn1.SET, *found)
    signer = dataclasses.replace(signed.signers[0], unsigned_attributes=unsigned)
    der = cms.serialise(dataclasses.replace(signed, signers=(signer,)))
    verdict = judge([der], trusting(ROOT))
    assert states(verdict) == ("ok", "ok", "skipped")
    assert verdict.signatures[0].timestamp == "RFC 3161"
    assert notes(verdict) == (
        "the time stamp (RFC 3161) is not verified",
        "nobody signed the attributes 1.2.3.4 of the signature",
        "nothing was done with 1 further certificates inside the signature",
    )


def test_purposes_do_not_count() -> None:
    server = make_authority(
        "server",
        kind="p256",
        extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True)],
    )
    assert states(judge([signed_by(server)], trusting(server))) == ("ok", "ok", "skipped")


def test_a_signer_with_an_unknown_critical_extension_does_not_count() -> None:
    unknown = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b""), True)
    odd = make_authority("odd", kind="p256", extensions=[unknown])
    verdict = judge([signed_by(odd)], trusting(odd))
    assert states(verdict) == ("ok", "fail", "skipped")
    assert "its critical extension 1.2.3 is not evaluated" in verdict.trust.reason


# --- Several signatures, and none ----------------------------------------------------------------


def test_one_trusted_signature_is_enough_in_any_place() -> None:
    other = make_identity("other", kind="p256")
    for order in ([ALONE, other], [other, ALONE]):
        verdict = judge([signed_by(each) for each in order], trusting(ALONE))
        assert states(verdict) == ("ok", "ok", "skipped")
        assert [each.holds for each in verdict.signatures] == [each is ALONE for each in order]
        assert "CN=alone" in verdict.signature.reason
        assert notes(verdict) == ()


def test_a_signature_that_does_not_hold_is_a_note_beside_one_that_does() -> None:
    stale = signature_of(make_pe([(".text", b"\x90")]), make_identity("other", kind="p256"))
    verdict = judge([stale, signed_by(ALONE)], trusting(ALONE))
    assert states(verdict) == ("ok", "ok", "skipped")
    assert [note[:26] for note in notes(verdict)] == ["signature 1 does not hold:"]


def test_what_is_no_signature_is_not_passed_over() -> None:
    for junk in (b"junk", signed_by(ALONE)[:-1], b"\x30\x82\x01\x00" + bytes(256)):
        for order in ([junk, signed_by(ALONE)], [signed_by(ALONE), junk]):
            verdict = judge(order, trusting(ALONE))
            assert states(verdict) == ("fail", "ok", "skipped")


def test_a_signature_of_a_kind_not_accepted_is_a_note_beside_one_that_is() -> None:
    sha1 = asn1.encode_algorithm("1.3.14.3.2.26", asn1.DER_NULL)
    signed = authenticode.parse(signed_by(make_identity("old", kind="p256"))).signed
    signer = dataclasses.replace(signed.signers[0], digest_der=sha1)
    old = cms.serialise(dataclasses.replace(signed, digests=(sha1,), signers=(signer,)))
    verdict = judge([old, signed_by(ALONE)], trusting(ALONE))
    assert states(verdict) == ("ok", "ok", "skipped")
    assert "1.3.14.3.2.26" in notes(verdict)[0]
    assert states(judge([old], trusting(ALONE))) == ("fail", "fail", "skipped")


def test_a_broken_certificate_inside_is_an_answer_not_an_error() -> None:
    signed = authenticode.parse(signed_by(ALONE)).signed
    ders = (*signed.certificates, b"\x30\x02\x05\x00")
    der = cms.serialise(dataclasses.replace(signed, certificates=ders))
    assert states(judge([der], trusting(ALONE))) == ("fail", "fail", "skipped")


def test_unsigned_is_neither_good_nor_broken() -> None:
    verdict = judge([], trusting(ALONE))
    assert states(verdict) == ("skipped", "skipped", "skipped")
    assert states(judge([], trusting(ALONE) | dbx(ALONE))) == ("skipped", "skipped", "ok")


def test_what_was_left_out_of_the_store_is_a_note() -> None:
    store = db(certificate_list(b"junk", owner=OWNER))
    assert len(store.notes) == 1
    verdict = judge([signed_by(ALONE)], store | trusting(ALONE))
    assert notes(verdict) == store.notes
    assert store.notes[0] in judge([signed_by(ALONE)], store).trust.reason


# --- Revocations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("revoked", [LEAF, INTER, ROOT])
@pytest.mark.parametrize("trusted", [LEAF, INTER, ROOT])
def test_any_certificate_of_the_chain_may_be_revoked(revoked: Identity, trusted: Identity) -> None:
    verdict = judge([signed_by(LEAF, INTER)], trusting(trusted) | dbx(revoked))
    assert states(verdict) == ("ok", "ok", "fail")
    assert "CN=inter" in verdict.revocation.reason or "dbx holds" in verdict.revocation.reason


def test_a_strangers_revocation_does_not_matter() -> None:
    verdict = judge([signed_by(LEAF, INTER)], trusting(ROOT) | dbx(ALONE))
    assert states(verdict) == ("ok", "ok", "ok")
    assert verdict.revocation.reason == "none of 1 revocations concerns the executable"


def test_one_revoked_signature_is_enough() -> None:
    other = make_identity("other", kind="p256")
    for order in ([ALONE, other], [other, ALONE]):
        verdict = judge([signed_by(each) for each in order], trusting(ALONE) | dbx(other))
        assert states(verdict) == ("ok", "ok", "fail")
        assert "CN=other" in verdict.revocation.reason


def test_a_revoked_signature_counts_even_if_it_does_not_hold() -> None:
    other = make_identity("other", kind="p256")
    stale = signature_of(make_pe([(".text", b"\x90")]), other)
    verdict = judge([stale, signed_by(ALONE)], trusting(ALONE) | dbx(other))
    assert states(verdict) == ("ok", "ok", "fail")


def test_without_the_signers_certificate_nobody_inside_may_be_revoked() -> None:
    signed = authenticode.parse(signed_by(ALONE, INTER)).signed
    der = cms.serialise(dataclasses.replace(signed, certificates=(INTER.certificate.der,)))
    revoked = judge([der], trusting(ALONE) | dbx(INTER))
    assert states(revoked) == ("fail", "fail", "fail")
    assert revoked.revocation.reason.endswith("dbx holds this certificate")
    # Nobody knows whether it is the signer who is revoked.
    unknown = judge([der], trusting(ALONE) | dbx(LEAF))
    assert states(unknown) == ("fail", "fail", "fail")
    assert "so its signer may be revoked" in unknown.revocation.reason
    beside = judge([signed_by(LEAF), der], trusting(LEAF) | dbx(ROOT))
    assert states(beside) == ("ok", "ok", "fail")


def with_revocation_list(signed: cms.SignedData) -> bytes:
    """The same signature with an (empty) revocation list inside."""
    fields = asn1.open_der(cms.serialise(signed), "it")
    kind = fields.take_any().raw
    inner = fields.enter(cms_signer.CONTEXT_0).enter(asn1.SEQUENCE)
    parts = [inner.take_any().raw for _ in range(5)]
    crl = asn1.encode(cms_signer.CONTEXT_1, asn1.encode(asn1.SEQUENCE))
    content = asn1.encode(asn1.SEQUENCE, *parts[:4], crl, parts[4])
    return asn1.encode(asn1.SEQUENCE, kind, asn1.encode(cms_signer.CONTEXT_0, content))


def unjudged(identity: Identity) -> dict[str, bytes]:
    """Signatures that firmware may take and that are not accepted here."""
    signed = authenticode.parse(signed_by(identity)).signed
    (signer,) = signed.signers
    sha1 = asn1.encode_algorithm("1.3.14.3.2.26", asn1.DER_NULL)
    old = dataclasses.replace(signer, digest_der=sha1)
    bare = dataclasses.replace(signer, signed_attributes=None, message_digest=None)
    odd = (*signed.certificates, b"\x30\x02\x05\x00")
    return {
        "SHA-1": cms.serialise(dataclasses.replace(signed, digests=(sha1,), signers=(old,))),
        "no attributes": cms.serialise(dataclasses.replace(signed, signers=(bare,))),
        "a list": with_revocation_list(signed),
        "an odd certificate": cms.serialise(dataclasses.replace(signed, certificates=odd)),
    }


@pytest.mark.parametrize("kind", ["SHA-1", "no attributes", "a list", "an odd certificate"])
def test_a_signature_whose_signer_cannot_be_told_may_be_a_revoked_one(kind: str) -> None:
    other = make_identity("other", kind="p256")
    unknown = unjudged(other)[kind]
    assert open_signature(unknown).signature is None
    for order in ([unknown, signed_by(ALONE)], [signed_by(ALONE), unknown]):
        for revoked in (other, INTER):
            verdict = judge(order, trusting(ALONE) | dbx(revoked))
            assert verdict.trust.status == "ok"
            assert verdict.revocation.status == "fail"
            assert "so its signer may be revoked" in verdict.revocation.reason
        assert states(judge(order, trusting(ALONE)))[2] == "skipped"


def test_a_revoked_root_is_found_further_above_than_trust_climbs() -> None:
    links = [make_authority("far root", kind="p256")]
    for number in range(12):
        links.append(make_authority(f"far {number}", kind="p256", issuer=links[-1]))
    signer = make_identity("far signer", kind="p256", issuer=links[-1])
    signature = signed_by(signer, *links[1:])
    assert states(judge([signature], trusting(signer) | dbx(links[0]))) == ("ok", "ok", "fail")
    assert states(judge([signature], trusting(signer) | dbx(ALONE))) == ("ok", "ok", "ok")


def test_what_in_a_dbx_cannot_be_read_is_a_note() -> None:
    store = dbx(lists=certificate_list(b"junk", owner=OWNER))
    verdict = judge([signed_by(ALONE)], trusting(ALONE) | store)
    assert states(verdict) == ("ok", "ok", "ok")
    assert notes(verdict) == (
        "dbx.esl: a certificate that cannot be read: what it issued is known by its name only",
    )


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        (esl.CERT_X509_SHA256, "sha256"),
        (esl.CERT_X509_SHA384, "sha384"),
        (esl.CERT_X509_SHA512, "sha512"),
    ],
)
@pytest.mark.parametrize("revoked", [LEAF, INTER, ROOT])
def test_digests_of_certificates_revoke(kind: UUID, digest: str, revoked: Identity) -> None:
    import hashlib  # noqa: PLC0415

    value = hashlib.new(digest, revoked.certificate.tbs_der).digest() + bytes(16)
    store = trusting(ROOT) | dbx(lists=hashes(kind, value))
    assert states(judge([signed_by(LEAF, INTER)], store)) == ("ok", "ok", "fail")


KINDS = [
    (esl.CERT_SHA1, "sha1"),
    (esl.CERT_SHA256, "sha256"),
    (esl.CERT_SHA384, "sha384"),
    (esl.CERT_SHA512, "sha512"),
]


@pytest.mark.parametrize(("kind", "digest"), KINDS)
def test_digests_of_executables_revoke_signed_or_not(kind: UUID, digest: str) -> None:
    revoked = dbx(lists=hashes(kind, DIGESTS[digest]))
    verdict = judge([signed_by(ALONE)], trusting(ALONE) | revoked)
    assert states(verdict) == ("ok", "ok", "fail")
    assert verdict.revocation.reason == f"dbx holds the {digest} of this executable"
    assert states(judge([], revoked)) == ("skipped", "skipped", "fail")
    harmless = dbx(lists=hashes(kind, DIGESTS[digest][::-1]))
    assert states(judge([signed_by(ALONE)], trusting(ALONE) | harmless)) == ("ok", "ok", "ok")


def test_a_digest_in_dbx_weighs_more_than_the_same_in_db() -> None:
    lists = hashes(esl.CERT_SHA256, DIGESTS["sha256"])
    assert states(judge([], db(lists) | dbx(lists=lists))) == ("skipped", "ok", "fail")


# --- Trust by digest -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "digest"), KINDS)
def test_digests_in_db_trust_the_executable_itself(kind: UUID, digest: str) -> None:
    store = db(hashes(kind, bytes(len(DIGESTS[digest])), DIGESTS[digest]))
    verdict = judge([], store)
    if digest != "sha256":
        assert (states(verdict)[1], store.images) == ("skipped", ())
        (note,) = store.notes
        assert note == (
            f"db.esl: 2 digests of executables are not trusted: they are {digest}, "
            "and firmware takes sha256"
        )
        return
    assert states(verdict) == ("skipped", "ok", "skipped")
    assert verdict.by_digest == "db.esl"
    assert verdict.trust.reason == f"the {digest} of the executable is trusted by db.esl"
    other = {name: bytes(len(value)) + b"1" for name, value in DIGESTS.items()}
    assert states(judge([], store, digests=other)) == ("skipped", "skipped", "skipped")


def test_of_a_signed_executable_only_the_signatures_digest_counts() -> None:
    sha256 = db(hashes(esl.CERT_SHA256, DIGESTS["sha256"]))
    sha512 = db(hashes(esl.CERT_SHA512, DIGESTS["sha512"]))
    assert states(judge([signed_by(ALONE)], sha256)) == ("ok", "ok", "skipped")
    assert states(judge([signed_by(ALONE)], sha512)) == ("ok", "fail", "skipped")


def test_what_systemd_trusts_has_no_digests() -> None:
    lists = hashes(esl.CERT_SHA256, DIGESTS["sha256"])
    store = trust.from_signature_lists(lists, "db.esl")
    assert store.images == ()
    assert store.notes == ("db.esl: 1 entries are no certificates",)


def test_only_needed_digests_are_asked_for() -> None:
    opened = [open_signature(signed_by(ALONE))]
    assert needed_digests(opened, trusting(ALONE)) == {"sha256"}
    assert needed_digests([], NOBODY) == frozenset()
    store = db(hashes(esl.CERT_SHA384, bytes(48))) | dbx(lists=hashes(esl.CERT_SHA1, bytes(20)))
    assert needed_digests(opened, store) == {"sha1", "sha256"}
    assert needed_digests([open_signature(b"junk")], NOBODY) == frozenset()


# --- Firmware ------------------------------------------------------------------------------------


def firmware(
    *, revoked: Identity | None = None, secure_boot: int = 1, digests: bytes = b""
) -> FakeEfiVariables:
    names = {"PK": ROOT, "KEK": INTER, "db": ALONE}
    databases = {
        name: certificate_list(each.certificate.der, owner=OWNER) for name, each in names.items()
    }
    databases["db"] += digests
    if revoked:
        databases["dbx"] = certificate_list(revoked.certificate.der, owner=OWNER)
    values = secure_boot_values(secure_boot=secure_boot, databases=databases)
    return FakeEfiVariables(values, "efivars")


def test_firmware_starts_what_db_trusts_and_nothing_else() -> None:
    store = trust.from_efivars(firmware(), for_executables=True)
    assert [each.source for each in store.certificates] == ["db of efivars"]
    assert states(judge([signed_by(ALONE)], store)) == ("ok", "ok", "ok")
    for other in (ROOT, INTER, LEAF):
        assert states(judge([signed_by(other, INTER)], store)) == ("ok", "fail", "ok")
    everything = trust.from_efivars(firmware())
    assert states(judge([signed_by(ROOT)], everything)) == ("ok", "ok", "ok")


def test_firmware_trusts_digests_in_db() -> None:
    lists = hashes(esl.CERT_SHA256, DIGESTS["sha256"])
    store = trust.from_efivars(firmware(digests=lists), for_executables=True)
    assert states(judge([], store)) == ("skipped", "ok", "ok")


def test_firmware_refuses_what_dbx_revokes() -> None:
    store = trust.from_efivars(firmware(revoked=ALONE), for_executables=True)
    assert states(judge([signed_by(ALONE)], store)) == ("ok", "ok", "fail")


def test_firmware_that_enforces_nothing_is_trusted_with_nothing() -> None:
    lists = hashes(esl.CERT_SHA256, DIGESTS["sha256"])
    variables = firmware(secure_boot=0, digests=lists)
    store = trust.from_efivars(variables, for_executables=True)
    assert (store.certificates, store.images) == ((), ())
    verdict = judge([signed_by(ALONE)], store)
    assert states(verdict) == ("ok", "fail", "ok")
    assert "SecureBoot is 0" in verdict.trust.reason
