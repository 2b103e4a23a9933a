"""Signature lists: every value survives, hostile bytes are refused in one way."""

from __future__ import annotations

import contextlib
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError
from sysgraft.formats import esl
from sysgraft.formats.revocations import Revocations
from sysgraft.testing.certificates import make_identity

SIZES = {
    esl.CERT_SHA256: 32,
    esl.CERT_X509_SHA256: 48,
    esl.CERT_X509_SHA384: 64,
    esl.CERT_X509_SHA512: 80,
}


@st.composite
def signature_lists(draw: st.DrawFn) -> esl.SignatureList:
    kind = draw(st.sampled_from([*SIZES, esl.CERT_X509]) | st.uuids())
    size = SIZES.get(kind) or draw(st.integers(1, 40))
    data = st.binary(min_size=size, max_size=size)
    entries = draw(st.lists(st.builds(esl.Signature, st.uuids(), data), min_size=1, max_size=4))
    known = kind in SIZES or kind == esl.CERT_X509
    header = b"" if known else draw(st.binary(max_size=9))
    return esl.SignatureList(kind, tuple(entries), header)


@given(st.lists(signature_lists(), max_size=4))
def test_lists_survive(lists: list[esl.SignatureList]) -> None:
    assert esl.parse(esl.serialise(lists)) == tuple(lists)


@given(st.lists(signature_lists(), min_size=1, max_size=3), st.data())
def test_edited_lists_are_refused_or_read_back_exactly(
    lists: list[esl.SignatureList], data: st.DataObject
) -> None:
    changed = bytearray(esl.serialise(lists))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FormatError):
        found = esl.parse(bytes(changed))
        if all(each.signatures for each in found):
            assert esl.serialise(found) == changed
        Revocations.from_lists(found).is_revoked(make_identity(kind="p256").certificate)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        for each in esl.parse(data):
            assert isinstance(each.type, UUID)
