"""Signed PCR policies survive, any other JSON is told in our words, joining loses nothing."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from sysgraft.errors import FormatError
from sysgraft.formats.pcrsig import Entry, Signatures, attach, merge, parse, render

digests = st.binary(min_size=32, max_size=32)
entries = st.builds(
    Entry,
    pcrs=st.sets(st.integers(0, 23), min_size=1).map(lambda found: tuple(sorted(found))),
    fingerprint=st.one_of(st.just(b""), digests),
    policy=digests,
    signature=st.binary(max_size=20),
    reference=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    to_sign=st.binary(max_size=70),
)
banks = st.sampled_from(["sha1", "sha256", "sha384", "sha512", "sm3_256", "sha3-256"])
documents = st.dictionaries(banks, st.lists(entries, max_size=5).map(tuple), max_size=4)


@given(documents, st.text("\0 \n\r\t", max_size=5))
def test_documents_survive(document: Signatures, padding: str) -> None:
    text = render(document)
    assert text.isascii()
    assert parse(text + padding) == parse((text + padding).encode()) == document


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
              st.sampled_from(["00" * 32, "c2ln", [11], []])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["sha1", "sha256", "pcrs", "pkfp", "pol", "sig", "ref", "tbs"]),
            inner, max_size=6,
        ),
    ),
    max_leaves=25,
)  # fmt: skip


@given(json_values)
@settings(max_examples=400)
def test_any_json_is_a_document_or_refused(value: object) -> None:
    for candidate in (value, {"sha256": value}, {"sha256": [value]}):
        with suppress(FormatError):
            found = parse(json.dumps(candidate))
            assert parse(render(found)) == found


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)))
def test_any_bytes_are_a_document_or_refused(data: bytes | str) -> None:
    with suppress(FormatError):
        parse(data)


@given(documents, st.data())
def test_damaged_documents_are_refused_or_read(document: Signatures, data: st.DataObject) -> None:
    made = bytearray(render(document).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(made) - 1))
        made[at] = data.draw(st.sampled_from(b'"{}[]:,0\\\0e-\xff'))
    with suppress(FormatError):
        found = parse(bytes(made[: data.draw(st.integers(0, len(made)))]))
        assert parse(render(found)) == found


@given(st.lists(documents, max_size=4))
def test_joining_keeps_order_and_loses_nothing(parts: list[Signatures]) -> None:
    joined = merge(*parts)
    for bank, found in joined.items():
        every = [entry for part in parts for entry in part.get(bank, ())]
        assert list(found) == sorted(set(every), key=every.index)
    assert set(joined) == {bank for part in parts for bank in part}
    assert merge(joined, *parts) == joined


@given(documents, documents)
def test_answers_change_signatures_and_keys_only(asked: Signatures, signed: Signatures) -> None:
    found = attach(asked, merge(signed, asked))
    assert found.keys() == asked.keys()
    for bank, before in asked.items():
        for old, new in zip(before, found[bank], strict=True):
            assert (new.pcrs, new.policy, new.reference, new.to_sign) == (
                old.pcrs, old.policy, old.reference, old.to_sign,
            )  # fmt: skip
            assert new.fingerprint == old.fingerprint or not old.fingerprint
            assert bool(new.signature) >= bool(old.signature)
