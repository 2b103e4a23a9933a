"""Decompression: recognition, streams in a row, damage, and limits that stop bombs early."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from sysgraft.base.blob import BytesBlob
from sysgraft.errors import FormatError, LimitError, TruncatedError
from sysgraft.formats.allowance import DEFAULT_LIMITS, Allowance, Limits
from sysgraft.formats.compression import Compression, Decompressor, detect
from sysgraft.formats.stream import BlobSource

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = b"".join(
    b"line %d of a text that is somewhat longer than a chunk\n" % n for n in range(9000)
)


def old_lzma(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_ALONE)


COMPRESSORS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.GZIP: gzip.compress,
    Compression.XZ: lzma.compress,
    Compression.LZMA: old_lzma,
    Compression.BZIP2: bz2.compress,
    Compression.ZSTD: zstd.compress,
}
ALL = pytest.mark.parametrize("kind", COMPRESSORS, ids=lambda kind: kind.value)


def source(data: bytes, kind: Compression, limits: Limits = DEFAULT_LIMITS) -> Decompressor:
    return Decompressor(BlobSource(BytesBlob(data)), kind, Allowance(limits))


def drained(stream: Decompressor) -> int:
    total = 0
    while data := stream.read(1 << 18):
        total += len(data)
    return total


@ALL
def test_the_data_come_back_whatever_is_asked_for(kind: Compression) -> None:
    stream = source(COMPRESSORS[kind](DATA), kind)
    assert stream.read(5) == DATA[:5]
    assert stream.skip(300_000) == 300_000
    assert stream.read(1 << 30) == DATA[300_005:]
    assert stream.read(10) == b""
    assert stream.skip(10) == 0


@ALL
def test_recognised_by_content(kind: Compression) -> None:
    assert detect(COMPRESSORS[kind](DATA)[:512]) is kind


def test_other_content_is_not_compressed() -> None:
    assert detect(b"") is Compression.NONE
    assert detect(b"#!/bin/sh\n") is Compression.NONE
    assert detect(b"\x50\x2a\x4d\x18" + bytes(9)) is Compression.ZSTD


@pytest.mark.parametrize("kind", [k for k in COMPRESSORS if k is not Compression.LZMA])
def test_streams_in_a_row_are_one(kind: Compression) -> None:
    packed = (
        COMPRESSORS[kind](DATA[:1000]) + COMPRESSORS[kind](b"") + COMPRESSORS[kind](DATA[1000:])
    )
    assert source(packed, kind).read(len(DATA) + 1) == DATA


def test_zeros_behind_a_stream_are_padding() -> None:
    assert source(gzip.compress(DATA) + bytes(1 << 20), Compression.GZIP).read(1 << 30) == DATA


def test_zstd_frames_to_skip() -> None:
    skip = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    packed = skip + zstd.compress(DATA) + skip
    assert source(packed, Compression.ZSTD).read(1 << 30) == DATA


@ALL
def test_cut_short(kind: Compression) -> None:
    packed = COMPRESSORS[kind](DATA)
    for end in (len(packed) // 2, len(packed) - 1):
        with pytest.raises(TruncatedError, match="end too early"):
            drained(source(packed[:end], kind))


@pytest.mark.parametrize("kind", [k for k in COMPRESSORS if k is not Compression.LZMA])
def test_something_else_behind_a_stream(kind: Compression) -> None:
    with pytest.raises(FormatError):
        drained(source(COMPRESSORS[kind](DATA) + b"something else, and long enough", kind))


@pytest.mark.parametrize("kind", [Compression.GZIP, Compression.XZ, Compression.BZIP2])
def test_checksums_are_checked(kind: Compression) -> None:
    packed = bytearray(COMPRESSORS[kind](DATA))
    packed[len(packed) // 2] ^= 0x10
    with pytest.raises(FormatError):
        drained(source(bytes(packed), kind))


@ALL
def test_bombs_stop_early_and_small(kind: Compression) -> None:
    limits = Limits(free=8 << 20, ratio=20)
    bomb = COMPRESSORS[kind](bytes(32 << 20))
    tracemalloc.start()
    started = time.monotonic()
    with pytest.raises(LimitError, match="grow to more than"):
        drained(source(bomb, kind, limits))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - started < 20
    assert peak < 12 << 20


def test_output_is_limited_in_all() -> None:
    with pytest.raises(LimitError, match="1000 bytes"):
        drained(source(gzip.compress(DATA), Compression.GZIP, Limits(output=1000)))


def test_zeros_within_the_free_part_pass() -> None:
    packed = bz2.compress(bytes(4 << 20))
    assert drained(source(packed, Compression.BZIP2, Limits(free=4 << 20, ratio=1))) == 4 << 20


def test_large_windows_are_refused() -> None:
    level = {int(zstd.CompressionParameter.window_log): 28}
    packer = zstd.ZstdCompressor(options=level)
    packed = packer.compress(DATA) + packer.flush()
    with pytest.raises(LimitError, match="too much memory"):
        drained(source(packed, Compression.ZSTD))


def test_large_dictionaries_are_refused() -> None:
    header = bytearray(old_lzma(DATA))
    header[1:5] = (1 << 30).to_bytes(4, "little")
    with pytest.raises(LimitError, match="too much memory"):
        drained(source(bytes(header), Compression.LZMA))


def test_millions_of_empty_streams_take_no_time() -> None:
    started = time.monotonic()
    assert drained(source(gzip.compress(b"") * 50_000, Compression.GZIP)) == 0
    assert time.monotonic() - started < 10


def test_an_allowance_is_shared() -> None:
    shared = Allowance(Limits(free=len(DATA) + 10, ratio=0))
    packed = gzip.compress(DATA)

    def stream() -> Decompressor:
        return Decompressor(BlobSource(BytesBlob(packed)), Compression.GZIP, shared)

    assert drained(stream()) == len(DATA)
    with pytest.raises(LimitError, match="grow to more than"):
        drained(stream())


def test_input_that_earns_nothing_allows_no_output() -> None:
    packed = gzip.compress(DATA)
    for earns in (True, False):
        allowance = Allowance(Limits(free=0, ratio=1000))
        stream = Decompressor(
            BlobSource(BytesBlob(packed)), Compression.GZIP, allowance, earns=earns
        )
        if earns:
            assert drained(stream) == allowance.made == len(DATA)
            assert allowance.taken == len(packed)
        else:
            with pytest.raises(LimitError, match="0 bytes of gzip data"):
                drained(stream)
