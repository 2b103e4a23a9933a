"""The verity signature partition: the exact bytes, and what a strict reader refuses."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Final

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError
from sysgraft.formats.verity_signature import Signature, parse, render

HASH: Final = "00ff" * 16
PRINT: Final = "ab" * 32
SIGNED: Final = Signature(bytes.fromhex(HASH), b"\x30\x82\xff\xfe", bytes.fromhex(PRINT))
JSON: Final = (
    f'{{"rootHash":"{HASH}","certificateFingerprint":"{PRINT}","signature":"MIL//g=="}}'.encode()
)


def read(text: bytes | str, size: int = 16384) -> Signature:
    data = text.encode() if isinstance(text, str) else text
    return parse(BytesBlob(data.ljust(size, b"\0")))


# --- Round trip ----------------------------------------------------------------------------------


def test_partition_holds_compact_json_in_fixed_order_and_nuls() -> None:
    assert render(SIGNED) == JSON + bytes(16384 - len(JSON))


def test_signature_is_read_back_as_written() -> None:
    assert parse(BytesBlob(render(SIGNED))) == SIGNED
    sha512 = Signature(bytes(64), b"x")
    assert parse(BytesBlob(render(sha512, 4096))) == sha512


def test_fingerprint_is_optional() -> None:
    text = render(replace(SIGNED, fingerprint=None)).rstrip(b"\0")
    assert text == f'{{"rootHash":"{HASH}","signature":"MIL//g=="}}'.encode()
    assert read(text).fingerprint is None


def test_json_and_one_nul_must_fit() -> None:
    assert render(SIGNED, len(JSON) + 1) == JSON + b"\0"
    with pytest.raises(LimitError, match=f"takes {len(JSON) + 1} bytes, the partition has"):
        render(SIGNED, len(JSON))


# --- What readers pass over ----------------------------------------------------------------------


def test_json_may_fill_the_partition() -> None:
    assert read(JSON, 0) == SIGNED


@pytest.mark.parametrize(
    "text",
    [
        JSON + b" ",
        JSON + b"\n",
        b" " + JSON,
        JSON.replace(b",", b", "),
        JSON.replace(b"rootHash", rb"\u0072ootHash"),
        JSON.replace(b"//", rb"\/\/"),
        f'{{"signature":"MIL//g==","rootHash":"{HASH}","certificateFingerprint":"{PRINT}"}}',
    ],
)
def test_other_spelling_means_the_same_but_is_told(text: bytes | str) -> None:
    assert read(text) == replace(SIGNED, canonical=False)


def test_unknown_fields_are_told_with_harmless_names() -> None:
    text = JSON.replace(b"{", b'{"\\u001b[2J":[{}],"\\ud800":null,')
    found = read(text)
    assert found.unknown_fields == (r"\x1b[2J", r"\ud800")
    assert (found.root_hash, found.canonical) == (SIGNED.root_hash, False)


# --- Refusals ------------------------------------------------------------------------------------

GOOD: Final = {"rootHash": f'"{HASH}"', "signature": '"MIL//g=="'}


def json_with(**fields: str) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in (GOOD | fields).items()) + "}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xef\xbb\xbf" + JSON, "not JSON"),
        (JSON + JSON, "not JSON"),
        (b"\xff" + JSON, "not UTF-8"),
        ("[]", "not a JSON object"),
        ('"rootHash"', "not a JSON object"),
        ("{}", "no text field rootHash"),
        (b"\0" + JSON, "bytes follow the NUL"),
        (JSON + b"\0x", "bytes follow the NUL"),
        (JSON + bytes(9) + b"\n", "bytes follow the NUL"),
        (json_with(rootHash="null"), "no text field rootHash"),
        (json_with(rootHash="7"), "no text field rootHash"),
        (json_with(rootHash=f'"{HASH.upper()}"'), "rootHash is not"),
        (json_with(rootHash=f'"{HASH[:-1]}"'), "rootHash is not"),
        (json_with(rootHash=f'"{HASH[:40]}"'), "rootHash is not"),
        (json_with(rootHash=f'"{HASH}\\n"'), "rootHash is not"),
        (json_with(rootHash=f'"{HASH[:-1]}\\u0663"'), "rootHash is not"),
        (json_with(signature="[]"), "no text field signature"),
        (json_with(signature='""'), "not canonical base64"),
        (json_with(signature='"MIL//h=="'), "not canonical base64"),
        (json_with(signature='"MIL//g"'), "not base64"),
        (json_with(signature='"MIL//g="'), "not base64"),
        (json_with(signature='"MIL//g==="'), "base64"),
        (json_with(signature='"MIL//g==MIL/"'), "base64"),
        (json_with(signature='"MIL/\\n/g=="'), "not base64"),
        (json_with(signature='" MIL//g=="'), "not base64"),
        (json_with(signature='"MIL_/g=="'), "not base64"),
        (json_with(signature='"MIL\\u00e9/g=="'), "not base64"),
        (json_with(certificateFingerprint='"ab"'), "certificateFingerprint is not"),
        (json_with(certificateFingerprint=f'"{PRINT}{PRINT}"'), "certificateFingerprint is not"),
        (json_with(certificateFingerprint="null"), "no text field certificateFingerprint"),
        (JSON.replace(b"{", f'{{"rootHash":"{HASH}",'.encode()), "a field twice"),
        (json_with(other='{"a":1,"a":1}'), "a field twice"),
        (json_with(other="NaN"), "the number NaN"),
        (json_with(other="-Infinity"), "the number -Infinity"),
        (json_with(other="1" * 5000), "not JSON"),
        (json_with(other="[" * 100_000 + "]" * 100_000), "nested too deeply"),
        (json_with(other='{"a":' * 100_000 + "1" + "}" * 100_000), "nested too deeply"),
        ("[" * 500_000, "nested too deeply"),
    ],
    ids=range(40),
)
def test_partition_that_breaks_a_rule_is_refused(text: bytes | str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(text)


def test_padding_alone_is_no_signature() -> None:
    with pytest.raises(FormatError, match="not JSON"):
        parse(BytesBlob(bytes(16384)))


def test_partition_over_4_mib_is_refused() -> None:
    assert read(JSON, 4 << 20) == SIGNED
    with pytest.raises(LimitError, match="4194305 bytes, the limit is 4 MiB"):
        read(JSON, (4 << 20) + 1)


def test_json_over_1_mib_is_refused() -> None:
    text = json_with(other='"' + "x" * (1 << 20) + '"')
    with pytest.raises(LimitError, match="the limit is 1 MiB"):
        read(text, 4 << 20)


def test_long_certificate_chain_fits_the_limit() -> None:
    long = replace(SIGNED, pkcs7=bytes(500_000))
    assert len(base64.b64encode(long.pkcs7)) > 600_000
    assert parse(BytesBlob(render(long, 1 << 20))) == long
