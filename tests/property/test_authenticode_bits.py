"""Every single bit of a signed executable counts, but for those that mean nothing."""

from __future__ import annotations

import pytest

from executables import (
    CHECKSUM,
    SECURITY,
    make_authority,
    make_pe,
    signed_pe,
    uki_pieces,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.image.uki_verify import UkiVerifyOptions, verify_blob
from sysgraft.sign.verify import trust
from sysgraft.testing.certificates import NOW, Identity, make_identity

ROOT = make_authority("root", kind="p256")
INTER = make_authority("inter", kind="p256", issuer=ROOT)
BELOW = make_identity("below", kind="p256", issuer=INTER)
ALONE = make_identity("alone", kind="p256")
AUTHORITY = make_authority("self", kind="p256")

# What neither a signature nor a rule determines: the checksum of the file, which firmware does not
# read, and how many of the zeros behind a signature its length takes in (the low bits of dwLength).
CHECKSUM_BITS = {8 * CHECKSUM + bit for bit in range(32)}


def table_of(data: bytes) -> int:
    """Where the certificate table begins."""
    return int.from_bytes(data[SECURITY : SECURITY + 4], "little")


def padding_bits(entry: int) -> set[int]:
    """The bits of dwLength that an entry's padding leaves free."""
    return {8 * entry + bit for bit in range(3)}


def undetected(data: bytes, store: trust.TrustStore, bits: range) -> set[int]:
    """The bits whose change leaves the executable a good one."""
    options = UkiVerifyOptions(trust=store, now=NOW)
    assert verify_blob(BytesBlob(data), "it", options).ok
    found = set()
    for bit in bits:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        if verify_blob(BytesBlob(bytes(flipped)), "it", options).ok:
            found.add(bit)
    return found


def test_each_flipped_bit_of_an_executable_is_detected() -> None:
    data = signed_pe(make_pe([(".text", b"\xc3")], alignment=64), ALONE)
    store = trust.from_certificates(ALONE.certificate.der, "db")
    found = undetected(data, store, range(8 * len(data)))
    assert CHECKSUM_BITS <= found <= CHECKSUM_BITS | padding_bits(table_of(data))


@pytest.mark.parametrize(
    ("signer", "chain", "trusted"),
    [(AUTHORITY, (), AUTHORITY), (BELOW, (INTER,), ROOT), (BELOW, (INTER,), INTER)],
    ids=["self-signed authority", "below a root", "below an intermediate"],
)
def test_each_flipped_bit_of_a_chain_is_detected(
    signer: Identity, chain: tuple[Identity, ...], trusted: Identity
) -> None:
    data = signed_pe(make_pe([(".text", b"\xc3")], alignment=64), signer, chain=chain)
    allowed = padding_bits(table_of(data))
    if trusted is INTER:
        # The intermediate inside is one more copy of what is trusted anyway.
        at = data.index(INTER.certificate.der)
        allowed |= set(range(8 * at, 8 * (at + len(INTER.certificate.der))))
    store = trust.from_certificates(trusted.certificate.der, "db")
    assert undetected(data, store, range(8 * table_of(data), 8 * len(data))) <= allowed


def test_each_flipped_bit_of_an_rsa_signer_is_detected() -> None:
    identity = make_identity()
    data = signed_pe(make_pe(uki_pieces(), alignment=64), identity)
    store = trust.from_certificates(identity.certificate.der, "db")
    behind = data.index(identity.certificate.der) + len(identity.certificate.der)
    assert undetected(data, store, range(8 * SECURITY, 8 * SECURITY + 64)) == set()
    assert undetected(data, store, range(8 * behind, 8 * len(data))) == set()


def test_a_second_signature_that_is_broken_by_a_bit_makes_the_first_no_worse() -> None:
    """What firmware does: it goes on to the next. Its form has to be right all the same."""
    data = signed_pe(make_pe([(".text", b"\xc3")], alignment=64), ALONE, AUTHORITY)
    table = table_of(data)
    second = table + -(-int.from_bytes(data[table : table + 4], "little") // 8) * 8
    one = trust.from_certificates(ALONE.certificate.der, "db")
    found = undetected(data, one, range(8 * table, 8 * (second + 8)))
    assert found <= padding_bits(table) | padding_bits(second)
    both = one | trust.from_certificates(AUTHORITY.certificate.der, "db")
    found = undetected(data, both, range(8 * second, 8 * (second + 8)))
    assert found <= padding_bits(second)
