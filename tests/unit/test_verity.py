"""dm-verity: superblock, geometry, hashes and what the check of a stored tree finds."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from typing import Final
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import (
    FormatError,
    LimitError,
    TruncatedError,
    UnsupportedError,
    UsageError,
)
from sysgraft.formats import verity, verity_tree
from sysgraft.formats.verity import Level, Levels, Superblock

SALT: Final = bytes(range(1, 33))
SB: Final = Superblock(UUID("898929e6-7747-423e-8593-3659ba461e7c"), 300, SALT)


def make_device(blocks: int = 300) -> tuple[Superblock, bytearray, bytes]:
    """A superblock, the hash device it leads and the root hash."""
    superblock = replace(SB, data_blocks=blocks)
    data = b"".join(number.to_bytes(4, "big") * 1024 for number in range(blocks))
    digests = verity.hash_blocks(data, salt=SALT)
    bottom = superblock.levels.level0
    level0 = digests.ljust(bottom.blocks * 4096, b"\0") if bottom else b""
    upper, root_hash = verity_tree.upper_levels(superblock, BytesBlob(level0 or digests))
    device = bytes(superblock).ljust(4096, b"\0") + upper + level0
    return superblock, bytearray(device), root_hash


# --- Superblock ----------------------------------------------------------------------------------


def test_superblock_has_every_field_in_its_place() -> None:
    raw = bytes(SB)
    assert len(raw) == 512
    assert raw[:16] == b"verity\0\0" + bytes([1, 0, 0, 0, 1, 0, 0, 0])
    assert raw[16:32].hex() == "898929e67747423e85933659ba461e7c"
    assert raw[32:64] == b"sha256".ljust(32, b"\0")
    assert raw[64:82] == struct.pack("<IIQH", 4096, 4096, 300, 32)
    assert raw[82:88] + raw[88 + 32 :] == bytes(6 + 224 + 168)
    assert raw[88 : 88 + 32] == SALT


@pytest.mark.parametrize(
    "superblock",
    [
        SB,
        replace(SB, salt=b""),
        replace(SB, salt=bytes(256)),
        replace(SB, algorithm="sha512", hash_type=0, data_block_size=512, hash_block_size=65536),
        replace(SB, data_blocks=(2**63 - 1) // 4096),
    ],
)
def test_superblock_is_read_back_as_written(superblock: Superblock) -> None:
    assert verity.parse_superblock(BytesBlob(bytes(superblock) + b"tail")) == superblock


@pytest.mark.parametrize(
    ("offset", "data", "error", "message"),
    [
        (0, b"V", FormatError, "no dm-verity superblock"),
        (7, b"1", FormatError, "no dm-verity superblock"),
        (8, b"\2", UnsupportedError, "version 2"),
        (12, b"\2", UnsupportedError, "hash type 2"),
        (32, b"sha1\0\0", UnsupportedError, "'sha1' is not handled"),
        (32, bytes(6), UnsupportedError, "'' is not handled"),
        (32, b"\xff\x1b[2J", UnsupportedError, r"\\xff\\\\x1b"),
        (38, b"\0x", FormatError, "bytes follow the hash algorithm"),
        (64, struct.pack("<I", 256), FormatError, "blocks of 256 bytes"),
        (64, struct.pack("<I", 4097), FormatError, "blocks of 4097 bytes"),
        (68, struct.pack("<I", 131072), FormatError, "blocks of 131072 bytes"),
        (68, struct.pack("<I", 0), FormatError, "blocks of 0 bytes"),
        (72, struct.pack("<Q", 0), FormatError, "covers no data"),
        (72, struct.pack("<Q", 2**51), LimitError, "covers 2251799813685248 blocks"),
        (72, struct.pack("<Q", 2**64 - 1), LimitError, "covers"),
        (80, struct.pack("<H", 257), FormatError, "the salt has 257 bytes"),
        (80, struct.pack("<H", 31), FormatError, "unused bytes"),
        (82, b"\1", FormatError, "unused bytes"),
        (343, b"\1", FormatError, "unused bytes"),
        (344, b"\1", FormatError, "unused bytes"),
        (511, b"\1", FormatError, "unused bytes"),
    ],
)
def test_superblock_that_breaks_a_rule_is_refused(
    offset: int, data: bytes, error: type[FormatError], message: str
) -> None:
    raw = bytearray(bytes(SB))
    raw[offset : offset + len(data)] = data
    with pytest.raises(error, match=message):
        verity.parse_superblock(BytesBlob(bytes(raw)))


def test_half_a_superblock_is_refused() -> None:
    with pytest.raises(TruncatedError):
        verity.parse_superblock(BytesBlob(bytes(SB)[:511]))


@pytest.mark.parametrize(
    "changes",
    [{"data_blocks": 0}, {"salt": bytes(257)}, {"algorithm": "md5"}, {"hash_block_size": 1000}],
)
def test_impossible_superblock_cannot_be_made(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        replace(SB, **changes)  # type: ignore[arg-type]


# --- Geometry ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "levels", "total"),
    [
        (1, (), 1),
        (2, (Level(4096, 1, 2),), 2),
        (128, (Level(4096, 1, 128),), 2),
        (129, (Level(8192, 2, 129), Level(4096, 1, 2)), 4),
        (16384, (Level(8192, 128, 16384), Level(4096, 1, 128)), 130),
        (
            16385,
            (Level(4 * 4096, 129, 16385), Level(2 * 4096, 2, 129), Level(4096, 1, 2)),
            133,
        ),
    ],
)
def test_root_comes_first_and_level_0_last(
    blocks: int, levels: tuple[Level, ...], total: int
) -> None:
    found = Levels.of(blocks)
    assert (found.levels, found.total_blocks, found.size) == (levels, total, total * 4096)


def test_largest_possible_tree_is_laid_out_at_once() -> None:
    levels = replace(SB, data_blocks=(2**63 - 1) // 4096).levels
    assert len(levels.levels) == 8
    assert levels.level0 == Level(levels.size - 2**44 * 4096, 2**44, 2**51 - 1)


# --- Hashing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("hash_type", [0, 1])
def test_every_block_is_hashed_with_the_salt_on_its_side(algorithm: str, hash_type: int) -> None:
    blocks = [bytes([number]) * 512 for number in range(5)]
    salted = [SALT + block if hash_type else block + SALT for block in blocks]
    found = verity.hash_blocks(
        memoryview(b"".join(blocks)),
        salt=SALT,
        block_size=512,
        algorithm=algorithm,
        hash_type=hash_type,
    )
    assert found == b"".join(hashlib.new(algorithm, data).digest() for data in salted)


def test_part_of_a_block_is_not_hashed() -> None:
    with pytest.raises(UsageError, match="4097 bytes are not whole blocks"):
        verity.hash_blocks(bytes(4097), salt=b"")


def test_no_blocks_have_no_digests() -> None:
    assert verity.hash_blocks(b"", salt=SALT) == b""


def test_first_difference_is_the_number_of_the_digest() -> None:
    digests = bytes(range(96))
    changed = digests[:64] + b"\xff" + digests[65:]
    assert verity_tree.first_difference(digests, digests) is None
    assert verity_tree.first_difference(digests, changed) == 2
    assert verity_tree.first_difference(digests, digests[:64]) == 2
    assert verity_tree.first_difference(digests[:64], digests) == 2
    assert verity_tree.first_difference(digests[:64], digests[:32] + bytes(32), 64) == 0


@pytest.mark.parametrize("size", [0, 4096, 3 * 4096 - 1, 4 * 4096])
def test_level_0_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="instead of 12288"):
        verity_tree.upper_levels(SB, BytesBlob(bytes(size)))


def test_single_block_is_its_own_root() -> None:
    superblock, device, root_hash = make_device(1)
    assert root_hash == hashlib.sha256(SALT + bytes(4096)).digest()
    assert len(device) == superblock.levels.size == 4096
    assert verity_tree.check_upper_levels(BytesBlob(bytes(device)), superblock, root_hash) is None


# --- Checking a stored tree ----------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [1, 2, 128, 129, 300, 40000])
def test_tree_as_built_is_genuine(blocks: int) -> None:
    superblock, device, root_hash = make_device(blocks)
    # What follows the tree in the partition is none of its business.
    blob = BytesBlob(bytes(device) + b"slack")
    assert verity_tree.check_upper_levels(blob, superblock, root_hash) is None


@pytest.mark.parametrize(
    ("offset", "level", "block", "reason"),
    [
        (4096, 1, 0, "does not match the root hash"),
        (4096 + 3 * 32, 1, 0, "does not match the root hash"),
        (2 * 4096, 0, 0, "does not match its digest one level up"),
        (4 * 4096, 0, 2, "does not match its digest one level up"),
        (5 * 4096 - 1, 0, 2, "does not match its digest one level up"),
    ],
)
def test_damaged_hash_block_is_named(offset: int, level: int, block: int, reason: str) -> None:
    superblock, device, root_hash = make_device()
    device[offset] ^= 1
    found = verity_tree.check_upper_levels(BytesBlob(bytes(device)), superblock, root_hash)
    assert found == (level, block, offset // 4096 * 4096, reason)


def test_foreign_root_hash_is_refused_at_the_root() -> None:
    superblock, device, _ = make_device()
    found = verity_tree.check_upper_levels(BytesBlob(bytes(device)), superblock, bytes(32))
    assert found == (1, 0, 4096, "does not match the root hash")


@pytest.mark.parametrize("blocks", [1, 300])
@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_root_hash_of_another_length_is_refused(blocks: int, length: int) -> None:
    superblock, device, root_hash = make_device(blocks)
    with pytest.raises(FormatError, match=f"the root hash has {length} bytes, one of sha256"):
        verity_tree.check_upper_levels(
            BytesBlob(bytes(device)), superblock, (root_hash * 2)[:length]
        )


@pytest.mark.parametrize(("claimed", "level"), [(299, 0), (257, 0), (256, 1)])
def test_superblock_that_claims_fewer_blocks_is_found_out(claimed: int, level: int) -> None:
    superblock, device, root_hash = make_device()
    fewer = replace(superblock, data_blocks=claimed)
    found = verity_tree.check_upper_levels(BytesBlob(bytes(device)), fewer, root_hash)
    assert found is not None
    assert (found.level, found.reason) == (level, "has surplus digests")


def test_hash_device_shorter_than_its_tree_is_refused() -> None:
    superblock, device, root_hash = make_device()
    with pytest.raises(TruncatedError, match="needs 20480 bytes, there are 20479"):
        verity_tree.check_upper_levels(BytesBlob(bytes(device[:-1])), superblock, root_hash)


def test_claim_of_petabytes_is_refused_at_once() -> None:
    huge = replace(SB, data_blocks=2**50)
    with pytest.raises(TruncatedError, match="needs"):
        verity_tree.check_upper_levels(BytesBlob(bytes(1 << 20)), huge, bytes(32))
