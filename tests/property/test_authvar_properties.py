"""Signed updates survive, edited ones never verify, and hostile bytes are refused in one way."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError
from sysgraft.formats import authvar, esl
from sysgraft.formats.signature_input import read_entries
from sysgraft.sign.authvar import sign_update
from sysgraft.sign.keys import load_private_key
from sysgraft.testing.certificates import make_identity

IDENTITY = make_identity(kind="p256")
DB = authvar.database("db")
VALUE = b"the new value"
UPDATE = authvar.serialise(
    sign_update(
        DB,
        VALUE,
        key=load_private_key(IDENTITY.key_pem),
        certificate=IDENTITY.certificate,
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
)

times = st.none() | st.datetimes(timezones=st.just(UTC)).map(lambda t: t.replace(microsecond=0))


@given(st.builds(authvar.SignedUpdate, times, st.binary(max_size=99), st.binary(max_size=99)))
def test_updates_survive(update: authvar.SignedUpdate) -> None:
    data = authvar.serialise(update)
    assert authvar.is_update(data)
    assert authvar.parse(data) == update


def verified(data: bytes) -> bool:
    """Whether these bytes are an update that verifies; read back, they are the same bytes."""
    try:
        update = authvar.parse(data)
        assert authvar.serialise(update) == data
        return authvar.verify(update, DB, IDENTITY.certificate)
    except FormatError:
        return False


def test_an_update_with_any_bit_flipped_does_not_verify() -> None:
    assert verified(UPDATE)
    # A certificate inside proves nothing, and nothing signs it.
    free = UPDATE.index(IDENTITY.certificate.der), len(IDENTITY.certificate.der)
    for at in range(len(UPDATE)):
        if not free[0] <= at < sum(free):
            changed = bytearray(UPDATE)
            changed[at] ^= 1 << at % 8
            assert not verified(bytes(changed)), at


@given(st.data())
def test_edited_updates_get_a_verdict(data: st.DataObject) -> None:
    changed = bytearray(UPDATE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    if verified(bytes(changed)):
        assert authvar.parse(bytes(changed)).value == VALUE


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    for each in (data, UPDATE[: authvar.HEADER] + data, UPDATE[:16] + data):
        with contextlib.suppress(FormatError):
            update = authvar.parse(each)
            authvar.verify(update, DB, IDENTITY.certificate)


OWNER = UUID(int=7)
certificates = st.sampled_from([IDENTITY.certificate.der, IDENTITY.certificate_pem])
texts = st.binary(min_size=32, max_size=32).map(lambda digest: digest.hex().encode() + b"\n")


@given(st.one_of(st.binary(max_size=200), certificates, texts, st.just(UPDATE)), st.data())
def test_files_with_entries_are_refused_or_read(file: bytes, data: st.DataObject) -> None:
    changed = bytearray(file)
    at = data.draw(st.integers(0, len(changed)))
    changed[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    with contextlib.suppress(FormatError):
        lists = read_entries(bytes(changed), OWNER)
        assert esl.parse(esl.serialise(lists)) == lists
        assert all(each.signatures for each in lists)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3))
def test_lists_are_lists_whatever_they_hold(entries: list[bytes]) -> None:
    lists = tuple(
        esl.SignatureList(esl.CERT_X509, (esl.Signature(OWNER, b"-----BEGIN " + each),))
        for each in entries
    )
    assert read_entries(esl.serialise(lists), UUID(int=8)) == lists
