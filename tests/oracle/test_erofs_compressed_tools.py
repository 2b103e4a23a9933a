"""Compressed EROFS images of mkfs.erofs 1.5, and damaged ones of 1.8.

That whole ones of 1.8 are read as what they were made of is seen in ``test_extract_tools.py``.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from erofs_kit import (
    OF_1_8,
    assert_equal,
    folder_snapshot,
    make_compressed,
    mixed,
    text,
    tree_snapshot,
)
from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError
from sysgraft.formats.erofs.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Debian13

pytestmark = pytest.mark.root  # the folder has owners and devices


def read(image: Path) -> Reader:
    return Reader(BytesBlob(image.read_bytes()))


def few_files(debian13: Debian13, folder: Path, options: str) -> bytes:
    """A small image."""
    source = folder / "source"
    source.mkdir()
    for number in range(25):
        (source / f"text {number}").write_bytes(text(number * 1900, number))
    (source / "mixed").write_bytes(mixed()[:150_000])
    return make_compressed(debian13, source, folder, options).read_bytes()


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize("options", OF_1_8[1::3])
def test_damaged_images_are_read_or_refused_in_time(
    tmp_path: Path, debian13: Debian13, options: str
) -> None:
    whole = few_files(debian13, tmp_path, options)
    chosen = random.Random(options)
    outcomes = Counter[str]()
    start = time.monotonic()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chosen.choice((1, 1, 3, 40))):
            # Most of what is interesting lies at the start.
            at = chosen.randrange(1152, chosen.choice((16_384, len(data))))
            data[at] = chosen.choice((data[at] ^ 1 << chosen.randrange(8), 0, 0xFF))
        data[1032] &= 0xFE  # no checksum
        outcomes[read_all(bytes(data))] += 1
    assert time.monotonic() - start < 120
    assert outcomes["read"] > 0
    assert outcomes["refused"] > 10


# What fsck.erofs leaves of an image that it gives up on may be broken off.
EXTRACT_ALL = """
cd /mnt/out
for image in damaged-*; do
    fsck.erofs -d0 --extract="$image.files" "$image" && : > "$image.good" || :
done
"""


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize(
    "options", ["-zlz4hc -C65536 -Efragments,ztailpacking", "-zlz4 -Ededupe", "-zzstd -C16384"]
)
def test_what_both_read_of_damaged_images_is_the_same(
    tmp_path: Path, debian13: Debian13, options: str
) -> None:
    """A reader that took what another refuses could be shown another content than Linux has."""
    whole = few_files(debian13, tmp_path, options)
    chosen = random.Random(options)
    for number in range(30):
        (tmp_path / f"damaged-{number}").write_bytes(damaged(whole, chosen))
    debian13.run(["sh", "-c", EXTRACT_ALL], binds={tmp_path: "/mnt/out"})
    compared = sum(compare_with(tmp_path / f"damaged-{number}") for number in range(30))
    assert compared > 100


def damaged(whole: bytes, chosen: random.Random) -> bytes:
    """The image with a few bits changed, most of them in inodes and indexes."""
    data = bytearray(whole)
    for _ in range(chosen.choice((1, 1, 3))):
        data[chosen.randrange(1152, chosen.choice((12_000, len(data))))] ^= 1 << chosen.randrange(8)
    data[1032] &= 0xFE  # no checksum
    return bytes(data)


def compare_with(image: Path) -> int:
    """How many files both give, which have to be the same."""
    if not image.with_suffix(".good").exists():
        return 0
    try:
        tree = read(image).read_tree()
    except FormatError:
        return 0
    compared = 0
    for path, inode in tree.items():
        theirs = image.with_suffix(".files") / os.fsdecode(path)
        if inode.content is not None and inode.content.size < 1 << 24:
            with contextlib.suppress(FormatError):
                assert inode.content.read_at(0, inode.content.size) == theirs.read_bytes(), path
                compared += 1
    return compared


def read_all(data: bytes) -> str:
    """Read every file in parts, whatever comes; anything but our own errors gets out."""
    outcome = "read"
    try:
        reader = Reader(BytesBlob(data))
        tree = reader.read_tree()
    except FormatError:
        return "refused"
    for inode in {id(inode): inode for inode in tree.values()}.values():
        size = inode.content.size if inode.content else 0
        for offset in range(0, min(size, 1 << 20), 40_000):
            try:
                assert inode.content is not None
                inode.content.read_at(offset, min(40_000, size - offset))
            except FormatError:
                outcome = "refused"
    reader.owners(8192, 4096)
    return outcome


@pytest.mark.oracle("mkfs.erofs")
@pytest.mark.parametrize(
    "options",
    [
        "-zlz4",
        "-zlz4hc,12 -C65536 -Eztailpacking",
        "-zlz4hc -C1048576 -Efragments",
        "-zlz4 -Elegacy-compress",
        "-zlz4 -C16384 -Ededupe",
        "-zlz4 -C65536 -Ededupe,fragments",
    ],
)
def test_images_of_mkfs_1_5_read_as_the_folder_they_were_made_of(
    compressible_tree: Path, tmp_path: Path, options: str
) -> None:
    image = tmp_path / "image"
    subprocess.run(
        ["mkfs.erofs", "-d0", *options.split(), os.fspath(image), os.fspath(compressible_tree)],
        check=True,
        capture_output=True,
    )
    assert_equal(tree_snapshot(read(image).read_tree()), folder_snapshot(compressible_tree))
