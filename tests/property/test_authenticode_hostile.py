"""Hostile bytes: executables, certificate tables and signatures are refused in one way only."""

from __future__ import annotations

import contextlib
import struct

from hypothesis import example, given
from hypothesis import strategies as st

from edits import Edit, edited, edits
from executables import (
    CHECKSUM,
    SECURITY,
    make_authority,
    make_pe,
    signature_of,
    signed_pe,
    uki_pieces,
    with_table,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import authenticode, authenticode_digest, cms, esl, pe, wincert
from sysgraft.formats.revocations import Revocations
from sysgraft.formats.x509 import parse_certificate
from sysgraft.formats.x509_issuing import contradiction, read_issuing, signer_problem
from sysgraft.formats.x509_names import canonical_name, same_name
from sysgraft.image.uki_verify import UkiVerifyOptions, verify_blob
from sysgraft.sign.verify import trust
from sysgraft.testing.certificates import NOW, make_identity
from sysgraft.testing.efivars import certificate_list

IDENTITY = make_identity(kind="p256")
AUTHORITY = make_authority("ca", kind="p256", path_length=3)
UNSIGNED = make_pe(uki_pieces(), alignment=64)
SIGNED = signed_pe(UNSIGNED, IDENTITY)
SIGNATURE = signature_of(UNSIGNED, IDENTITY)
STORE = trust.from_certificates(IDENTITY.certificate.der, "db")
OPTIONS = UkiVerifyOptions(trust=STORE, now=NOW)
NUMBERS = (0, 1, 2, 7, 8, 9, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

damage = edits(4000)


def essence(data: bytes) -> bytes:
    """All that counts: no checksum, and no low bits of the signature's length."""
    kept = bytearray(data)
    table = int.from_bytes(SIGNED[SECURITY : SECURITY + 4], "little")
    kept[CHECKSUM : CHECKSUM + 4] = bytes(4)
    kept[table : table + 1] = bytes(value & ~7 for value in kept[table : table + 1])
    return bytes(kept)


@given(damage)
def test_an_edited_executable_always_gets_a_verdict(changes: list[Edit]) -> None:
    data = edited(SIGNED, changes)
    result = verify_blob(BytesBlob(data), "it", OPTIONS)
    if essence(data) != essence(SIGNED):
        assert not result.ok
    elif data == SIGNED:
        assert result.ok


@given(damage)
@example([(0, 0, b"\x30\x84\xff\xff\xff\xff")])
@example([(0, 0, b"\x30\x80")])
def test_an_edited_signature_is_refused_or_read_back_exactly(changes: list[Edit]) -> None:
    data = edited(SIGNATURE, changes)
    with contextlib.suppress(FormatError):
        found = cms.serialise(authenticode.parse(data).signed)
        assert data.startswith(found)
        assert not any(data[len(found) :])
        assert len(data) - len(found) < 8


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read_as_a_table(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert wincert.serialise(wincert.parse(data)) == data
    with contextlib.suppress(FormatError):
        authenticode.parse(data)
    authenticode_digest.likely_algorithms([data])


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=wincert.MAX_ENTRIES))
def test_tables_survive(contents: list[bytes]) -> None:
    entries = tuple(map(wincert.Entry, contents))
    table = wincert.serialise(entries)
    assert len(table) % 8 == 0
    assert wincert.parse(table) == entries


@given(st.binary(max_size=200))
def test_any_table_on_an_executable_gets_a_verdict(table: bytes) -> None:
    padded = table + bytes(-len(table) % 8)
    assert not verify_blob(BytesBlob(with_table(UNSIGNED, padded)), "it", OPTIONS).ok


@given(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS))
def test_any_place_of_the_table_gets_a_verdict(offset: int, size: int) -> None:
    data = bytearray(SIGNED)
    data[SECURITY : SECURITY + 8] = struct.pack("<II", offset, size)
    assert not verify_blob(BytesBlob(bytes(data)), "it", OPTIONS).ok


def test_huge_numbers_anywhere_in_the_headers_get_a_verdict() -> None:
    headers = pe.parse(BytesBlob(SIGNED)).size_of_headers
    for at in range(0, headers - 3, 2):
        for number in NUMBERS:
            data = bytearray(SIGNED)
            data[at : at + 4] = struct.pack("<I", number)
            good = verify_blob(BytesBlob(bytes(data)), "it", OPTIONS).ok
            changed = {i for i in range(at, at + 4) if data[i] != SIGNED[i]}
            assert good == changed.issubset(range(CHECKSUM, CHECKSUM + 4))


@given(st.binary(max_size=3000), st.integers(1, 400), st.integers(0, 3))
def test_bytes_in_order_give_the_digest_of_the_whole(tail: bytes, step: int, count: int) -> None:
    pieces = [(f".s{number}", tail[: number * 100]) for number in range(count)]
    data = make_pe(pieces, behind=tail, alignment=64)
    image = pe.parse(BytesBlob(data))
    stream = authenticode_digest.SequentialDigest(image.checksum_offset, image.security_offset)
    for start in range(0, len(data), step):
        stream.update(data[start : start + step])
    padded = BytesBlob(data + bytes(-len(data) % 8))
    covered = authenticode_digest.coverage(pe.parse(padded))
    whole = authenticode_digest.compute(padded, covered, ["sha256"])["sha256"]
    assert stream.finish().value == whole
    assert sum(length for _, length in covered.ranges) == padded.size - 12


@given(damage)
def test_an_edited_authority_is_read_or_denied(changes: list[Edit]) -> None:
    with contextlib.suppress(FormatError):
        found = parse_certificate(edited(AUTHORITY.certificate.der, changes))
        read_issuing(found)
        signer_problem(found)
        contradiction(found, AUTHORITY.certificate)
        contradiction(IDENTITY.certificate, found)


@given(damage)
def test_a_dbx_with_an_edited_certificate_is_read(changes: list[Edit]) -> None:
    entry = esl.Signature(esl.CERT_X509, edited(AUTHORITY.certificate.der, changes))
    revocations = Revocations.from_lists([esl.SignatureList(esl.CERT_X509, (entry,))])
    revocations.is_revoked(AUTHORITY.certificate, (IDENTITY.certificate,))
    assert revocations.count == 1


@given(damage)
@example([(0, 0, b"")])
def test_every_name_has_a_form(changes: list[Edit]) -> None:
    name = edited(AUTHORITY.certificate.subject_der, changes)
    assert isinstance(canonical_name(name), bytes)
    assert same_name(name, name)


def test_a_revoked_signature_that_is_cut_anywhere_is_not_passed_over() -> None:
    revoked = make_identity("revoked", kind="p256")
    lists = certificate_list(revoked.certificate.der, owner=esl.CERT_X509)
    options = UkiVerifyOptions(trust=STORE | trust.from_dbx(lists, "dbx"), now=NOW)
    whole = signature_of(UNSIGNED, revoked)
    assert verify_blob(BytesBlob(SIGNED), "it", options).ok
    for length in range(1, len(whole) + 1):
        entries = [wincert.Entry(SIGNATURE), wincert.Entry(whole[:length])]
        data = with_table(UNSIGNED, wincert.serialise(entries))
        assert not verify_blob(BytesBlob(data), "it", options).ok
