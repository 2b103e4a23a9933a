"""Compressed EROFS images of ours: fsck.erofs and dump.erofs 1.5 and 1.8, and Linux itself."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import stat
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sysgraft.base.blob import BytesBlob
from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import Inode
from sysgraft.build.compressing import Packer
from sysgraft.formats.erofs.compressor import parse_codec
from sysgraft.formats.erofs.packing import Packing
from sysgraft.formats.erofs.writer import Summary, plan
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from conftest import Debian13

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
EXTENT: Final = 1 << 18
# Every level of the fast ones, and the zstd levels that use other searches.
LZ4: Final = ["lz4", *(f"lz4hc:{level}" for level in range(3, 13))]
ZSTD: Final = [f"zstd:{level}" for level in (1, 3, 5, 7, 9, 13, 18, 22)]
LINUX: Final = tuple(int(part) for part in os.uname().release.split(".")[:2])
# Older ones are asked by the tests that boot Debian 13.
LINUX_KNOWS: Final = ["lz4", "lz4hc", *(["zstd:1", "zstd"] if LINUX >= (6, 10) else [])]


class Recipe(Protocol):
    """Makes some bytes of a content."""

    def __call__(self, size: int, seed: int) -> bytes: ...


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def text(size: int, seed: int) -> bytes:
    chooser = random.Random(seed)
    words = [b"%016x" % chooser.getrandbits(64) for _ in range(90)]
    return b"".join(chooser.choices(words, k=size // 16 + 1))[:size]


def skewed(size: int, seed: int) -> bytes:
    """Without repeats, but of few different bytes: for zstd alone."""
    return bytes(random.Random(seed).choices(b"abcdefgh", k=size))


def zeros(size: int, seed: int) -> bytes:
    del seed
    return bytes(size)


@functools.cache
def contents() -> dict[str, bytes]:
    """Sizes around blocks and extents, and mixtures of what gets smaller and what does not."""
    sizes = (4097, 8191, 8192, 8193, 12_288, EXTENT - 1, EXTENT, EXTENT + 1, 3 * EXTENT + 4097)
    found = {
        f"{recipe.__name__} {size}": recipe(size, size)
        for recipe in (text, skewed, zeros)
        for size in sizes
    }
    parts = [text(EXTENT, 1), noise(EXTENT, 2), zeros(EXTENT, 3), skewed(EXTENT, 4)]
    for seed in range(6):
        chooser = random.Random(seed)
        pieces = [chooser.choice(parts)[: chooser.choice([EXTENT, 70_000])] for _ in range(8)]
        found[f"mixed {seed}"] = b"".join(pieces) + noise(seed * 777, seed)
    return found | {
        "empty": b"",
        "small": b"small",
        "noise": noise(600_000, 5),
        "the same": text(EXTENT, EXTENT),
        "large": text(9 << 20, 6),
    }


def write(path: Path, files: Mapping[str, bytes], compress: str) -> Summary:
    """An image with files of different owners and attributes."""
    codec = parse_codec(compress)
    assert codec is not None
    tree = {b"": Inode(stat.S_IFDIR | 0o755)} | {
        name.encode(): Inode(
            stat.S_IFREG | 0o644,
            uid=number % 3 * 60_000,
            xattrs=((b"user.n", b"v" * (number % 13 * 4)),) if number % 4 else (),
            content=BytesBlob(content),
        )
        for number, (name, content) in enumerate(files.items())
    }
    with Spool() as spool:
        packing = Packing(codec, Packer(codec, spool, NoProgress()))
        image = plan(tree, uuid=ID, build_time=0, packing=packing)
        data = bytearray(image.block_count * 4096)
        image.fill(0, memoryview(data))
    path.write_bytes(data)
    return image.summary


def run(*words: str | os.PathLike[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_same(folder: Path, files: Mapping[str, bytes]) -> None:
    assert sorted(os.listdir(folder)) == sorted(files)
    for name, content in files.items():
        assert (folder / name).read_bytes() == content, name


@contextlib.contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    run("mount", "-t", "erofs", "-o", "loop,ro", image, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


# --- fsck.erofs and dump.erofs -------------------------------------------------------------------


@pytest.mark.oracle("fsck.erofs")
@pytest.mark.root
@pytest.mark.parametrize("compress", LZ4)
def test_fsck_extracts_lz4(compress: str, tmp_path: Path) -> None:
    write(tmp_path / "image", contents(), compress)
    run("fsck.erofs", f"--extract={tmp_path / 'out'}", tmp_path / "image")
    assert_same(tmp_path / "out", contents())


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize("compress", ["lz4", "lz4hc", "lz4hc:12", *ZSTD])
def test_fsck_1_8_extracts_everything(compress: str, debian13: Debian13, tmp_path: Path) -> None:
    write(tmp_path / "image", contents(), compress)
    words = ["fsck.erofs", "--extract=/mnt/work/out", "/mnt/work/image"]
    debian13.run(words, binds={tmp_path: "/mnt/work"})
    assert_same(tmp_path / "out", contents())


@pytest.mark.oracle("debian-13")
@pytest.mark.parametrize(("compress", "algorithm"), [("lz4hc", "lz4"), ("zstd", "zstd")])
def test_dump_1_8_agrees(compress: str, algorithm: str, debian13: Debian13, tmp_path: Path) -> None:
    files = contents()
    summary = write(tmp_path / "image", files, compress)
    binds = {tmp_path: "/mnt/work"}
    out = debian13.run(["dump.erofs", "-s", "-S", "/mnt/work/image"], binds=binds).stdout
    values = dict(re.findall(r"^Filesystem ([^:]+):\s+(.*?) *$", out, re.MULTILINE))
    assert values["compr_algs"] == algorithm
    assert values["features"] == "sb_csum mtime 0padding compr_cfgs big_pcluster"
    assert int(values["blocks"]) * 4096 == (tmp_path / "image").stat().st_size
    assert int(values["compressed files"]) == summary.packed_files
    # Extent by extent, of one with both kinds: 256 KiB each, and single blocks.
    words = ["dump.erofs", "-e", "--path=/mixed 1", "/mnt/work/image"]
    out = debian13.run(words, binds=binds).stdout
    rows = re.findall(r"^ *\d+: +(\d+)\.\. +(\d+) \| +(\d+) : +(\d+)\.\. +(\d+)", out, re.MULTILINE)
    logical = [(int(start), int(end)) for start, end, *_ in rows]
    assert logical[0][0] == 0
    assert logical[-1][1] == len(files["mixed 1"])
    assert all(one[1] == other[0] for one, other in pairwise(logical))
    assert {EXTENT, 4096} <= {end - start for start, end in logical}
    physical = [(int(start), int(end)) for *_, start, end in rows]
    assert all(one[1] == other[0] for one, other in pairwise(physical))
    assert max(end - start for start, end in physical) < EXTENT


# --- Linux ---------------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize("compress", LINUX_KNOWS)
def test_linux_reads_everything(compress: str, tmp_path: Path) -> None:
    write(tmp_path / "image", contents(), compress)
    with mounted(tmp_path / "image", tmp_path / "mnt") as folder:
        assert_same(folder, contents())


@pytest.mark.root
@pytest.mark.parametrize("compress", LINUX_KNOWS)
def test_linux_reads_any_part(compress: str, tmp_path: Path) -> None:
    """Also what is read first, in the middle of an extent, and across the end."""
    write(tmp_path / "image", contents(), compress)
    chooser = random.Random(7)
    with mounted(tmp_path / "image", tmp_path / "mnt") as folder:
        for name, content in contents().items():
            with (folder / name).open("rb", buffering=0) as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
                for _ in range(20):
                    offset = chooser.randrange(len(content) + 1)
                    length = chooser.choice([1, 4096, 5000, 300_000])
                    found = os.pread(stream.fileno(), length, offset)
                    assert found == content[offset : offset + length], name


# --- Random files --------------------------------------------------------------------------------

near = st.sampled_from([0, 4096, 8192, 65_536, EXTENT - 4096, EXTENT, EXTENT + 4096, 2 * EXTENT])
sizes = st.builds(lambda base, by: max(0, base + by), near, st.integers(-3, 3))
recipes = st.sampled_from([noise, text, zeros, skewed])
parts = st.builds(lambda recipe, size, seed: recipe(size, seed), recipes, sizes, st.integers(0, 3))
random_contents = st.lists(parts, max_size=4).map(b"".join)
random_files = st.lists(random_contents, min_size=1, max_size=8).map(
    lambda found: {f"file {number}": content for number, content in enumerate(found)}
)
EXAMPLES: Final = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.oracle("fsck.erofs")
@pytest.mark.root
@EXAMPLES
@given(files=random_files, compress=st.sampled_from(["lz4", "lz4hc:3"]))
def test_fsck_extracts_random_files(
    files: dict[str, bytes], compress: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("random")
    write(folder / "image", files, compress)
    run("fsck.erofs", f"--extract={folder / 'out'}", folder / "image")
    assert_same(folder / "out", files)


@pytest.mark.oracle("debian-13")
@EXAMPLES
@given(files=random_files, compress=st.sampled_from(["lz4hc", "zstd:1", "zstd"]))
def test_fsck_1_8_extracts_random_files(
    files: dict[str, bytes],
    compress: str,
    debian13: Debian13,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("random")
    write(folder / "image", files, compress)
    words = ["fsck.erofs", "--extract=/mnt/work/out", "/mnt/work/image"]
    debian13.run(words, binds={folder: "/mnt/work"})
    assert_same(folder / "out", files)
