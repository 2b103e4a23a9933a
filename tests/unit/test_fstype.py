"""File systems are told by their magic numbers, in real images and in made-up ones."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats.fstype import MAGICS, probe
from sysgraft.host.run import which

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 66 << 10


def blob(*pieces: tuple[int, bytes], size: int = SIZE) -> BytesBlob:
    """Zeros with these pieces at their offsets."""
    data = bytearray(size)
    for offset, piece in pieces:
        data[offset : offset + len(piece)] = piece
    return BytesBlob(bytes(data))


# --- Real images ---------------------------------------------------------------------------------


def made(path: Path, *argv: str) -> BytesBlob:
    """What a mkfs program writes to `path`."""
    program = which(argv[0])
    assert program is not None
    subprocess.run([program, *argv[1:]], check=True, capture_output=True)
    return BytesBlob(path.read_bytes())


@pytest.mark.oracle("mkfs.erofs")
def test_an_image_by_mkfs_erofs_is_erofs(sample_tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "image"
    assert probe(made(path, "mkfs.erofs", str(path), str(sample_tree))) == "erofs"


@pytest.mark.oracle("mksquashfs")
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_image_by_mksquashfs_is_squashfs(
    compression: str, sample_tree: Path, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    argv = ("mksquashfs", str(sample_tree), str(path), "-quiet", "-comp", compression)
    assert probe(made(path, *argv)) == "squashfs"


@pytest.mark.oracle("mkfs.ext4")
def test_an_image_by_mkfs_ext4_is_ext4(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(4 << 20))
    assert probe(made(path, "mkfs.ext4", "-q", "-F", str(path))) == "ext4"


@pytest.mark.oracle("mkfs.vfat")
@pytest.mark.parametrize(("bits", "size"), [("12", 4 << 20), ("16", 32 << 20), ("32", 48 << 20)])
def test_an_image_by_mkfs_vfat_is_vfat(tmp_path: Path, bits: str, size: int) -> None:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(size)
    assert probe(made(path, "mkfs.vfat", "-F", bits, str(path))) == "vfat"


# --- Made-up ones --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "offset", "magic"),
    [
        # As the kernel's headers have them, numbers little-endian unless noted.
        ("erofs", 1024, 0xE0F5E1E2.to_bytes(4, "little")),
        ("f2fs", 1024, 0xF2F52010.to_bytes(4, "little")),
        ("ext4", 1024 + 56, 0xEF53.to_bytes(2, "little")),
        ("squashfs", 0, 0x73717368.to_bytes(4, "little")),
        ("xfs", 0, 0x58465342.to_bytes(4, "big")),
        ("btrfs", 0x10000 + 64, 0x4D5F53665248425F.to_bytes(8, "little")),
        ("vfat", 82, b"FAT32   "),
        ("vfat", 54, b"FAT16   "),
        ("vfat", 54, b"FAT12   "),
        # Not mounted from extensions; an image must not be one of these to another reader.
        ("crypto_LUKS", 0, b"LUKS\xba\xbe"),
        ("crypto_LUKS", 0x4000, b"SKUL\xba\xbe"),
        ("iso9660", 16 * 2048 + 1, b"CD001"),
        ("udf", 16 * 2048 + 1, b"BEA01"),
        ("swap", 4096 - 10, b"SWAPSPACE2"),
    ],
)
def test_a_magic_number_counts_at_its_place_only(name: str, offset: int, magic: bytes) -> None:
    assert probe(blob((offset, magic))) == name
    assert probe(blob((offset + 1, magic))) is None
    end = offset + len(magic)
    assert probe(blob((offset, magic), size=end)) == name
    assert probe(BytesBlob(blob((offset, magic)).read_at(0, end - 1))) is None


@pytest.mark.parametrize("data", [b"", b"\0", bytes(SIZE), b"\xff" * SIZE, b"hsq"])
def test_anything_else_is_no_file_system(data: bytes) -> None:
    assert probe(BytesBlob(data)) is None


def test_both_places_of_vfat_are_one_file_system() -> None:
    assert probe(blob((54, b"FAT16   "), (82, b"FAT32   "))) == "vfat"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("squashfs", "erofs"),
        ("xfs", "ext4"),
        ("vfat", "squashfs"),
        ("btrfs", "erofs"),
        ("btrfs", "vfat"),
    ],
)
def test_two_file_systems_in_one_place_are_refused(first: str, second: str) -> None:
    magics = {name: (offset, magic) for name, offset, magic in MAGICS}
    with pytest.raises(FormatError, match=", ".join(sorted((first, second)))):
        probe(blob(magics[first], magics[second]))


@pytest.mark.parametrize("name", ["erofs", "f2fs"])
def test_two_bytes_that_look_like_ext4_do_not_make_it_ambiguous(name: str) -> None:
    # Offset 56 of the superblock is inside the UUID of one and a counter of the other.
    magics = {found: (offset, magic) for found, offset, magic in MAGICS}
    assert probe(blob(magics["ext4"], magics[name])) == name
