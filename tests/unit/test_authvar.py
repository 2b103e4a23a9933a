"""Signed updates of EFI variables: their bytes, what is signed, and what is refused."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from sysgraft.errors import (
    FormatError,
    KeyMaterialError,
    LimitError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from sysgraft.formats import authvar, cms, cms_signer
from sysgraft.formats.der import encode
from sysgraft.sign.authvar import sign_update
from sysgraft.sign.keys import load_private_key
from sysgraft.testing.certificates import Identity, KeyType, make_identity

TIME = datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC)
VALUE = b"signature lists"
DB = authvar.database("db")


def update_by(identity: Identity, *, target: authvar.Target = DB) -> authvar.SignedUpdate:
    key = load_private_key(identity.key_pem)
    return sign_update(target, VALUE, key=key, certificate=identity.certificate, time=TIME)


def test_the_header_has_the_bytes_of_the_specification() -> None:
    data = authvar.serialise(authvar.SignedUpdate(TIME, b"PKCS7", b"value"))
    assert data == bytes.fromhex(
        "ea07 0b 1a 01 02 03 00 00000000 0000 00 00"  # EFI_TIME
        "1d000000 0002 f10e 9dd2af4adf68ee498aa9347d375665a7"  # WIN_CERTIFICATE_UEFI_GUID
    ) + (b"PKCS7" + b"value")
    assert authvar.parse(data) == authvar.SignedUpdate(TIME, b"PKCS7", b"value")
    assert authvar.is_update(data)


def test_what_is_signed_has_the_parts_of_the_specification() -> None:
    signed = authvar.signed_content(authvar.database("PK"), TIME, VALUE)
    assert signed == (
        b"P\0K\0"
        + UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c").bytes_le
        + bytes.fromhex("27000000")
        + authvar.encode_time(TIME)
        + VALUE
    )
    appended = authvar.signed_content(authvar.database("dbx", append=True), None, VALUE)
    assert appended == (
        b"d\0b\0x\0"
        + UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f").bytes_le
        + bytes.fromhex("67000000")
        + bytes(16)
        + VALUE
    )


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072", "p256", "p384"])
def test_an_update_is_verified_for_its_variable_and_signer_only(kind: KeyType) -> None:
    identity = make_identity(kind=kind)
    update = update_by(identity)
    assert authvar.verify(update, DB, identity.certificate)
    assert not authvar.verify(update, authvar.database("dbx"), identity.certificate)
    assert not authvar.verify(update, authvar.database("db", append=True), identity.certificate)
    assert not authvar.verify(update, DB, make_identity("other").certificate)
    later = authvar.SignedUpdate(TIME + timedelta(seconds=1), update.signature, update.value)
    longer = authvar.SignedUpdate(TIME, update.signature, VALUE + b"\0")
    assert not authvar.verify(later, DB, identity.certificate)
    assert not authvar.verify(longer, DB, identity.certificate)


def test_a_signer_of_the_same_name_and_number_but_another_key_does_not_count() -> None:
    update = update_by(make_identity("one", serial=7))
    impostor = make_identity("one", serial=7, kind="rsa-3072")
    assert not authvar.verify(update, DB, impostor.certificate)


def test_rsa_updates_are_always_the_same() -> None:
    assert update_by(make_identity()) == update_by(make_identity())


def test_a_time_in_another_zone_is_written_as_utc() -> None:
    tokyo = TIME.astimezone(timezone(timedelta(hours=9)))
    assert authvar.encode_time(tokyo) == authvar.encode_time(TIME)
    assert authvar.encode_time(TIME + timedelta(microseconds=5)) == authvar.encode_time(TIME)


def test_a_signature_in_a_content_info_is_read_too() -> None:
    identity = make_identity()
    update = update_by(identity)
    signed = cms.serialise(authvar.read_signature(update))
    wrapped = authvar.SignedUpdate(update.time, signed, update.value)
    assert signed != update.signature
    assert authvar.verify(wrapped, DB, identity.certificate)


def test_a_signature_that_holds_its_content_is_refused() -> None:
    identity = make_identity()
    update = update_by(identity)
    signed = authvar.read_signature(update)
    attached = cms.SignedData(signed.digests, signed.signers, signed.certificates, VALUE)
    changed = authvar.SignedUpdate(
        TIME, authvar.without_content_info(cms.serialise(attached)), VALUE
    )
    with pytest.raises(FormatError, match="content of its own"):
        authvar.verify(changed, DB, identity.certificate)


def test_every_signer_has_to_be_the_one_asked_for() -> None:
    identity, other = make_identity(), make_identity("other")
    signers = [authvar.read_signature(update_by(each)).signers[0] for each in (identity, other)]
    both = cms.SignedData((cms_signer.SHA256,), tuple(signers))
    update = authvar.SignedUpdate(TIME, authvar.without_content_info(cms.serialise(both)), VALUE)
    assert not authvar.verify(update, DB, identity.certificate)


@pytest.mark.parametrize("signature", [b"", b"\x30\x00", b"\x30\x03\x02\x01\x01", b"PKCS7"])
def test_a_signature_that_is_none_is_refused(signature: bytes) -> None:
    update = authvar.SignedUpdate(TIME, signature, VALUE)
    with pytest.raises(FormatError):
        authvar.verify(update, DB, make_identity().certificate)


def test_a_content_info_of_another_type_is_refused() -> None:
    signature = encode(0x30, cms_signer.DATA, encode(cms_signer.CONTEXT_0, b""))
    with pytest.raises(FormatError, match="SignedData"):
        authvar.read_signature(authvar.SignedUpdate(TIME, signature, VALUE))


def test_key_and_certificate_have_to_belong_together() -> None:
    key = load_private_key(make_identity().key_pem)
    with pytest.raises(KeyMaterialError, match="does not belong"):
        sign_update(DB, VALUE, key=key, certificate=make_identity("b").certificate, time=TIME)


class Liar:
    """A signer that answers with nonsense, as a broken token might."""

    kind = "rsa"

    def __init__(self, identity: Identity) -> None:
        self.key_der = identity.certificate.key_der

    def sign(self, data: bytes) -> bytes:
        return bytes(256) + data[:0]


def test_a_signature_that_does_not_hold_is_not_given_out() -> None:
    identity = make_identity()
    with pytest.raises(KeyMaterialError, match="does not verify"):
        sign_update(
            DB,
            VALUE,
            key=Liar(identity),  # type: ignore[arg-type]
            certificate=identity.certificate,
            time=TIME,
        )


def test_databases_are_known_by_name() -> None:
    assert {name: authvar.database(name).namespace for name in authvar.NAMESPACES} == (
        authvar.NAMESPACES
    )
    with pytest.raises(UsageError, match="'DB'"):
        authvar.database("DB")


# --- Bytes that are no update --------------------------------------------------------------------


def header(
    *, time: bytes = bytes(16), length: int = 24, revision: int = 0x200, kind: int = 0xEF1
) -> bytes:
    guid = UUID("4aafd29d-68df-49ee-8aa9-347d375665a7").bytes_le
    return time + struct.pack("<IHH", length, revision, kind) + guid


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (header(length=23), FormatError),
        (header(length=0), FormatError),
        (header(length=25), TruncatedError),
        (header(length=2**32 - 1), TruncatedError),
        (header(revision=0x100), FormatError),
        (header(kind=2), FormatError),
        (header()[:24] + UUID(int=1).bytes_le, UnsupportedError),
        (bytes(authvar.MAX_UPDATE + 1), LimitError),
    ],
)
def test_headers_that_do_not_fit_are_refused(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error):
        authvar.parse(data)


def test_the_shortest_update_is_read() -> None:
    assert authvar.parse(header()) == authvar.SignedUpdate(None, b"", b"")


@pytest.mark.parametrize(
    "fields",
    [
        (2026, 13, 1, 0, 0, 0, 0, 0, 0, 0, 0),  # month
        (2026, 2, 30, 0, 0, 0, 0, 0, 0, 0, 0),  # day
        (2026, 1, 1, 24, 0, 0, 0, 0, 0, 0, 0),  # hour
        (2026, 1, 1, 0, 0, 60, 0, 0, 0, 0, 0),  # second
        (0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0),  # year
        (10000, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0),
        (2026, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0),  # padding
        (2026, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0),  # nanoseconds
        (2026, 1, 1, 0, 0, 0, 0, 0, 60, 0, 0),  # zone
        (2026, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0),  # daylight
        (2026, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1),  # padding
    ],
)
def test_times_that_are_none_are_refused(fields: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="time of the update"):
        authvar.parse(header(time=struct.pack("<H6BIhBB", *fields)))


def test_truncation_anywhere_is_refused() -> None:
    data = authvar.serialise(update_by(make_identity()))
    end = len(data) - len(VALUE)
    for length in range(end):
        with pytest.raises(TruncatedError):
            authvar.parse(data[:length])
        assert authvar.is_update(data[:length]) == (length >= authvar.HEADER)
