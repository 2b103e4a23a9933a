"""dm-verity: no flipped bit of superblock, tree or data goes unnoticed, but the UUID's."""

from __future__ import annotations

import struct
from typing import Final
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats import verity, verity_tree
from sysgraft.formats.verity import Levels, Superblock

BLOCKS: Final = 300
SB: Final = Superblock(UUID(int=7), BLOCKS, b"s" * 32, data_block_size=512, hash_block_size=512)
DATA: Final = b"".join(number.to_bytes(4, "big") * 128 for number in range(BLOCKS))
LEVEL0: Final = verity.hash_blocks(DATA, salt=SB.salt, block_size=512).ljust(19 * 512, b"\0")
UPPER, ROOT_HASH = verity_tree.upper_levels(SB, BytesBlob(LEVEL0))
DEVICE: Final = bytes(SB) + UPPER + LEVEL0


def genuine(data: bytes, device: bytes) -> bool:
    """Whether tree and data are what the root hash stands for."""
    blob = BytesBlob(device)
    superblock = verity.parse_superblock(blob)
    if verity_tree.check_upper_levels(blob, superblock, ROOT_HASH) is not None:
        return False
    bottom = superblock.levels.level0
    if bottom is None or superblock.data_size > len(data):
        return False
    found = verity.hash_blocks(
        data[: superblock.data_size],
        salt=superblock.salt,
        block_size=superblock.data_block_size,
        algorithm=superblock.algorithm,
        hash_type=superblock.hash_type,
    )
    return verity_tree.first_difference(found, blob.read_at(bottom.offset, len(found))) is None


def noticed(data: bytes, device: bytes) -> bool:
    try:
        return not genuine(data, device)
    except FormatError:
        return True


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_untouched_device_is_genuine() -> None:
    assert genuine(DATA, DEVICE)


def test_every_bit_of_the_superblock_but_its_uuid_is_noticed() -> None:
    missed = {bit // 8 for bit in range(512 * 8) if not noticed(DATA, flipped(DEVICE, bit))}
    assert missed == {byte for start, end in verity.UNAUTHENTICATED for byte in range(start, end)}


@given(st.integers(512 * 8, len(DEVICE) * 8 - 1))
def test_flipped_bit_of_the_tree_is_noticed(bit: int) -> None:
    assert noticed(DATA, flipped(DEVICE, bit))


@given(st.integers(0, len(DATA) * 8 - 1))
def test_flipped_bit_of_the_data_is_noticed(bit: int) -> None:
    assert noticed(flipped(DATA, bit), DEVICE)


@given(
    st.integers(1, 2**51 - 1),
    st.sampled_from([1 << bits for bits in range(9, 17)]),
    st.sampled_from([32, 64]),
)
def test_levels_fill_the_device_without_gaps(blocks: int, hash_block: int, digest: int) -> None:
    found = Levels.of(blocks, hash_block_size=hash_block, digest_size=digest)
    end = hash_block
    below = 1
    for level in reversed(found.levels):
        assert level.offset == end
        assert level.blocks == below
        assert (level.blocks - 1) * hash_block < level.digests * digest <= level.blocks * hash_block
        end += level.blocks * hash_block
        below = level.digests
    assert end == found.size
    assert below == blocks


SUPERBLOCKS: Final = st.builds(
    Superblock,
    st.uuids(),
    st.integers(1, (2**63 - 1) >> 16),
    st.binary(max_size=256),
    st.sampled_from(["sha256", "sha512"]),
    st.sampled_from([1 << bits for bits in range(9, 17)]),
    st.sampled_from([1 << bits for bits in range(9, 17)]),
    st.sampled_from([0, 1]),
)


@given(SUPERBLOCKS)
def test_any_superblock_is_read_back_as_written(superblock: Superblock) -> None:
    assert verity.parse_superblock(BytesBlob(bytes(superblock))) == superblock


EDGES: Final = [0, 1, 2, 255, 256, 512, 4096, 65535, 2**31, 2**32 - 1]


@given(
    st.lists(st.tuples(st.sampled_from(range(8, 510, 2)), st.sampled_from(EDGES)), max_size=4),
    st.binary(max_size=64),
    st.integers(0, len(DEVICE)),
)
def test_nonsense_in_any_field_is_survived(
    fields: list[tuple[int, int]], noise: bytes, cut: int
) -> None:
    device = bytearray(DEVICE)
    for offset, value in fields:
        struct.pack_into("<I", device, min(offset, 508), value)
    device[600 : 600 + len(noise)] = noise
    noticed(DATA, bytes(device))
    noticed(DATA, bytes(device[:cut]))
