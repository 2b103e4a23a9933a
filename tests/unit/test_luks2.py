"""LUKS2 headers: the copy that counts, systemd's tokens, and what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import pytest

from luks2_kit import SIZE, TPM2_TOKEN, UUID, copy, metadata, volume
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats import luks2
from sysgraft.formats.luks2 import Header, OtherToken, Segment, Tpm2Token

PEM: Final = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
GOOD: Final = volume(metadata())


def parse(data: bytes) -> Header:
    return luks2.parse(BytesBlob(data))


def token(**changes: object) -> luks2.Token:
    """The token with other fields; None leaves one out."""
    fields = {k: v for k, v in {**TPM2_TOKEN, **changes}.items() if v is not None}
    (found,) = parse(volume(metadata(tokens={"3": fields}))).tokens
    return found


def test_a_header() -> None:
    assert parse(GOOD) == Header(
        uuid=UUID,
        label="lab",
        seqid=4,
        size=SIZE,
        is_secondary=False,
        keyslots=(0, 1),
        segments=(Segment(0, "crypt", 16777216, None, "aes-xts-plain64"),),
        tokens=(),
    )


@pytest.mark.parametrize("size", luks2.SIZES)
def test_every_size_has_its_second_copy_behind_the_first(size: int) -> None:
    data = volume(metadata(), size=size)
    assert parse(data).size == size
    damaged = bytes(512) + data[512:]
    found = parse(damaged)
    assert (found.size, found.is_secondary) == (size, True)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_checksums(algorithm: str) -> None:
    data = copy(metadata(), algorithm=algorithm)
    assert parse(data).label == "lab"
    with pytest.raises(FormatError, match="checksum"):
        parse(data[:5000] + b"?" + data[5001:])


@pytest.mark.parametrize(
    ("seqids", "is_secondary", "seqid"), [((5, 4), False, 5), ((4, 5), True, 5), ((4, 4), False, 4)]
)
def test_the_newer_copy_counts(seqids: tuple[int, int], is_secondary: bool, seqid: int) -> None:
    found = parse(volume(metadata(), seqids=seqids))
    assert (found.is_secondary, found.seqid) == (is_secondary, seqid)


@pytest.mark.parametrize("place", [0, 7, 15, 100, 449, 4096, SIZE - 1])
def test_a_damaged_first_copy_gives_way_and_two_damaged_ones_are_refused(place: int) -> None:
    def damage(data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]

    once = damage(GOOD, place)
    assert parse(once).is_secondary
    with pytest.raises(FormatError):
        parse(damage(once, SIZE + place))
    assert not parse(damage(GOOD, SIZE + place)).is_secondary


def test_a_copy_that_says_it_is_elsewhere_does_not_count() -> None:
    moved = copy(metadata(), offset=SIZE)
    with pytest.raises(FormatError, match="no LUKS2 header"):
        parse(bytes(2 * SIZE) + moved)
    with pytest.raises(FormatError, match="no LUKS2 header"):
        parse(moved)
    with pytest.raises(FormatError, match="cannot have"):
        parse(copy(metadata(), offset=0, size=SIZE)[:SIZE].replace(b"\0@\0", b"\0A\0", 1))


def test_what_is_not_luks2() -> None:
    with pytest.raises(UnsupportedError, match="LUKS1"):
        parse(copy(metadata(), version=1) + GOOD[SIZE:])
    with pytest.raises(UnsupportedError, match="version 3"):
        parse(copy(metadata(), version=3))
    with pytest.raises(UnsupportedError, match="algorithm"):
        parse(copy(metadata(), algorithm="whirlpool"))
    with pytest.raises(FormatError, match="no LUKS2 header"):
        parse(bytes(1 << 20))
    with pytest.raises(TruncatedError):
        parse(b"LUKS\xba\xbe")
    with pytest.raises(TruncatedError):
        parse(GOOD[: SIZE - 1])


@pytest.mark.parametrize(
    "area",
    [
        b"",
        b"[]",
        b' {"keyslots": {}}',
        b"{" * (SIZE - 4096),
        json.dumps(metadata()).encode().ljust(SIZE - 4096, b" "),
        json.dumps(metadata()).encode() + b"\0\0{}",
        json.dumps(metadata()).encode().replace(b"64", b"NaN"),
        json.dumps(metadata()).encode().replace(b'"digests"', b'"tokens"'),
        b'{"a":' + b"[" * 5000,
        b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"\xff": 1}',
        json.dumps({**metadata(), "tokens": []}).encode(),
        json.dumps({k: v for k, v in metadata().items() if k != "config"}).encode(),
    ],
)
def test_metadata_that_is_none(area: bytes) -> None:
    with pytest.raises(FormatError):
        parse(volume(area))


@pytest.mark.parametrize("name", ["", "00", "-1", "32", "1e0", "\u0661", "a"])
def test_identifiers_that_are_none(name: str) -> None:
    for kind in ("keyslots", "tokens", "segments"):
        with pytest.raises(FormatError, match=f"{kind} of .* identifier"):
            parse(volume(metadata(**{kind: {name: {}}})))


def test_too_many_objects() -> None:
    many: dict[str, Any] = {str(number): {} for number in range(33)}
    with pytest.raises(LimitError, match="more than 32 keyslots"):
        parse(volume(metadata(keyslots=many)))


@pytest.mark.parametrize(
    "changes",
    [{"offset": 5}, {"offset": "-1"}, {"size": str(2**64)}, {"size": None}, {"type": 1},
     {"encryption": []}, {"offset": "1" * 21}],
)  # fmt: skip
def test_segments_that_are_none(changes: dict[str, Any]) -> None:
    segment = {"type": "crypt", "offset": "0", "size": "512"}
    assert parse(volume(metadata(segments={"1": segment}))).segments == (
        Segment(1, "crypt", 0, 512, ""),
    )
    with pytest.raises(FormatError, match="segment 1"):
        parse(volume(metadata(segments={"1": {**segment, **changes}})))


# --- Tokens --------------------------------------------------------------------------------------


def test_a_tpm2_token_of_the_first_releases() -> None:
    assert token() == Tpm2Token(3, (1,), (4, 7), "sha256", (b"\xab" * 32,), 1)
    assert token(**{"tpm2-pcr-bank": None}) == Tpm2Token(3, (1,), (4, 7), "", (b"\xab" * 32,), 1)


def test_a_tpm2_token_with_everything() -> None:
    found = token(
        **{
            "tpm2-blob": ["AAAA", "BBBB"],
            "tpm2-pcrs": [],
            "tpm2-policy-hash": ["01" * 32, "02" * 32],
            "tpm2-pin": True,
            "tpm2_pcrlock": True,
            "tpm2_pubkey_pcrs": [11, 11],
            "tpm2_pubkey": base64.b64encode(PEM).decode(),
            "tpm2_pubkey_ref": "initrd",
            "tpm2_salt": "AAAA",
            "tpm2_srk": "AAAA",
            "tpm2_pcrlock_nv": "AAAA",
            "tpm2_argon2id_lanes": 4,
        }
    )
    assert found == Tpm2Token(
        number=3,
        keyslots=(1,),
        pcrs=(),
        bank="sha256",
        policies=(b"\1" * 32, b"\2" * 32),
        blobs=2,
        public_key=PEM,
        public_key_pcrs=(11,),
        reference="initrd",
        has_pin=True,
        has_pcrlock=True,
        has_salt=True,
        has_srk=True,
    )


WRONG: Final[dict[str, tuple[object, ...]]] = {
    "keyslots": (None, "1", [1], ["2"], ["1", "1"], ["01"]),
    "tpm2-pcrs": (None, 7, [24], [-1], [True], ["7"], [7.0]),
    "tpm2-pcr-bank": (4, "SHA256", "sha256\n", "\ud800"),
    "tpm2-policy-hash": (None, [], "", "ab", ["ab" * 32, 1], "zz" * 32),
    "tpm2-blob": (None, [], "", "A", ["AAAA", ""], "AA AA", 1),
    "tpm2-pin": (1, "true"),
    "tpm2_pcrlock": (0, []),
    "tpm2_pubkey": ("?", {}),
    "tpm2_pubkey_pcrs": ([11], "11"),
    "tpm2_pubkey_ref": (1, "a\0b", "\udfff"),
    "tpm2_salt": ("?", False),
    "tpm2_srk": ("=", 0),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_fields_that_are_not_what_they_have_to_be(name: str, value: object) -> None:
    with pytest.raises(FormatError, match="token 3"):
        token(**{name: value})


def test_too_many_shards() -> None:
    assert isinstance(token(**{"tpm2-blob": ["AAAA"] * 16}), Tpm2Token)
    with pytest.raises(LimitError, match="more than 16"):
        token(**{"tpm2-blob": ["AAAA"] * 17})


def test_other_tokens() -> None:
    recovery = token(type="systemd-recovery")
    assert recovery == OtherToken(3, (1,), "systemd-recovery")
    assert recovery.is_recovery
    other = token(type="luks2-keyring", keyslots=[])
    assert isinstance(other, OtherToken)
    assert not other.is_recovery
    with pytest.raises(FormatError, match="the type of token 3"):
        token(type=None)


def test_tokens_come_in_the_order_of_their_numbers() -> None:
    tokens = dict.fromkeys(("10", "2", "31", "0"), TPM2_TOKEN)
    found = parse(volume(metadata(tokens=tokens))).tokens
    assert [each.number for each in found] == [0, 2, 10, 31]


def test_labels_are_fit_to_be_shown() -> None:
    assert parse(copy(metadata(), label=b"a\x1b[31m\nb\xff")).label == "a\\x1b[31m\\nb\\xff"
