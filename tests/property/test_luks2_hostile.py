"""Whatever a LUKS2 header holds, it is read or refused in our words."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from luks2_kit import SIZE, TPM2_TOKEN, metadata, volume
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import luks2

GOOD = volume(metadata(tokens={"0": TPM2_TOKEN}))
FIELDS = [*TPM2_TOKEN, "tpm2-pin", "tpm2_pcrlock", "tpm2_pubkey", "tpm2_pubkey_pcrs", "tpm2_srk"]
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["systemd-tpm2", "AAAA", "0", "1", "ab" * 32]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)  # fmt: skip


def parse(data: bytes) -> luks2.Header:
    return luks2.parse(BytesBlob(data))


@given(st.integers(0, 2 * SIZE * 8 - 1))
def test_no_changed_bit_goes_unnoticed(bit: int) -> None:
    data = bytearray(GOOD)
    data[bit // 8] ^= 1 << bit % 8
    found, good = parse(bytes(data)), parse(GOOD)
    assert (found.seqid, found.uuid, found.tokens) == (good.seqid, good.uuid, good.tokens)


@given(st.integers(0, 2 * SIZE))
def test_cut_anywhere_it_is_the_first_copy_or_nothing(length: int) -> None:
    if length < SIZE:
        with suppress(FormatError):
            raise AssertionError(parse(GOOD[:length]))
    else:
        assert parse(GOOD[:length]) == parse(GOOD)


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    for blob in (data, GOOD[:8] + data, GOOD[:512] + data + bytes(SIZE)):
        with suppress(FormatError):
            parse(blob)


@given(st.dictionaries(st.sampled_from(FIELDS), values))
def test_any_token(changes: dict[str, Any]) -> None:
    text = json.dumps(metadata(tokens={"0": {**TPM2_TOKEN, **changes}}))
    with suppress(FormatError):
        (token,) = parse(volume(text.encode())).tokens
        assert set(token.keyslots) <= {0, 1}


@given(st.sampled_from(["keyslots", "tokens", "segments", "digests", "config"]), values)
def test_any_metadata(name: str, value: Any) -> None:
    with suppress(FormatError):
        parse(volume(json.dumps(metadata(**{name: value})).encode()))
