"""One pcluster: each algorithm, padding before or behind, parts, and what is not what it says."""

from __future__ import annotations

import contextlib
import lzma
import random
import zlib

import lz4.block  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sysgraft.errors import FormatError, TruncatedError
from sysgraft.formats.compression import zstd_module
from sysgraft.formats.erofs.codecs import decompress
from sysgraft.formats.erofs.extents import Stored
from sysgraft.formats.erofs.lz4_block import decompress_start
from sysgraft.formats.erofs.ondisk import Algorithm

TEXT = b"what compresses well " * 500 + random.Random(1).randbytes(2000)
LZMA1 = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 2, "lp": 1, "pb": 3}


def lz4_data(data: bytes) -> bytes:
    compressed: bytes = lz4.block.compress(data, store_size=False)
    return compressed


def microlzma(data: bytes) -> bytes:
    raw = lzma.compress(data, lzma.FORMAT_RAW, filters=[LZMA1])
    assert raw[0] == 0
    return bytes([(9 * (5 * 3 + 1) + 2) ^ 0xFF]) + raw[1:]


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    return compressor.compress(data) + compressor.flush()


def zstd(data: bytes) -> bytes:
    compressed: bytes = zstd_module().compress(data)
    return compressed


COMPRESS = {
    Algorithm.LZ4: lz4_data,
    Algorithm.LZMA: microlzma,
    Algorithm.DEFLATE: deflate,
    Algorithm.ZSTD: zstd,
}
EACH = pytest.mark.parametrize("algorithm", list(Algorithm))


def stored(algorithm: Algorithm | None, length: int, *, partial: bool = False) -> Stored:
    return Stored(4096, 8192, algorithm, length, partial)


@EACH
@pytest.mark.parametrize("padding", [0, 1, 3000])
def test_data_behind_zeros_is_decompressed(algorithm: Algorithm, padding: int) -> None:
    data = bytes(padding) + COMPRESS[algorithm](TEXT)
    assert decompress(stored(algorithm, len(TEXT)), data, padded=True) == TEXT


@EACH
def test_the_start_alone_can_be_had(algorithm: Algorithm) -> None:
    data = COMPRESS[algorithm](TEXT)
    out = decompress(stored(algorithm, 100, partial=True), data, padded=True)
    assert out[:100] == TEXT[:100]


@EACH
def test_data_that_gives_less_than_it_should_is_refused(algorithm: Algorithm) -> None:
    data = COMPRESS[algorithm](TEXT)
    for partial in (False, True):
        with pytest.raises(FormatError, match=r"gives 12500 bytes, not 12501"):
            decompress(stored(algorithm, len(TEXT) + 1, partial=partial), data, padded=True)


@EACH
def test_data_of_another_algorithm_or_none_is_refused(algorithm: Algorithm) -> None:
    others = [compress(TEXT) for kind, compress in COMPRESS.items() if kind is not algorithm]
    for data in (*others, b"\x01", random.Random(2).randbytes(4096)):
        with pytest.raises(FormatError):
            decompress(stored(algorithm, len(TEXT)), data, padded=True)
    with pytest.raises(FormatError, match="nothing but zeros"):
        decompress(stored(algorithm, 1), bytes(4096), padded=True)


def test_lz4_data_that_gives_more_than_it_should_is_refused() -> None:
    with pytest.raises(FormatError, match="damaged LZ4 data at 4096"):
        decompress(stored(Algorithm.LZ4, len(TEXT) - 1), lz4_data(TEXT), padded=True)


@pytest.mark.parametrize("text", [TEXT, TEXT + bytes(12), TEXT + bytes(5), bytes(90_000), b"x"])
@pytest.mark.parametrize("zeros", [0, 1, 2000])
def test_lz4_data_before_zeros_is_decompressed(text: bytes, zeros: int) -> None:
    data = lz4_data(text) + bytes(zeros)
    assert decompress(stored(Algorithm.LZ4, len(text)), data, padded=False) == text
    part = decompress(stored(Algorithm.LZ4, len(text) - 1, partial=True), data, padded=False)
    assert part == text[:-1]


def test_lz4_data_that_ends_in_many_zeros_of_its_own_is_found_too() -> None:
    # Not what a compressor makes: forty zeros that stand for themselves.
    data = b"\xf0\x19" + bytes(40)
    assert decompress(stored(Algorithm.LZ4, 40), data + bytes(50), padded=False) == bytes(40)


def test_what_is_not_compressed_may_be_turned() -> None:
    data = bytes(range(200)) * 41
    assert decompress(Stored(0, 8200, None, 5000), data, padded=True) == data[:5000]
    for turned, length in ((100, 50), (100, 4000), (4096, 8200)):
        expected = (data[-turned:] + data)[:length]
        assert decompress(Stored(0, 8200, None, length, turned=turned), data, padded=True) == (
            expected
        )


@given(st.binary(max_size=3000), st.data())
def test_the_python_decoder_agrees_with_the_library(text: bytes, data: st.DataObject) -> None:
    text += text[: len(text) // 2] + text[:7] * 9 + text[:1] * 300
    length = data.draw(st.integers(0, len(text)))
    assert decompress_start(lz4_data(text) + bytes(9), length) == text[:length]


@given(st.binary(max_size=200), st.integers(0, 5000))
def test_the_python_decoder_refuses_or_gives_what_was_asked_for(data: bytes, length: int) -> None:
    with contextlib.suppress(FormatError):
        assert len(decompress_start(data, length)) == length


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (b"\x50abc", TruncatedError),
        (b"\xf0\xff\xff", TruncatedError),
        (b"\x10a\x02\x00", FormatError),
        (b"\x10a\x00\x00", FormatError),
        (b"\x10a\x01", TruncatedError),
    ],
)
def test_what_is_no_lz4_is_refused(data: bytes, error: type[FormatError]) -> None:
    with pytest.raises(error):
        decompress_start(data, 100)


@EACH
@given(st.binary(max_size=300))
def test_any_bytes_give_the_length_or_an_error(algorithm: Algorithm, data: bytes) -> None:
    for padded in (True, False):
        with contextlib.suppress(FormatError):
            assert len(decompress(stored(algorithm, 5000), data, padded=padded)) == 5000
