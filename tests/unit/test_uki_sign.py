"""``uki sign``: what is written, what is kept, what is refused."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pefile  # type: ignore[import-untyped]
import pytest
from test_uki_verify import errors_of

from command import sysgraft
from executables import (
    CHECKSUM,
    PE_OFFSET,
    SECURITY,
    Piece,
    make_authority,
    make_pe,
    signature_of,
    signed_pe,
    uki_pieces,
    with_table,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.build.resign import Target
from sysgraft.build.uki_sign import UkiSignReport, sign_executable
from sysgraft.errors import FormatError, OutputError, SysgraftError, UnsupportedError
from sysgraft.formats import authenticode, pe, wincert
from sysgraft.image.uki_verify import UkiVerifyOptions, verify_uki
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import SigningPair
from sysgraft.sign.verify import trust
from sysgraft.testing.certificates import Identity, KeyType, make_identity

if TYPE_CHECKING:
    from pathlib import Path

ONE = make_identity("one", kind="p256")
TWO = make_identity("two", kind="p256")
UNSIGNED = make_pe(uki_pieces(), behind=b"tail")


def pair(identity: Identity) -> SigningPair:
    return SigningPair(load_private_key(identity.key_pem), identity.certificate)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "linux.efi"
    path.write_bytes(UNSIGNED)
    return path


def signed(file: Path, identity: Identity = ONE, *, drop_others: bool = False) -> UkiSignReport:
    target = Target(replace=True)
    return sign_executable(file, pair(identity), target=target, drop_others=drop_others)


def entries(file: Path) -> tuple[wincert.Entry, ...]:
    data = file.read_bytes()
    offset, size = pe.parse(BytesBlob(data)).security
    return wincert.parse(data[offset : offset + size])


def is_good(file: Path, *trusted: Identity) -> bool:
    store = trust.TrustStore()
    for each in trusted:
        store |= trust.from_certificates(each.certificate.der, "db")
    return verify_uki(file, UkiVerifyOptions(trust=store)).ok


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072", "p256", "p384", "p521"])
def test_a_signed_executable_verifies_and_is_what_it_was(file: Path, kind: KeyType) -> None:
    identity = make_identity(kind=kind)
    report = signed(file, identity)
    data = file.read_bytes()
    assert is_good(file, identity)
    assert not is_good(file, TWO)
    assert (report.size, report.signatures, report.kept) == (len(data), 1, 0)
    assert report.digest == authenticode.parse(entries(file)[0].pkcs7).digest
    # Apart from the two fields and what is behind, nothing has changed.
    restored = bytearray(data[: len(UNSIGNED)])
    for start, length in ((CHECKSUM, 4), (SECURITY, 8)):
        restored[start : start + length] = UNSIGNED[start : start + length]
    assert bytes(restored) == UNSIGNED
    assert data[len(UNSIGNED) :][:4] == bytes(4)
    assert signed_pe(UNSIGNED, identity)[SECURITY : SECURITY + 8] == data[SECURITY : SECURITY + 8]


def test_signing_twice_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        sign_executable(file, pair(ONE), target=Target(str(tmp_path / name)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = tmp_path / "a"
    report = signed(again)
    assert (report.signatures, report.kept) == (1, 1)
    assert again.read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("behind", [b"", b"1", b"1234567"])
@pytest.mark.parametrize("size", [1, 5000, 3 << 20])
def test_the_checksum_is_right(tmp_path: Path, behind: bytes, size: int) -> None:
    path = tmp_path / "x.efi"
    path.write_bytes(make_pe([(".data", b"\xfe\xdc\xba" * size)], behind=behind))
    signed(path)
    reader = pefile.PE(str(path), fast_load=True)
    assert reader.OPTIONAL_HEADER.CheckSum == reader.generate_checksum()
    reader.close()


def test_the_checksum_is_right_where_headers_are_at_odd_places(tmp_path: Path) -> None:
    path = tmp_path / "x.efi"
    data = make_pe()
    moved = data[:PE_OFFSET] + b"\0" + data[PE_OFFSET:511] + data[512:]
    moved = moved[:0x3C] + struct.pack("<I", PE_OFFSET + 1) + moved[0x40:]
    path.write_bytes(moved)
    assert pe.parse(BytesBlob(moved)).security_offset == SECURITY + 1
    signed(path)
    written = path.read_bytes()
    sum_of_words = sum(struct.unpack(f"<{len(written) // 2}H", written))
    stored = struct.unpack_from("<I", written, CHECKSUM + 1)[0]
    shifted = sum(written[CHECKSUM + 1 + at] << 8 * ((CHECKSUM + 1 + at) % 2) for at in range(4))
    folded = sum_of_words - shifted
    while folded >> 16:
        folded = (folded & 0xFFFF) + (folded >> 16)
    assert stored == folded + len(written)
    assert is_good(path, ONE)


def test_signatures_are_kept_in_their_order(file: Path) -> None:
    signed(file, ONE)
    first = entries(file)
    report = signed(file, TWO)
    assert (report.signatures, report.kept) == (2, 1)
    assert entries(file)[:1] == first
    assert is_good(file, ONE)
    assert is_good(file, TWO)
    report = signed(file, ONE)
    assert (report.signatures, report.kept) == (2, 2)


def test_signatures_are_dropped_if_asked(file: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.efi"
    sign_executable(file, pair(TWO), target=Target(str(fresh)))
    signed(file, ONE)
    report = signed(file, TWO, drop_others=True)
    assert (report.signatures, report.kept) == (1, 0)
    assert file.read_bytes() == fresh.read_bytes()
    assert not is_good(file, ONE)


def test_entries_of_others_are_kept_byte_for_byte(file: Path) -> None:
    padded = signature_of(UNSIGNED, TWO)
    padded += bytes(-len(padded) % 8)
    table = wincert.serialise([wincert.Entry(padded)])
    file.write_bytes(with_table(UNSIGNED, table))
    signed(file, ONE)
    assert entries(file)[0].data == padded
    assert is_good(file, TWO)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (wincert.serialise([wincert.Entry(b"junk")]), "signature 1 cannot be read"),
        (
            wincert.serialise([wincert.Entry(signature_of(make_pe(), TWO))]),
            "signature 1 is not one of this file",
        ),
        (bytes(16), "a length of 0 bytes"),
        (b"\xff" * 16, "a length of 4294967295 bytes"),
    ],
)
def test_what_does_not_hold_is_not_kept(file: Path, table: bytes, words: str) -> None:
    broken = with_table(UNSIGNED, table)
    file.write_bytes(broken)
    with pytest.raises(FormatError, match=words) as caught:
        signed(file)
    assert "--replace" in caught.value.hint
    assert file.read_bytes() == broken
    signed(file, drop_others=True)
    assert is_good(file, ONE)


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", FormatError, "not an EFI executable"),
        (UNSIGNED.replace(b"PE\0\0", b"LE\0\0", 1), FormatError, "no PE signature"),
        (make_pe(directories=4), UnsupportedError, "no room for a signature"),
        (make_pe([Piece(".a", b"a"), Piece(".b", b"b", gap=8)]), FormatError, "in no section"),
        (signed_pe(UNSIGNED, TWO) + b"more", FormatError, "not with the file"),
    ],
)
def test_what_cannot_be_signed_is_refused(
    file: Path, data: bytes, kind: type[SysgraftError], words: str
) -> None:
    file.write_bytes(data)
    with pytest.raises(kind, match=words) as caught:
        signed(file, drop_others=True)
    assert caught.value.file == str(file)
    assert file.read_bytes() == data


def test_a_chain_makes_a_root_enough(file: Path) -> None:
    root = make_authority("root", kind="p256")
    inter = make_authority("inter", kind="p256", issuer=root)
    leaf = make_identity("leaf", kind="p256", issuer=inter)
    target = Target(replace=True)
    sign_executable(file, pair(leaf), target=target, drop_others=True)
    assert not is_good(file, root)
    sign_executable(file, pair(leaf), target=target, drop_others=True, chain=[inter.certificate])
    assert is_good(file, root)


def test_without_permission_nothing_is_replaced(file: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the file exists"):
        sign_executable(file, pair(ONE))
    assert file.read_bytes() == UNSIGNED
    output = tmp_path / "new/folder/linux.efi"
    sign_executable(file, pair(ONE), target=Target(str(output)))
    assert is_good(output, ONE)
    assert file.read_bytes() == UNSIGNED


# --- The command ---------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name, identity in (("one", ONE), ("two", TWO)):
        (tmp_path / f"{name}.key").write_bytes(identity.key_pem)
        (tmp_path / f"{name}.pem").write_bytes(identity.certificate_pem)
    return tmp_path


@pytest.mark.parametrize(
    ("key", "certificate"),
    [
        ("--private-key", "--certificate"),
        ("--secureboot-private-key", "--secureboot-certificate"),
        ("--key", "--cert"),
    ],
)
def test_ukifys_and_sbsigns_options_are_taken(
    file: Path, keys: Path, key: str, certificate: str
) -> None:
    words = (key, keys / "one.key", certificate, keys / "one.pem", "--output", keys / "out.efi")
    result = sysgraft("uki", "sign", file, *words, "--json")
    assert result.code == 0
    assert errors_of(result.document, "uki.sign") == []
    assert result.document["size"] == (keys / "out.efi").stat().st_size
    assert is_good(keys / "out.efi", ONE)
    assert "takes no EC signatures" in result.err


def test_keeping_and_dropping(file: Path, keys: Path) -> None:
    def run(name: str, *options: str) -> str:
        words = ("--private-key", keys / f"{name}.key", "--certificate", keys / f"{name}.pem")
        result = sysgraft("uki", "sign", file, "--force", *words, *options)
        assert result.code == 0
        return result.out.splitlines()[0]

    assert run("one") == f"{file}  (1 signature)"
    assert run("two") == f"{file}  (2 signatures)"
    assert run("two", "--replace") == f"{file}  (1 signature)"


def test_a_chain_is_added(file: Path, keys: Path) -> None:
    root = make_authority("root", kind="p256")
    inter = make_authority("inter", kind="p256", issuer=root)
    leaf = make_identity("leaf", kind="p256", issuer=inter)
    (keys / "leaf.key").write_bytes(leaf.key_pem)
    (keys / "leaf.pem").write_bytes(leaf.certificate_pem)
    (keys / "chain.pem").write_bytes(inter.certificate_pem + root.certificate_pem)
    result = sysgraft(
        *("uki", "sign", file, "--force", "--add-certificate", keys / "chain.pem"),
        *("--private-key", keys / "leaf.key", "--certificate", keys / "leaf.pem"),
    )
    assert result.code == 0
    assert is_good(file, root)


def test_bad_input_exits_2_and_writes_nothing(file: Path, keys: Path) -> None:
    one = ("--private-key", keys / "one.key", "--certificate", keys / "one.pem")
    mixed = ("--private-key", keys / "one.key", "--certificate", keys / "two.pem")
    output = ("--output", keys / "out.efi")
    (keys / "junk.efi").write_bytes(b"junk")
    for words in (
        (file, *one),
        (file, *output),
        (file, *mixed, *output),
        (keys / "junk.efi", *one, *output),
        (keys / "missing.efi", *one, *output),
        (file, *one, *output, "--add-certificate", keys / "one.key"),
    ):
        result = sysgraft("uki", "sign", *words)
        assert (result.code, result.out) == (2, "")
        assert not (keys / "out.efi").exists()
    assert file.read_bytes() == UNSIGNED
