"""JSON from anywhere: read as every program reads it, or refused; records survive."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError
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
