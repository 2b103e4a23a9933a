"""The on-disk structures one by one: checksum, superblock, inode, directory, attributes."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError, UnsupportedError
from sysgraft.formats.crc32c import crc32c
from sysgraft.formats.erofs import xattr
from sysgraft.formats.erofs.dirent import Entry, decode_block, directory_size, encode_directory
from sysgraft.formats.erofs.inode import (
    DiskInode,
    decode_device,
    decode_inode,
    encode_device,
    encode_inode,
)
from sysgraft.formats.erofs.ondisk import Layout
from sysgraft.formats.erofs.superblock import (
    Superblock,
    encode_superblock,
    read_superblock,
    seal_block,
)

SUPERBLOCK = Superblock(
    uuid=UUID("00112233-4455-6677-8899-aabbccddeeff"),
    block_count=1,
    build_time=1_700_000_000,
    root_nid=36,
    inode_count=5,
    volume_name="grün",
)


def sealed(superblock: Superblock) -> bytearray:
    block = bytearray(4096)
    block[1024:1152] = encode_superblock(superblock)
    seal_block(memoryview(block))
    return block


def test_crc32c_gives_the_check_value_of_the_rfc() -> None:
    assert crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283
    assert crc32c(bytes(32)) ^ 0xFFFFFFFF == 0x8A9136AA  # RFC 3720, B.4


def test_a_superblock_reads_back_as_written() -> None:
    read = read_superblock(BytesBlob(bytes(sealed(SUPERBLOCK))))
    assert read.checksum != 0
    assert replace(read, checksum=0) == SUPERBLOCK


def test_every_byte_of_the_first_block_behind_the_boot_area_is_in_the_checksum() -> None:
    block = sealed(SUPERBLOCK)
    for position in (1024 + 4, 1024 + 9, 1024 + 127, 1500, 4095):
        damaged = bytearray(block)
        damaged[position] ^= 1
        with pytest.raises(FormatError, match="checksum"):
            read_superblock(BytesBlob(bytes(damaged)))
    block[1023] ^= 1
    assert read_superblock(BytesBlob(bytes(block))).root_nid == 36


@pytest.mark.parametrize(
    ("position", "value", "error", "words"),
    [
        (1024, 0, FormatError, "magic"),
        (1024 + 12, 8, FormatError, "block size"),
        (1024 + 12, 17, FormatError, "block size"),
        (1024 + 80, 0x80, UnsupportedError, "48-bit block addresses"),
        (1024 + 81, 0x01, UnsupportedError, "compressed metadata"),
        (1024 + 81, 0x02, UnsupportedError, "0x200"),
        (1024 + 90, 1, UnsupportedError, "directory blocks"),
        (1024 + 36, 2, TruncatedError, "8192"),
    ],
)
def test_a_superblock_that_cannot_be_read_is_refused(
    position: int, value: int, error: type[FormatError], words: str
) -> None:
    block = sealed(SUPERBLOCK)
    block[position] = value
    with pytest.raises(error, match=words):
        read_superblock(BytesBlob(bytes(block)))


def test_an_image_shorter_than_a_superblock_is_refused() -> None:
    with pytest.raises(TruncatedError, match="1151"):
        read_superblock(BytesBlob(bytes(1151)))


INODE = DiskInode(
    extended=True,
    layout=Layout.FLAT_INLINE,
    mode=0o100755,
    nlink=70_000,
    size=1 << 40,
    union=77,
    number=9,
    uid=100_000,
    gid=0xFFFFFFFF,
    mtime=-5,
    mtime_nsec=999_999_999,
    xattr_size=16,
)


def test_an_extended_inode_reads_back_as_written() -> None:
    data = encode_inode(INODE)
    assert len(data) == 64
    assert decode_inode(data, base_time=3, base_nsec=4) == INODE


def test_a_compact_inode_takes_its_time_from_the_superblock() -> None:
    compact = replace(INODE, extended=False, nlink=1, size=5, uid=7, gid=8, xattr_size=0)
    data = encode_inode(compact)
    assert len(data) == 32
    assert decode_inode(data, base_time=3, base_nsec=4) == replace(compact, mtime=3, mtime_nsec=4)


def test_a_compact_inodes_own_time_adds_to_the_superblocks() -> None:
    compact = replace(INODE, extended=False, nlink=1, size=5, uid=7, gid=8)
    data = bytearray(encode_inode(compact))
    data[12:16] = (100).to_bytes(4, "little")
    assert decode_inode(bytes(data), base_time=3, base_nsec=0).mtime == 103


@pytest.mark.parametrize(
    ("position", "value", "error"),
    [(0, 0x0B, UnsupportedError), (0, 0x11, UnsupportedError), (5, 0, FormatError)],
)
def test_an_unknown_inode_is_refused(position: int, value: int, error: type[FormatError]) -> None:
    data = bytearray(encode_inode(INODE))
    data[position] = value
    with pytest.raises(error):
        decode_inode(bytes(data), base_time=0, base_nsec=0)


def test_impossible_nanoseconds_are_refused() -> None:
    data = encode_inode(replace(INODE, mtime_nsec=1_000_000_000))
    with pytest.raises(FormatError, match="nanoseconds"):
        decode_inode(data, base_time=0, base_nsec=0)


@pytest.mark.parametrize(
    ("device", "number"),
    [((0, 0), 0), ((1, 3), 0x103), ((4095, 1048575), 0xFFFFFFFF), ((259, 256), 0x00110300)],
)
def test_device_numbers_are_stored_as_linux_does(device: tuple[int, int], number: int) -> None:
    assert encode_device(device) == number
    assert decode_device(number) == device


@pytest.mark.parametrize("device", [(4096, 0), (0, 1 << 20), (-1, 0)])
def test_device_numbers_too_large_are_refused(device: tuple[int, int]) -> None:
    with pytest.raises(FormatError, match="device"):
        encode_device(device)


def test_a_small_directory_is_laid_out_as_the_format_says() -> None:
    data = encode_directory(
        [Entry(b".", 36, 2), Entry(b"..", 36, 2), Entry(b"ab", 0x1_0000_0000, 1)]
    )
    assert data == bytes.fromhex(
        "2400000000000000 2400 02 00"
        "2400000000000000 2500 02 00"
        "0000000001000000 2700 01 00"
        "2e 2e2e 6162"
    )
    assert decode_block(data)[2] == Entry(b"ab", 1 << 32, 1)


def test_directory_blocks_are_filled_to_the_last_byte() -> None:
    # 16 entries of 12 + 244 bytes fill a block exactly; the seventeenth starts another.
    names = [b"%0244d" % number for number in range(17)]
    assert directory_size(names[:16]) == 4096
    assert directory_size(names) == 4096 + 256
    data = encode_directory([Entry(name, 1, 1) for name in names])
    assert len(data) == 4096 + 256
    assert [entry.name for entry in decode_block(data[:4096])] == names[:16]
    assert [entry.name for entry in decode_block(data[4096:])] == names[16:]


def test_a_block_padded_with_zeros_ends_its_last_name_there() -> None:
    names = [b"%0200d" % number for number in range(20)]
    data = encode_directory([Entry(name, 1, 1) for name in names])
    assert [entry.name for entry in decode_block(data[:4096])] == names[:19]


def block_of(*names: bytes, first: int | None = None) -> bytes:
    data = bytearray(encode_directory([Entry(name, 1, 1) for name in names]))
    if first is not None:
        data[8:10] = first.to_bytes(2, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"", "start at 0"),
        (bytes(12), "start at 0"),
        (bytes(4096), "start at 0"),
        (block_of(b"a", first=13), "start at 13"),
        (block_of(b"a", first=24), "start at 24"),
        (block_of(b"b", b"a"), "not in order: b, a"),
        (block_of(b"a", b"a"), "two directory entries"),
        (block_of(b"a", b""), "0 bytes"),
        (block_of(b"", b"a"), "0 bytes"),
        (block_of(b"a/b"), "no file can have this name: a/b"),
        (block_of(b"a\0b", b"c"), "no file can have this name"),
        (block_of(b"a" * 256), "256 bytes"),
        (block_of(b"a" * 256, b"b"), "256 bytes"),
        (block_of(b"a")[:12] + b"\0", "0 bytes"),
    ],
)
def test_a_broken_directory_block_is_refused(block: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        decode_block(block)


def test_a_name_that_ends_before_it_starts_is_refused() -> None:
    data = bytearray(block_of(b"a", b"b", b"c"))
    data[12 + 8 : 12 + 10] = (4000).to_bytes(2, "little")
    with pytest.raises(FormatError):
        decode_block(bytes(data))


def test_attributes_are_laid_out_as_the_format_says() -> None:
    assert xattr.encode_xattrs(()) == b""
    body = xattr.encode_xattrs(
        [
            (b"user.ab", b"xyz"),
            (b"system.posix_acl_access", b"\2\0\0\0"),
            (b"security.capability", b""),
        ]
    )
    assert body == bytes(12) + (
        b"\x0a\x06\0\0capability\0\0\x00\x02\x04\0\2\0\0\0\x02\x01\x03\0abxyz\0\0\0"
    )


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b"user",
        b"user.",
        b"system.nfs4_acl",
        b"system.posix_acl_access.more",
        b"btrfs.compression",
        b"lustre.lov",
        b"user.a\0b",
    ],
)
def test_attributes_outside_the_known_namespaces_are_refused(name: bytes) -> None:
    with pytest.raises(FormatError, match="no namespace"):
        xattr.encode_xattrs([(name, b"")])


def test_an_attribute_given_twice_is_refused() -> None:
    with pytest.raises(FormatError, match=r"user\.a is there twice"):
        xattr.encode_xattrs([(b"user.a", b"1"), (b"user.b", b""), (b"user.a", b"2")])


@pytest.mark.parametrize(
    "attributes",
    [
        [(b"user." + b"n" * 256, b"")],
        [(b"user.a", bytes(65536))],
        [(b"user.%d" % number, bytes(65500)) for number in range(5)],
    ],
)
def test_attributes_beyond_the_formats_reach_are_refused(
    attributes: list[tuple[bytes, bytes]],
) -> None:
    with pytest.raises(LimitError, match="EROFS holds"):
        xattr.encode_xattrs(attributes)
