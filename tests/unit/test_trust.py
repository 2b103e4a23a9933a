"""Trust stores, and the verdicts they lead to."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from uuid import UUID

import pytest

from sysgraft.errors import FormatError, TruncatedError
from sysgraft.formats import cms, cms_signer, efivar, esl
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.roothash import sign_root_hash
from sysgraft.sign.verify import trust
from sysgraft.sign.verify.roothash import RoothashVerdict, check_roothash_signature
from sysgraft.testing.certificates import NOW, Identity, make_identity
from sysgraft.testing.efivars import FakeEfiVariables, certificate_list, secure_boot_values

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
ROOT_HASH = bytes(range(32))
NOBODY = trust.TrustStore()


def signed(identity: Identity, *, include_certificate: bool = True) -> bytes:
    return sign_root_hash(
        ROOT_HASH,
        load_private_key(identity.key_pem),
        identity.certificate,
        include_certificate=include_certificate,
    )


def check(
    pkcs7: bytes,
    store: trust.TrustStore,
    *,
    root_hash: bytes = ROOT_HASH,
    fingerprint: bytes | None = None,
    now: datetime = NOW,
) -> RoothashVerdict:
    return check_roothash_signature(pkcs7, root_hash, fingerprint=fingerprint, store=store, now=now)


def states(verdict: RoothashVerdict) -> tuple[str, str, str]:
    return verdict.signature.status, verdict.trust.status, verdict.revocation.status


def trusting(*identities: Identity) -> trust.TrustStore:
    store = NOBODY
    for each in identities:
        store |= trust.from_certificates(each.certificate_pem, f"{each.certificate.subject}.pem")
    return store


def dbx(*identities: Identity) -> trust.TrustStore:
    ders = (each.certificate.der for each in identities)
    return trust.from_dbx(certificate_list(*ders, owner=OWNER), "dbx.esl")


# --- Verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rsa-2048", "p256", "p384", "p521"])
@pytest.mark.parametrize("include_certificate", [True, False])
def test_a_trusted_signature_is_good(kind: str, include_certificate: bool) -> None:
    identity = make_identity(kind=kind)  # type: ignore[arg-type]
    verdict = check(signed(identity, include_certificate=include_certificate), trusting(identity))
    assert states(verdict) == ("ok", "ok", "skipped")
    assert verdict.revocation.reason == "no dbx given"
    assert verdict.notes == ()
    assert verdict.signer is not None
    assert verdict.signer.certificate == identity.certificate
    assert verdict.signer.source == f"{identity.certificate.subject}.pem"


@pytest.mark.parametrize("include_certificate", [True, False])
def test_another_root_hash_is_refused(include_certificate: bool) -> None:
    identity = make_identity()
    pkcs7 = signed(identity, include_certificate=include_certificate)
    verdict = check(pkcs7, trusting(identity), root_hash=bytes(32))
    assert states(verdict) == ("fail", "fail", "skipped")


def test_the_certificate_inside_creates_no_trust() -> None:
    identity, other = make_identity(), make_identity("other")
    for store in (NOBODY, trusting(other)):
        verdict = check(signed(identity), store)
        assert states(verdict) == ("ok", "fail", "skipped")
        assert verdict.signer is not None
        assert verdict.signer.certificate == identity.certificate
        assert verdict.signer.source == ""
    assert check(signed(identity), NOBODY).trust.reason == "no trusted certificate given"


def test_without_any_certificate_the_signature_is_skipped_and_trust_fails() -> None:
    identity = make_identity(serial=0x1234ABCD)
    verdict = check(signed(identity, include_certificate=False), trusting(make_identity("x")))
    assert states(verdict) == ("skipped", "fail", "skipped")
    assert verdict.signature.reason == (
        "cannot be checked: the signature carries no certificate and none given matches "
        "issuer CN=test signer,O=sysgraft tests serial 1234ABCD"
    )
    assert verdict.signer is not None
    assert verdict.signer.certificate is None


def test_trust_in_the_issuer_is_not_trust_in_what_it_issued() -> None:
    root = make_identity("root")
    leaf = make_identity("leaf", issuer=root)
    assert states(check(signed(leaf), trusting(root))) == ("ok", "fail", "skipped")
    assert states(check(signed(leaf), trusting(leaf))) == ("ok", "ok", "skipped")


def test_a_key_that_only_claims_the_trusted_name_is_refused() -> None:
    trusted = make_identity()
    forger = make_identity(kind="p256")
    assert forger.certificate.issuer_der == trusted.certificate.issuer_der
    for include_certificate in (True, False):
        pkcs7 = signed(forger, include_certificate=include_certificate)
        assert states(check(pkcs7, trusting(trusted))) == ("fail", "fail", "skipped")


def test_a_signature_by_the_trusted_key_with_a_foreign_certificate_inside_is_refused() -> None:
    trusted = make_identity()
    reissued = make_identity(not_after=datetime(2119, 1, 1, tzinfo=UTC))
    assert reissued.certificate.key_der == trusted.certificate.key_der
    verdict = check(signed(reissued), trusting(trusted))
    assert states(verdict) == ("fail", "ok", "skipped")
    assert "another certificate than the trusted" in verdict.signature.reason


def test_certificates_inside_must_be_the_signers() -> None:
    identity, other = make_identity(), make_identity("other")
    parsed = cms.parse(signed(identity))
    swapped = cms.serialise(dataclasses.replace(parsed, certificates=(other.certificate.der,)))
    assert states(check(swapped, trusting(identity))) == ("fail", "ok", "skipped")
    both = (identity.certificate.der, other.certificate.der)
    chain = cms.serialise(dataclasses.replace(parsed, certificates=both))
    verdict = check(chain, trusting(identity))
    assert states(verdict) == ("ok", "ok", "skipped")
    assert verdict.notes == ("nothing was done with 1 further certificates inside the signature",)


def test_content_inside_the_signature_is_refused() -> None:
    identity = make_identity()
    inside = dataclasses.replace(cms.parse(signed(identity)), content=ROOT_HASH.hex().encode())
    verdict = check(cms.serialise(inside), trusting(identity))
    assert verdict.signature.status == "fail"
    assert "detached" in verdict.signature.reason


def test_the_fingerprint_must_be_the_signers() -> None:
    identity = make_identity()
    pkcs7, store = signed(identity), trusting(identity)
    right = identity.certificate.fingerprint
    assert states(check(pkcs7, store, fingerprint=right))[0] == "ok"
    for wrong in (bytes(32), b"", right[:-1]):
        verdict = check(pkcs7, store, fingerprint=wrong)
        assert states(verdict) == ("fail", "ok", "skipped")
        assert right.hex() in verdict.signature.reason


@pytest.mark.parametrize(
    ("now", "note"),
    [
        (datetime(2121, 1, 1, tzinfo=UTC), "the signer's certificate expired on 2120-01-01"),
        (
            datetime(2019, 1, 1, tzinfo=UTC),
            "the signer's certificate is valid only from 2020-01-01",
        ),
    ],
)
def test_dates_are_a_note_only(now: datetime, note: str) -> None:
    identity = make_identity()
    verdict = check(signed(identity), trusting(identity), now=now)
    assert states(verdict) == ("ok", "ok", "skipped")
    assert verdict.notes == (note,)


def test_a_revoked_signer_fails_revocation_alone() -> None:
    identity, other = make_identity(), make_identity("other")
    for include_certificate in (True, False):
        pkcs7 = signed(identity, include_certificate=include_certificate)
        revoked = check(pkcs7, trusting(identity) | dbx(other, identity))
        assert states(revoked) == ("ok", "ok", "fail")
        assert revoked.revocation.reason == "dbx holds this certificate"
        assert states(check(pkcs7, trusting(identity) | dbx(other))) == ("ok", "ok", "ok")
        assert states(check(pkcs7, trusting(identity) | dbx())) == ("ok", "ok", "ok")
        assert states(check(pkcs7, dbx(identity) | trusting(identity))) == ("ok", "ok", "fail")


def test_a_signer_issued_by_a_revoked_certificate_is_revoked() -> None:
    root = make_identity("root")
    leaf = make_identity("leaf", issuer=root)
    verdict = check(signed(leaf), trusting(leaf) | dbx(root))
    assert states(verdict) == ("ok", "ok", "fail")


def test_a_revoked_root_is_found_through_trusted_and_embedded_certificates() -> None:
    root = make_identity("root")
    inter = make_identity("inter", issuer=root)
    leaf = make_identity("leaf", issuer=inter)
    pkcs7 = signed(leaf)
    for trusted in (trusting(leaf, inter, root), trusting(leaf, inter)):
        verdict = check(pkcs7, trusted | dbx(root))
        assert states(verdict) == ("ok", "ok", "fail")
        assert verdict.revocation.reason.startswith("CN=inter")
    both = (leaf.certificate.der, inter.certificate.der)
    embedding = cms.serialise(dataclasses.replace(cms.parse(pkcs7), certificates=both))
    assert states(check(embedding, trusting(leaf) | dbx(root))) == ("ok", "ok", "fail")
    assert states(check(pkcs7, trusting(leaf) | dbx(root))) == ("ok", "ok", "ok")


def test_two_trusted_namesakes_are_ambiguous() -> None:
    wrong, right = make_identity(kind="p256"), make_identity()
    for store in (trusting(wrong, right), trusting(right, wrong)):
        verdict = check(signed(right, include_certificate=False), store)
        assert states(verdict) == ("ok", "fail", "skipped")
        assert verdict.signer is not None
        assert verdict.signer.certificate == right.certificate
        assert verdict.trust.reason.startswith("2 different trusted certificates have issuer CN=")
        assert "systemd would try only the first" in verdict.trust.reason
    twice = check(signed(right), trusting(right, right))
    assert (states(twice), twice.notes) == (("ok", "ok", "skipped"), ())


def test_every_signer_must_be_trusted() -> None:
    one, two = make_identity("one"), make_identity("two")
    parts = [cms.parse(signed(each)) for each in (one, two)]
    joint = cms.serialise(
        cms.SignedData(
            (cms_signer.SHA256,),
            tuple(each.signers[0] for each in parts),
            tuple(each.certificates[0] for each in parts),
        )
    )
    assert states(check(joint, trusting(one, two)))[:2] == ("ok", "ok")
    assert states(check(joint, trusting(one)))[:2] == ("ok", "fail")
    assert states(check(joint, trusting(two)))[:2] == ("ok", "fail")
    assert states(check(joint, trusting(one, two) | dbx(two))) == ("ok", "ok", "fail")


def test_what_was_left_out_of_the_store_is_a_note_of_the_verdict() -> None:
    identity = make_identity()
    junk = trust.from_folder({"junk.crt": b"junk", "torn.crt": b"torn"}, "/etc/verity.d")
    assert len(junk.notes) == 2
    for store in (junk | trusting(identity), junk):
        assert check(signed(identity), store).notes == junk.notes
        assert check(b"no signature", store).notes == junk.notes
    assert junk.notes[0] in check(signed(identity), junk).trust.reason


@pytest.mark.parametrize("pkcs7", [b"", b"\0", b"hello", bytes(100), bytes(1 << 20)])
def test_what_is_no_signature_is_an_answer_not_an_error(pkcs7: bytes) -> None:
    verdict = check(pkcs7, trusting(make_identity()) | dbx())
    assert states(verdict) == ("fail", "fail", "skipped")
    assert verdict.signer is None


def test_a_broken_certificate_inside_is_an_answer_not_an_error() -> None:
    identity = make_identity()
    broken = dataclasses.replace(cms.parse(signed(identity)), certificates=(b"\x30\x02\x05\x00",))
    assert states(check(cms.serialise(broken), trusting(identity)))[:2] == ("fail", "fail")


def test_a_signers_key_that_cannot_be_used_is_an_answer_not_an_error() -> None:
    usable, edwards = make_identity(), make_identity(kind="ed25519")
    verdict = check(signed(usable, include_certificate=False), trusting(edwards))
    assert states(verdict) == ("fail", "fail", "skipped")
    assert "neither RSA nor EC" in verdict.signature.reason


# --- Stores --------------------------------------------------------------------------------------


def sources(store: trust.TrustStore) -> list[tuple[str, str]]:
    return [(each.certificate.subject[:4], each.source) for each in store.certificates]


def test_a_file_may_hold_one_certificate_or_several() -> None:
    one, two = make_identity("1"), make_identity("2")
    bundle = one.certificate_pem + two.certificate_pem
    assert sources(trust.from_certificates(bundle, "b.pem")) == [
        ("CN=1", "b.pem"),
        ("CN=2", "b.pem"),
    ]
    assert sources(trust.from_certificates(one.certificate.der, "d.der")) == [("CN=1", "d.der")]
    with pytest.raises(FormatError) as caught:
        trust.from_certificates(b"nothing", "bad.pem")
    assert caught.value.file == "bad.pem"


def test_a_folder_is_read_as_systemd_reads_verity_d() -> None:
    one, two, three = (make_identity(name) for name in "123")
    store = trust.from_folder(
        {
            "z.crt": one.certificate_pem,
            "a.crt": two.certificate_pem + three.certificate_pem,
            "der.crt": one.certificate.der,
            "masked.crt": b"",
            "key.crt": one.key_pem,
            "torn.crt": one.certificate_pem[:-40],
            "other.pem": three.certificate_pem,
        },
        "/etc/verity.d",
    )
    assert sources(store) == [("CN=2", "/etc/verity.d/a.crt"), ("CN=1", "/etc/verity.d/z.crt")]
    assert store.revocations is None
    assert [note.partition(": ")[0].rpartition("/")[2] for note in store.notes] == [
        "a.crt",
        "der.crt",
        "key.crt",
        "masked.crt",
        "other.pem",
        "torn.crt",
    ]


def test_signature_lists_give_their_certificates() -> None:
    one = make_identity("1")
    data = certificate_list(one.certificate.der, b"junk", owner=OWNER) + esl.serialise(
        [esl.SignatureList(esl.CERT_SHA256, (esl.Signature(OWNER, bytes(32)),))]
    )
    store = trust.from_signature_lists(data, "db.esl")
    assert sources(store) == [("CN=1", "db.esl")]
    assert len(store.notes) == 2
    with pytest.raises(TruncatedError) as caught:
        trust.from_signature_lists(data[:-1], "db.esl")
    assert caught.value.file == "db.esl"


def firmware(
    *,
    secure_boot: int | None = 1,
    setup_mode: int | None = 0,
    revoked: Identity | None = None,
) -> FakeEfiVariables:
    databases = {
        name: certificate_list(make_identity(name).certificate.der, owner=OWNER)
        for name in ("PK", "KEK", "db")
    }
    if revoked:
        databases["dbx"] = certificate_list(revoked.certificate.der, owner=OWNER)
    return FakeEfiVariables(
        secure_boot_values(secure_boot=secure_boot, setup_mode=setup_mode, databases=databases),
        "efivars",
    )


def test_firmware_databases_count_with_secure_boot_on() -> None:
    store = trust.from_efivars(firmware())
    assert [each.source for each in store.certificates] == [
        "PK of efivars",
        "KEK of efivars",
        "db of efivars",
    ]
    assert store.notes == ()
    for name in ("PK", "KEK", "db"):
        assert states(check(signed(make_identity(name)), store)) == ("ok", "ok", "ok")


def test_what_dbx_holds_is_revoked() -> None:
    store = trust.from_efivars(firmware(revoked=make_identity("db")))
    assert states(check(signed(make_identity("db")), store)) == ("ok", "ok", "fail")
    assert states(check(signed(make_identity("KEK")), store)) == ("ok", "ok", "ok")


@pytest.mark.parametrize(
    ("secure_boot", "setup_mode", "reason"),
    [
        (0, 0, "SecureBoot is 0, not 1"),
        (1, 1, "SetupMode is 1, not 0"),
        (0, 1, "SecureBoot is 0, not 1"),
        (None, 0, "there is no variable SecureBoot"),
        (1, None, "there is no variable SetupMode"),
        (2, 0, "SecureBoot is 2, not 1"),
    ],
)
def test_firmware_databases_do_not_count_otherwise(
    secure_boot: int | None, setup_mode: int | None, reason: str
) -> None:
    revoked = make_identity("db")
    variables = firmware(secure_boot=secure_boot, setup_mode=setup_mode, revoked=revoked)
    store = trust.from_efivars(variables)
    assert store.certificates == ()
    assert store.notes == (f"no certificate of efivars is trusted: {reason}",)
    verdict = check(signed(revoked), store)
    assert states(verdict) == ("ok", "fail", "fail")
    assert reason in verdict.trust.reason


def changed(name: str, attributes: int) -> FakeEfiVariables:
    """A firmware with all databases, one variable of which has these attributes."""
    lists = {
        each: certificate_list(make_identity(each).certificate.der, owner=OWNER)
        for each in ("PK", "KEK", "db", "dbx")
    }
    values = secure_boot_values(databases=lists)
    (key,) = (key for key in values if key[0] == name)
    values[key] = values[key]._replace(attributes=attributes)
    return FakeEfiVariables(values, "efivars")


@pytest.mark.parametrize("name", ["PK", "KEK", "db", "dbx"])
@pytest.mark.parametrize(("attributes", "shown"), [(0x07, "0x7"), (0x06, "0x6"), (0x37, "0x37")])
def test_databases_anybody_can_write_are_not_trusted(
    name: str, attributes: int, shown: str
) -> None:
    store = trust.from_efivars(changed(name, attributes))
    assert store.certificates == ()
    reason = f"{name} can be written without a signature (attributes {shown})"
    assert store.notes == (f"no certificate of efivars is trusted: {reason}",)
    assert store.revocations is not None
    assert store.revocations.is_revoked(make_identity("dbx").certificate)


@pytest.mark.parametrize("name", ["SecureBoot", "SetupMode"])
def test_a_state_that_somebody_stored_is_not_the_firmwares(name: str) -> None:
    assert len(trust.from_efivars(changed(name, 0x06)).certificates) == 3
    store = trust.from_efivars(changed(name, 0x07))
    assert store.certificates == ()
    assert f"{name} is a stored variable" in store.notes[0]


def test_a_state_of_several_bytes_is_no_state() -> None:
    state = efivar.EfiVariable(efivar.STATE_ATTRIBUTES, b"\1\0")
    variables = FakeEfiVariables({("SecureBoot", efivar.GLOBAL_VARIABLE): state})
    assert "SecureBoot is of 2 bytes" in trust.from_efivars(variables).notes[0]


def test_a_broken_dbx_is_not_passed_over() -> None:
    values = secure_boot_values(databases={"dbx": b"junk"})
    with pytest.raises(TruncatedError):
        trust.from_efivars(FakeEfiVariables(values))


def test_stores_add_up() -> None:
    one, two = make_identity("1"), make_identity("2")
    store = trusting(one) | dbx(two) | trusting(two) | dbx(one)
    assert len(store.certificates) == 2
    assert store.revocations is not None
    assert store.revocations.is_revoked(one.certificate)
    assert store.revocations.is_revoked(two.certificate)
    assert (trusting(one) | trusting(two)).revocations is None
    assert (trusting(one) | dbx()).revocations is not None
    assert (dbx() | trusting(one)).revocations is not None
