"""JSON from anywhere: read as every program reads it, or refused; records survive."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError, LimitError
from sysgraft.formats import cel, pcrlock, strict_json, tpm_userspace_log
from sysgraft.formats.tpm_userspace_log import BANKS, Record

values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
digests = st.fixed_dictionaries(
    {}, optional={name: st.binary(min_size=size, max_size=size) for name, size in BANKS.items()}
)
contents = st.none() | st.dictionaries(st.sampled_from(["string", "eventType", "x"]), values)
records = st.builds(
    Record, st.integers(0, 23), st.none(), digests, st.sampled_from(["", "systemd"]), contents
) | st.builds(Record, st.none(), st.integers(0, 2**32 - 2), digests)


@given(values)
def test_what_is_json_is_read(value: object) -> None:
    assert strict_json.load(json.dumps(value), "it") == value
    assert strict_json.load(json.dumps(value).encode(), "it") == value


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: bytes | str) -> None:
    with suppress(FormatError):
        json.dumps(strict_json.load(text, "it"), allow_nan=False)


@given(st.sampled_from(["[", '{"a":']), st.integers(1, 20_000))
def test_depth_has_a_limit(opening: str, depth: int) -> None:
    closing = "]" if opening == "[" else "}"
    text = opening * depth + "1" + closing * depth
    if depth < strict_json.MAX_DEPTH:
        strict_json.load(text, "it")
    else:
        with suppress(FormatError):
            raise AssertionError(strict_json.load(text, "it"))


def items(value: object) -> int:
    """Objects, lists and commas between what is in them."""
    if isinstance(value, dict):
        return 1 + max(0, len(value) - 1) + sum(map(items, value.values()))
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(items, value))
    return 0


texts = st.text(st.sampled_from('",{[\\:]}\né'), max_size=8)
nests = st.recursive(
    texts | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


@given(value=nests, window=st.integers(1, 7), is_ascii=st.booleans())
def test_what_takes_memory_is_counted_outside_strings(
    value: object, window: int, *, is_ascii: bool
) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict_json, "_WINDOW", window)
        count = items(value)
        assert strict_json.load(text, "it", most=count) == value
        if count:
            with pytest.raises(LimitError):
                strict_json.load(text, "it", most=count - 1)


def test_wide_texts_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "MAX_WIDE", 5)
    assert strict_json.load('"abcde"', "it") == "abcde"
    assert strict_json.load('"é"', "it") == "é"
    with pytest.raises(LimitError):
        strict_json.load('"abcé"', "it")


@given(st.lists(records, max_size=4))
def test_records_survive(found: list[Record]) -> None:
    log = b""
    for each in found:
        fields = {
            **tpm_userspace_log.place_fields(each),
            "digests": tpm_userspace_log.digest_fields(each.digests),
            "content_type": each.content_type,
            "content": each.content,
        }
        log += b"\x1e" + json.dumps(fields).encode() + b"\n"
    assert tpm_userspace_log.parse(log) == tuple(found)
    component = pcrlock.parse(pcrlock.render(found).encode())
    assert [(e.pcr, e.nv_index, e.digests) for e in component] == [
        (e.pcr, e.nv_index, e.digests) for e in found
    ]
    assert len(json.loads(cel.render(None, found))) == len(found)


@given(st.dictionaries(st.sampled_from(["pcr", "nv_index", "digests", "content"]), values))
def test_any_object_is_a_record_or_refused(value: dict[str, Any]) -> None:
    with suppress(FormatError):
        tpm_userspace_log.read_record(value)
    with suppress(FormatError):
        pcrlock.parse(json.dumps({"records": [value]}).encode())
