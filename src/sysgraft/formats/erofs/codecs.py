"""Decompresses one pcluster of an EROFS image: LZ4, microlzma, deflate, zstd.

Data that is smaller than its blocks stands behind zeros, which no such data begins with; in images
without ``LZ4_0PADDING`` LZ4 data is followed by zeros instead.

    LZ4        the block format, without a size
    microlzma  LZMA1 without header and end mark: its first byte, always 0, is replaced by the
               properties (9 * (5 * pb + lp) + lc), inverted
    deflate    RFC 1951
    zstd       one frame, RFC 8878

Output is never more than was asked for. Each library is loaded when data of its kind comes.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Final, Protocol, cast

from sysgraft.errors import FormatError
from sysgraft.formats.erofs.compression import MAX_EXTENT
from sysgraft.formats.erofs.lz4_block import decompress_start
from sysgraft.formats.erofs.ondisk import Algorithm

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.formats.erofs.extents import Stored

_MAX_PROPERTIES: Final = 9 * 5 * 5
_MIN_DICTIONARY: Final = 4096  # liblzma's own least
_RAW_DEFLATE: Final = -15
_MAX_ZSTD_WINDOW: Final = 24  # 16 MiB: the least power of two that holds every extent
_UNPADDED_TRIES: Final = 16


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def decompress(stored: Stored, data: bytes, *, padded: bool) -> bytes:
    """The ``stored.length`` bytes `data` decompresses to; more may follow if it is partial.

    Args:
        stored: what the index says about the data.
        data: all its blocks, or an inline tail.
        padded: see `Compression.padded`.

    Raises:
        FormatError: the data is damaged, or gives less (or without ``stored.partial`` more).
    """
    algorithm = stored.algorithm
    if algorithm is None:
        return _plain(stored, data)
    try:
        if algorithm is Algorithm.LZ4:
            out = _lz4(stored, data, padded=padded)
        else:
            out = _STREAMS[algorithm](_without_padding(data), stored.length)
    except FormatError:
        raise
    except Exception as error:
        # Each library has its own exception class; every one of them means the same here.
        raise FormatError(f"damaged {algorithm.name} data at {stored.address}: {error}") from error
    if len(out) < stored.length or (len(out) > stored.length and not stored.partial):
        raise FormatError(
            f"the {algorithm.name} data at {stored.address} gives {len(out)} bytes,"
            f" not {stored.length}",
        )
    return out


def _plain(stored: Stored, data: bytes) -> bytes:
    turned = data[len(data) - stored.turned :] if stored.turned else b""
    return (turned + data)[: stored.length]


def _without_padding(data: bytes) -> bytes:
    bare = data.lstrip(b"\0")
    if not bare:
        raise FormatError("compressed data of nothing but zeros")
    return bare


def _lz4(stored: Stored, data: bytes, *, padded: bool) -> bytes:
    if not padded:
        return _unpadded_lz4(stored, data)
    if stored.partial:
        return _lz4_block(_without_padding(data), MAX_EXTENT)
    return _lz4_block(_without_padding(data), stored.length)


def _lz4_block(data: bytes, size: int) -> bytes:
    return _lz4_library().decompress(data, uncompressed_size=size)


class _Lz4Library(Protocol):
    def decompress(self, source: bytes, *, uncompressed_size: int) -> bytes: ...


@functools.cache
def _lz4_library() -> _Lz4Library:
    return cast("_Lz4Library", importlib.import_module("lz4.block"))


def _unpadded_lz4(stored: Stored, data: bytes) -> bytes:
    """LZ4 data with zeros behind it.

    It ends in bytes that stand for themselves. Where those are no zeros, as nearly always, the end
    is found at once, and by few tries where they are; a wrong end is an error for the library, as
    the number of those bytes is told before them.
    """
    if not stored.partial:
        bare = len(data.rstrip(b"\0"))
        for end in range(bare, min(bare + _UNPADDED_TRIES, len(data)) + 1):
            try:
                return _lz4_block(data[:end], stored.length)
            except Exception:  # noqa: BLE001, S112 - whatever it is, this is not the end
                continue
    return decompress_start(data, stored.length)


def _microlzma(data: bytes, length: int) -> bytes:
    import lzma  # noqa: PLC0415 - only where it is needed

    properties = data[0] ^ 0xFF
    if properties >= _MAX_PROPERTIES:
        raise FormatError(f"no such LZMA properties: {properties}")
    rest, lc = divmod(properties, 9)
    pb, lp = divmod(rest, 5)
    # No distance in the data reaches farther back than what it makes.
    size = max(length, _MIN_DICTIONARY)
    form = {"id": lzma.FILTER_LZMA1, "dict_size": size, "lc": lc, "lp": lp, "pb": pb}
    stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[form])
    return _all_of(stream, b"\0" + data[1:], length)


def _deflate(data: bytes, length: int) -> bytes:
    import zlib  # noqa: PLC0415 - only where it is needed

    return zlib.decompressobj(_RAW_DEFLATE).decompress(data, length)


def _zstd(data: bytes, length: int) -> bytes:
    return _all_of(_zstd_stream()(), data, length)


@functools.cache
def _zstd_stream() -> Callable[[], _Stream]:
    from sysgraft.formats.compression import zstd_module  # noqa: PLC0415 - it loads others too

    zstd = zstd_module()
    options = {zstd.DecompressionParameter.window_log_max: _MAX_ZSTD_WINDOW}
    return functools.partial(zstd.ZstdDecompressor, options=options)


def _all_of(stream: _Stream, data: bytes, length: int) -> bytes:
    """Up to `length` bytes; the libraries may give them in several parts."""
    out = stream.decompress(data, length)
    while len(out) < length and not stream.eof:
        more = stream.decompress(b"", length - len(out))
        if not more:
            break
        out += more
    return out


_STREAMS: Final[dict[Algorithm, Callable[[bytes, int], bytes]]] = {
    Algorithm.LZMA: _microlzma,
    Algorithm.DEFLATE: _deflate,
    Algorithm.ZSTD: _zstd,
}
