"""zstd: the same bytes on any number of cores, whatever pieces the input comes in."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.formats.compression import Compression, Decompressor, detect
from sysgraft.formats.stream import BlobSource
from sysgraft.host import zstd

if TYPE_CHECKING:
    from pathlib import Path

# More than one job of the multi-threaded compressor at level 3 (8 MiB), hardly compressible.
DATA: Final = random.Random(1).randbytes(3 << 20) * 3 + b"end" * 1000
LEVEL: Final = 3


def compressed(data: bytes, size: int, level: int = LEVEL) -> bytes:
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(zstd.compress(pieces, level))


def test_cores_and_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for count, size in ((1, 1 << 20), (2, 1 << 20), (3, 12345), (64, len(DATA)), (1000, 1 << 17)):
        monkeypatch.setattr(zstd, "cores", lambda count=count: count)
        found.add(compressed(DATA, size))
    assert len(found) == 1


@pytest.mark.parametrize("data", [b"", b"x", DATA[:100_000]])
@pytest.mark.parametrize("level", [1, 19])
def test_it_is_one_frame_with_a_checksum(data: bytes, level: int) -> None:
    made = compressed(data, 1 << 20, level)
    assert detect(made.ljust(512, b"\0")) is Compression.ZSTD
    # Frame_Header_Descriptor: Content_Checksum_flag, no dictionary (RFC 8878 §3.1.1.1.1).
    assert made[4] & 0b111 == 0b100
    source = Decompressor(BlobSource(BytesBlob(made)), Compression.ZSTD)
    assert source.read(len(data) + 1) == data
    assert source.read(1) == b""


@pytest.mark.oracle("zstd")
def test_the_program_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "data.zst"
    path.write_bytes(compressed(DATA, 1 << 20))
    done = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True, timeout=60)
    assert done.stdout == DATA
    told = subprocess.run(
        ["zstd", "-lv", path], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Check: XXH64" in told.stdout


def test_the_release_is_that_of_the_library() -> None:
    assert zstd.version().count(".") == 2
    assert all(part.isdecimal() for part in zstd.version().split("."))
