"""Authenticode: what is read of a signature, what is hashed of an executable."""

from __future__ import annotations

import dataclasses
import hashlib
import struct

import pytest

from executables import (
    CHECKSUM,
    SECURITY,
    Piece,
    image_digest,
    make_pe,
    signature_of,
    signed_pe,
    with_table,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, KeyMaterialError, LimitError, UnsupportedError, UsageError
from sysgraft.formats import authenticode, authenticode_digest, cms, cms_signer, pe
from sysgraft.formats import der as asn1
from sysgraft.formats.authenticode import ImageDigest
from sysgraft.formats.cms_attributes import attribute, read_attributes
from sysgraft.sign.authenticode import sign
from sysgraft.sign.keys import load_private_key
from sysgraft.testing.certificates import Identity, KeyType, make_identity

DIGEST = ImageDigest("sha256", bytes(range(32)))
SIGNING_TIME = attribute(
    asn1.encode_oid("1.2.840.113549.1.9.5"), asn1.encode(asn1.UTC_TIME, b"260601000000Z")
)


@pytest.fixture(scope="module")
def identity() -> Identity:
    return make_identity()


def signature_by(identity: Identity, digest: ImageDigest = DIGEST, **options: object) -> bytes:
    key = load_private_key(identity.key_pem)
    return sign(digest, key, identity.certificate, **options)  # type: ignore[arg-type]


# --- Signatures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072", "p256", "p384", "p521"])
def test_what_was_signed_is_read_back(kind: KeyType) -> None:
    identity = make_identity(kind=kind)
    der = signature_by(identity)
    found = authenticode.parse(der)
    assert found.digest == DIGEST
    assert found.timestamp == ""
    assert found.signed.certificates == (identity.certificate.der,)
    assert found.signer.is_by(identity.certificate)
    assert cms_signer.verify(found.signer, found.content, identity.certificate)
    assert cms.serialise(found.signed) == der


@pytest.mark.parametrize("kind", ["rsa-2048", "p256"])
def test_signing_twice_gives_the_same_bytes(kind: KeyType) -> None:
    identity = make_identity(kind=kind)
    assert signature_by(identity) == signature_by(identity)


def test_only_what_has_to_be_signed_is(identity: Identity) -> None:
    found = authenticode.parse(signature_by(identity))
    assert found.signer.signed_attributes is not None
    kinds = [asn1.oid_text(kind[2:]) for kind in read_attributes(found.signer.signed_attributes)]
    assert kinds == ["1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"]


def test_further_attributes_are_signed_and_sorted(identity: Identity) -> None:
    found = authenticode.parse(signature_by(identity, attributes=(SIGNING_TIME,)))
    signed = found.signer.signed_attributes
    assert signed is not None
    inside = [each.raw for each in asn1.open_der(signed, "it", asn1.SET).rest(asn1.SEQUENCE)]
    assert inside == sorted(inside)
    assert SIGNING_TIME in inside
    assert cms_signer.verify(found.signer, found.content, identity.certificate)


def test_a_chain_is_put_beside_the_signers_certificate_each_once(identity: Identity) -> None:
    one, two = make_identity("1").certificate, make_identity("2").certificate
    found = authenticode.parse(signature_by(identity, chain=[one, two, one, identity.certificate]))
    assert found.signed.certificates == (identity.certificate.der, one.der, two.der)


def test_the_key_must_be_the_certificates(identity: Identity) -> None:
    other = make_identity("other")
    with pytest.raises(KeyMaterialError, match="does not belong"):
        sign(DIGEST, load_private_key(other.key_pem), identity.certificate)


def test_only_sha256_can_be_signed(identity: Identity) -> None:
    with pytest.raises(UsageError, match="a sha384 of an executable"):
        signature_by(identity, ImageDigest("sha384", bytes(48)))


class LyingKey:
    """A token that answers with nonsense."""

    def __init__(self, identity: Identity) -> None:
        key = load_private_key(identity.key_pem)
        self.kind, self.key_der = key.kind, key.key_der

    def sign(self, data: bytes) -> bytes:
        return bytes(256) + data[:0]


def test_a_signature_that_does_not_hold_is_never_given_out(identity: Identity) -> None:
    with pytest.raises(KeyMaterialError, match="does not verify"):
        sign(DIGEST, LyingKey(identity), identity.certificate)


def changed(der: bytes, **fields: object) -> bytes:
    """The signature with other fields in SignedData."""
    signed = authenticode.parse(der).signed
    return cms.serialise(dataclasses.replace(signed, **fields))  # type: ignore[arg-type]


def with_signer(der: bytes, **fields: object) -> bytes:
    (signer,) = authenticode.parse(der).signed.signers
    return changed(der, signers=(dataclasses.replace(signer, **fields),))  # type: ignore[arg-type]


def test_up_to_seven_zeros_may_stand_behind(identity: Identity) -> None:
    der = signature_by(identity)
    for count in range(8):
        assert authenticode.parse(der + bytes(count)).digest == DIGEST
    for behind in (bytes(8), b"\1", b"\0\0\0\1"):
        with pytest.raises(FormatError, match="more than its structure"):
            authenticode.parse(der + behind)


def test_signed_attributes_have_to_be_there(identity: Identity) -> None:
    der = with_signer(signature_by(identity), signed_attributes=None, message_digest=None)
    with pytest.raises(UnsupportedError, match="no signed attributes"):
        authenticode.parse(der)


def test_signed_attributes_have_to_be_about_an_executable(identity: Identity) -> None:
    der = signature_by(identity)
    attributes = authenticode.parse(der).signer.signed_attributes
    assert attributes is not None
    spc = asn1.encode_oid("1.3.6.1.4.1.311.2.1.4")
    other = attributes.replace(spc, spc[:-1] + b"\x05")
    with pytest.raises(FormatError, match="content type SpcIndirectDataContent"):
        authenticode.parse(with_signer(der, signed_attributes=other))


@pytest.mark.parametrize(
    ("oid", "name", "others"),
    [
        ("1.3.6.1.4.1.311.3.3.1", "RFC 3161", ()),
        ("1.2.840.113549.1.9.6", "PKCS#9", ()),
        ("1.3.6.1.4.1.311.2.4.1", "", ("1.3.6.1.4.1.311.2.4.1",)),  # a nested signature
    ],
)
def test_unsigned_attributes_are_let_through_and_kept(
    identity: Identity, oid: str, name: str, others: tuple[str, ...]
) -> None:
    unsigned = asn1.encode(asn1.SET, attribute(asn1.encode_oid(oid), asn1.encode_integer(1)))
    der = with_signer(signature_by(identity), unsigned_attributes=unsigned)
    found = authenticode.parse(der)
    assert (found.timestamp, found.unsigned) == (name, others)
    assert cms.serialise(found.signed) == der
    assert cms_signer.verify(found.signer, found.content, identity.certificate)


def test_unsigned_attributes_have_to_be_attributes(identity: Identity) -> None:
    unsigned = asn1.encode(asn1.SET, asn1.encode_integer(1))
    with pytest.raises(FormatError):
        authenticode.parse(with_signer(signature_by(identity), unsigned_attributes=unsigned))


def test_two_signers_are_refused(identity: Identity) -> None:
    der = signature_by(identity)
    signers = authenticode.parse(der).signed.signers
    with pytest.raises(LimitError, match="2 signers"):
        authenticode.parse(changed(der, signers=signers * 2))


def test_the_content_has_to_be_inside(identity: Identity) -> None:
    with pytest.raises(FormatError, match="no digest of an executable"):
        authenticode.parse(changed(signature_by(identity), content=None))


def content(algorithm: bytes, value: bytes, *, data: bytes = b"") -> bytes:
    oid = asn1.encode_oid("1.3.6.1.4.1.311.2.1.15")
    info = asn1.encode(asn1.SEQUENCE, algorithm, asn1.encode(asn1.OCTET_STRING, value))
    return asn1.encode(asn1.SEQUENCE, oid, data) + info


SHA1 = asn1.encode_algorithm("1.3.14.3.2.26", asn1.DER_NULL)
SHA384 = asn1.encode_algorithm("2.16.840.1.101.3.4.2.2", asn1.DER_NULL)


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        (content(SHA384, bytes(48)), "two digests, sha384 and sha256"),
        (content(SHA1, bytes(20)), "two digests, 1.3.14.3.2.26 and sha256"),
        (content(cms_signer.SHA256, bytes(31)), "a sha256 of 31 bytes"),
        (content(cms_signer.SHA256, bytes(33)), "a sha256 of 33 bytes"),
        (content(cms_signer.SHA256, b""), "a sha256 of 0 bytes"),
        (content(cms_signer.SHA256, bytes(32), data=asn1.DER_NULL), "bytes more"),
        (content(cms_signer.SHA256, bytes(32)) + b"\0", "bytes more|ends"),
        (b"", "ends where"),
    ],
)
def test_the_content_must_be_one_digest_of_the_signers_kind(
    identity: Identity, inside: bytes, reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        authenticode.parse(changed(signature_by(identity), content=inside))


def test_page_hashes_and_odd_types_in_the_content_are_passed_over(identity: Identity) -> None:
    pages = asn1.encode(asn1.SEQUENCE, asn1.encode(asn1.OCTET_STRING, bytes(1000)))
    inside = content(cms_signer.SHA256, bytes(32), data=pages)
    assert authenticode.parse(changed(signature_by(identity), content=inside)).digest.value == (
        bytes(32)
    )
    fwupd = inside.replace(
        asn1.encode_oid("1.3.6.1.4.1.311.2.1.15"), asn1.encode_oid("1.3.6.1.4.1.311.2.1.21")
    )
    assert fwupd != inside
    assert authenticode.parse(changed(signature_by(identity), content=fwupd)).digest.value == (
        bytes(32)
    )


def test_old_signatures_are_recognised_by_their_digest(identity: Identity) -> None:
    der = signature_by(identity)
    signed = authenticode.parse(der).signed
    signer = dataclasses.replace(signed.signers[0], digest_der=SHA1)
    sha1 = cms.serialise(dataclasses.replace(signed, digests=(SHA1,), signers=(signer,)))
    with pytest.raises(UnsupportedError, match=r"the digest SHA-1 \(1\.3\.14\.3\.2\.26\)"):
        authenticode.parse(sha1)


def test_a_signature_of_a_root_hash_is_none_of_an_executable(identity: Identity) -> None:
    from sysgraft.sign.roothash import sign_root_hash  # noqa: PLC0415

    key = load_private_key(identity.key_pem)
    with pytest.raises(UnsupportedError, match="content type other than SpcIndirectDataContent"):
        authenticode.parse(sign_root_hash(bytes(32), key, identity.certificate))
    with pytest.raises(UnsupportedError, match="content type other than data"):
        cms.parse(signature_by(identity))


def test_sizes_are_limited() -> None:
    for data in (bytes(authenticode.MAX_SIGNATURE + 1), b"\x30" * (authenticode.MAX_SIGNATURE + 1)):
        with pytest.raises(LimitError):
            authenticode.parse(data)


def test_the_digest_is_where_firmware_looks_for_it(identity: Identity) -> None:
    """Also in the shortest and the longest signatures that are read."""
    der = signature_by(identity)
    stamp = asn1.encode(asn1.OCTET_STRING, bytes(authenticode.MAX_SIGNATURE - len(der) - 50))
    unsigned = asn1.encode(asn1.SET, attribute(asn1.encode_oid("1.2.3"), stamp))
    small = signature_by(make_identity(kind="p256"))
    for each in (with_signer(der, unsigned_attributes=unsigned), changed(small, certificates=())):
        assert authenticode.parse(each).digest == DIGEST
        assert each[32:41] == asn1.encode_oid("2.16.840.1.101.3.4.2.1")[2:]


def test_every_truncation_is_refused(identity: Identity) -> None:
    der = signature_by(identity)
    for length in range(len(der)):
        with pytest.raises(FormatError):
            authenticode.parse(der[:length])


# --- Digests -------------------------------------------------------------------------------------


def coverage_of(data: bytes) -> authenticode_digest.Coverage:
    return authenticode_digest.coverage(pe.parse(BytesBlob(data)))


def test_everything_but_two_fields_is_covered() -> None:
    data = make_pe([(".text", b"\xc3"), (".data", b"x" * 700)], behind=b"tail")
    covered = coverage_of(data)
    assert covered.ranges == (
        (0, CHECKSUM),
        (CHECKSUM + 4, SECURITY - CHECKSUM - 4),
        (SECURITY + 8, len(data) - SECURITY - 8),
    )
    assert (covered.gaps, covered.end) == ((), len(data))
    left = data[:CHECKSUM] + data[CHECKSUM + 4 : SECURITY] + data[SECURITY + 8 :]
    assert image_digest(data).value == hashlib.sha256(left).digest()


def test_the_certificate_table_is_not_covered() -> None:
    data = make_pe()
    for table in (bytes(8), b"\xff" * 800):
        assert image_digest(with_table(data, table)) == image_digest(data)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_any_digest_can_be_computed(algorithm: str) -> None:
    data = make_pe()
    left = data[:CHECKSUM] + data[CHECKSUM + 4 : SECURITY] + data[SECURITY + 8 :]
    assert image_digest(data, algorithm).value == hashlib.new(algorithm, left).digest()


def test_headers_without_a_place_for_the_table_are_covered_whole() -> None:
    data = make_pe(directories=4)
    assert coverage_of(data).ranges == (
        (0, CHECKSUM),
        (CHECKSUM + 4, len(data) - CHECKSUM - 4),
    )


def test_sections_count_by_their_place_in_the_file() -> None:
    data = bytearray(make_pe([(".one", b"1"), (".two", b"2")]))
    table = pe.parse(BytesBlob(bytes(data))).table_offset
    headers = bytes(data[table : table + 80])
    data[table : table + 80] = headers[40:] + headers[:40]
    # The headers count too, so only what follows them can be compared.
    covered = coverage_of(bytes(data))
    assert covered.ranges[-1][0] + covered.ranges[-1][1] == len(data)
    assert len(covered.ranges) == 3


def test_what_follows_a_gap_begins_where_the_sizes_add_up_to() -> None:
    data = make_pe([Piece(".one", b"1" * 512), Piece(".two", b"2" * 512, gap=512)], behind=b"tail")
    covered = coverage_of(data)
    assert covered.gaps == ((1024, 512),)
    assert covered.ranges == (
        (0, CHECKSUM),
        (CHECKSUM + 4, SECURITY - CHECKSUM - 4),
        (SECURITY + 8, 1024 - SECURITY - 8),
        (1536, 512),
        # EDK II: from the sum of all sizes on, which is inside the last section.
        (1536, 516),
    )
    assert authenticode_digest.filled_gaps(BytesBlob(data), covered) == ()
    filled = make_pe([Piece(".one", b"1" * 512), Piece(".two", b"2", gap=512)], gap_byte=b"!")
    covered = coverage_of(filled)
    assert authenticode_digest.filled_gaps(BytesBlob(filled), covered) == ((1024, 512),)


@pytest.mark.parametrize("step", [1, 7, 100, 4096])
@pytest.mark.parametrize("behind", [b"", b"1", b"1234567", b"12345678"])
def test_bytes_in_order_give_the_same_digest(step: int, behind: bytes) -> None:
    data = make_pe([(".text", b"\xc3" * 1000), (".data", b"x")], behind=behind)
    stream = authenticode_digest.SequentialDigest(CHECKSUM, SECURITY)
    for start in range(0, len(data), step):
        stream.update(data[start : start + step])
    padded = data + bytes(-len(data) % 8)
    assert stream.finish() == image_digest(padded)


def test_what_the_left_out_fields_hold_does_not_matter() -> None:
    data = bytearray(make_pe())
    expected = image_digest(bytes(data))
    data[CHECKSUM : CHECKSUM + 4] = b"abcd"
    assert image_digest(bytes(data)) == expected
    stream = authenticode_digest.SequentialDigest(CHECKSUM, SECURITY)
    data[SECURITY : SECURITY + 8] = b"somewhat"
    stream.update(data)
    assert stream.finish() == expected


def test_progress_adds_up_and_may_end_it() -> None:
    blob = BytesBlob(make_pe([(".data", bytes(5 << 20))]))
    covered = coverage_of(blob.read_at(0, blob.size))
    told: list[int] = []
    authenticode_digest.compute(blob, covered, ["sha256"], advance=told.append)
    assert sum(told) == blob.size - 12
    assert max(told) <= authenticode_digest.BUFFER

    def stop(amount: int) -> None:
        raise KeyboardInterrupt(amount)

    with pytest.raises(KeyboardInterrupt):
        authenticode_digest.compute(blob, covered, ["sha256"], advance=stop)


def test_the_likely_digest_is_the_one_a_signature_has(identity: Identity) -> None:
    der = signature_by(identity)
    likely = authenticode_digest.likely_algorithms
    assert likely([der]) == {"sha256"}
    sha384 = asn1.encode_oid("2.16.840.1.101.3.4.2.2")[2:]
    assert likely([der.replace(der[32:41], sha384, 1)]) == {"sha384"}
    assert likely([der, der.replace(der[32:41], sha384, 1)]) == {"sha256", "sha384"}
    for nothing in ([], [b""], [b"\x30"], [bytes(100)]):
        assert likely(nothing) == {"sha256"}


# --- Executables that can be read in two ways -----------------------------------------------------


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def test_sections_that_overlap_are_refused() -> None:
    data = make_pe([(".one", b"1" * 512), (".two", b"2" * 512)])
    second = pe.parse(BytesBlob(data)).table_offset + 40 + 20
    for offset in (513, 1000, 1023):
        with pytest.raises(FormatError, match=r"\.two overlaps the section \.one"):
            coverage_of(patched(data, second, struct.pack("<I", offset)))
    with pytest.raises(FormatError, match="overlaps"):
        coverage_of(patched(data, second, struct.pack("<I", 512)))


def test_sections_inside_the_headers_are_refused() -> None:
    data = make_pe([(".one", b"1")])
    first = pe.parse(BytesBlob(data)).table_offset + 20
    for offset in (0, 1, 511):
        with pytest.raises(FormatError, match="overlaps the headers"):
            coverage_of(patched(data, first, struct.pack("<I", offset)))


def test_the_certificate_table_has_to_end_the_file(identity: Identity) -> None:
    signed = signed_pe(make_pe(), identity)
    assert coverage_of(signed).end == 1024
    with pytest.raises(FormatError, match="not with the file"):
        coverage_of(signed + b"\0")
    shorter = struct.unpack_from("<I", signed, SECURITY + 4)[0] - 8
    with pytest.raises(FormatError, match="not with the file"):
        coverage_of(patched(signed, SECURITY + 4, struct.pack("<I", shorter)))


@pytest.mark.parametrize("back", [8, 100, 512, 1000])
def test_the_certificate_table_may_overlap_nothing(back: int) -> None:
    data = make_pe()
    entry = struct.pack("<II", len(data) - back, back)
    with pytest.raises(FormatError, match="overlaps the executable"):
        coverage_of(patched(data, SECURITY, entry))


def test_the_certificate_table_has_to_be_aligned() -> None:
    data = make_pe(behind=b"1234")
    with pytest.raises(FormatError, match="no multiple of 8"):
        coverage_of(patched(data, SECURITY, struct.pack("<II", len(data), 8)) + bytes(8))


def test_a_table_without_a_size_is_none() -> None:
    data = make_pe()
    for offset in (1, 512, 0xFFFFFFFF):
        changed_entry = patched(data, SECURITY, struct.pack("<II", offset, 0))
        assert coverage_of(changed_entry) == coverage_of(data)
        assert image_digest(changed_entry) == image_digest(data)


def test_signing_does_not_change_what_is_signed(identity: Identity) -> None:
    data = make_pe(behind=b"odd")
    signed = signed_pe(data, identity)
    assert image_digest(signed) == authenticode.parse(signature_of(data, identity)).digest
