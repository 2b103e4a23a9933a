"""The verity signature partition: round trip, flipped bits, and noise."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats.verity_signature import Signature, parse, render

DIGEST: Final = st.binary(min_size=32, max_size=32)
SIGNATURES: Final = st.builds(
    Signature,
    DIGEST | st.binary(min_size=64, max_size=64),
    st.binary(min_size=1, max_size=2000),
    st.none() | DIGEST,
)
SIGNED: Final = Signature(bytes(range(32)), bytes(range(100)), b"f" * 32)
PARTITION: Final = render(SIGNED, 512)


@given(SIGNATURES)
def test_any_signature_is_read_back_as_written(signature: Signature) -> None:
    assert parse(BytesBlob(render(signature))) == signature


def test_every_flipped_bit_changes_what_is_read() -> None:
    """Either nothing can be read, or a field differs, or the spelling is told."""
    missed = []
    for bit in range(len(PARTITION) * 8):
        changed = bytearray(PARTITION)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            found = parse(BytesBlob(bytes(changed)))
        except FormatError:
            continue
        if found == SIGNED:
            missed.append(bit)
    assert missed == []


VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
KEYS: Final = st.sampled_from(["rootHash", "certificateFingerprint", "signature"]) | st.text()


@given(st.dictionaries(KEYS, VALUES))
def test_any_json_object_is_read_or_refused_in_one_sentence(fields: dict[str, object]) -> None:
    survives(json.dumps(fields).encode())


@given(st.dictionaries(st.text(min_size=1, max_size=9), VALUES, max_size=4))
def test_further_fields_change_nothing_but_are_told(extra: dict[str, object]) -> None:
    known = json.loads(PARTITION.rstrip(b"\0"))
    found = parse(BytesBlob(json.dumps(extra | known).encode()))
    assert len(found.unknown_fields) == len(extra.keys() - known.keys())
    assert replace(found, unknown_fields=(), canonical=True) == SIGNED
    assert not found.canonical


@given(st.binary(max_size=300), st.integers(0, len(PARTITION)))
def test_noise_is_refused_in_one_sentence(noise: bytes, position: int) -> None:
    survives(noise)
    survives(PARTITION[:position] + noise + PARTITION[position:])


def survives(data: bytes) -> None:
    try:
        found = parse(BytesBlob(data))
    except FormatError as error:
        said = error.message
    else:
        said = found.root_hash.hex()
    assert said
    assert "\n" not in said
