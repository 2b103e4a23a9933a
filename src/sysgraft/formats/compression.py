"""Compressed streams: recognised by their first bytes, decompressed within limits.

Formats: gzip (RFC 1952), xz (The .xz File Format 1.2), lzma (the older .lzma header), bzip2,
zstd (RFC 8878). Several streams one behind the other are one, as their own tools read them.
Memory is bounded by each format's window, output by an `Allowance`. It does not compress.
"""

from __future__ import annotations

import bz2
import enum
import functools
import importlib
import lzma
import sys
import zlib
from typing import TYPE_CHECKING, Final, Protocol, cast

from sysgraft.errors import FormatError, LimitError, TruncatedError
from sysgraft.formats.allowance import Allowance
from sysgraft.formats.stream import CHUNK, skip_by_reading
from sysgraft.formats.tar_header import looks_like_tar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from sysgraft.formats.stream import ByteSource

HEAD_SIZE: Final = 512
"""Bytes `detect` wants to see: one tar header."""

MAX_WINDOW_LOG: Final = 27
"""Largest zstd window, 128 MiB: what ``zstd --ultra -22`` and ``--long`` use."""

MAX_LZMA_MEMORY: Final = 160 << 20
"""Memory for xz and lzma: ``xz -9`` needs 65 MiB, a dictionary of 128 MiB just fits."""


class Compression(enum.Enum):
    """How bytes are compressed."""

    NONE = "none"
    GZIP = "gzip"
    XZ = "xz"
    LZMA = "lzma"
    BZIP2 = "bzip2"
    ZSTD = "zstd"


_MAGICS: Final = (
    (b"\x1f\x8b", Compression.GZIP),
    (b"\xfd7zXZ\0", Compression.XZ),
    (b"BZh", Compression.BZIP2),
    (b"\x28\xb5\x2f\xfd", Compression.ZSTD),
    # .lzma has no magic: properties 5d, a dictionary of whole 64 KiB, any size behind it.
    (b"\x5d\0\0", Compression.LZMA),
)
_SKIPPABLE: Final = b"\x2a\x4d\x18"  # zstd's skippable frames: 50..5f before these


def detect(head: bytes) -> Compression:
    """How something that begins with `head` (at least `HEAD_SIZE` bytes, or all) is compressed.

    A tar header is one even if its first name looks like another format.
    """
    if looks_like_tar(head):
        return Compression.NONE
    if head[1:4] == _SKIPPABLE and head[0] >> 4 == 5:
        return Compression.ZSTD
    return next((kind for magic, kind in _MAGICS if head.startswith(magic)), Compression.NONE)


class _Codec(Protocol):
    """The interface of the standard library's decompressors."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _ZlibObject(Protocol):
    """What `zlib.decompressobj` and isal's return."""

    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = 0) -> bytes: ...


_GZIP_WBITS: Final = 16 + zlib.MAX_WBITS  # zlib.h: a gzip header and trailer are required


class _Gzip:
    """zlib behind the interface of the others; isal where it is installed, four times as fast."""

    def __init__(self) -> None:
        self._inner = _zlib_factory()(_GZIP_WBITS)
        self._last_was_full = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not (self._inner.unconsumed_tail or self._last_was_full)

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._last_was_full = len(out) == max_length
        return out


# A file may hold millions of tiny streams: what each needs is looked up once.
@functools.cache
def _zlib_factory() -> Callable[[int], _ZlibObject]:
    try:
        module = importlib.import_module("isal.isal_zlib")
    except ImportError:
        return zlib.decompressobj
    return cast("Callable[[int], _ZlibObject]", module.decompressobj)


def zstd_module() -> ModuleType:
    """The module that knows zstd: the standard library's, or the same for older Pythons."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return importlib.import_module(name)


@functools.cache
def _zstd_factory() -> Callable[[], _Codec]:
    zstd = zstd_module()
    options = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
    return functools.partial(zstd.ZstdDecompressor, options=options)


def _zstd() -> _Codec:
    return _zstd_factory()()


def _xz() -> _Codec:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_LZMA_MEMORY)


def _lzma() -> _Codec:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MAX_LZMA_MEMORY)


_CODECS: Final[dict[Compression, Callable[[], _Codec]]] = {
    Compression.GZIP: _Gzip,
    Compression.XZ: _xz,
    Compression.LZMA: _lzma,
    Compression.BZIP2: bz2.BZ2Decompressor,
    Compression.ZSTD: _zstd,
}


class Decompressor:
    """A `ByteSource` of what `source` holds compressed.

    Args:
        source: the compressed bytes.
        kind: how they are compressed.
        allowance: what may still be made; its own, with `DEFAULT_LIMITS`, if None.
        earns: whether the input counts for the allowance's ratio. Bytes that come out of another
            decompressor or are read a second time must not, or nesting and repeating multiply.
        alone: whether it ends before what is not compressed as `kind`; else that is damage.

    Raises (from `read` and `skip`):
        TruncatedError: the compressed bytes end too early.
        LimitError: more output than is allowed, or a window too large for memory.
        FormatError: the bytes break their format's rules, or a checksum in them differs.
    """

    def __init__(
        self,
        source: ByteSource,
        kind: Compression,
        allowance: Allowance | None = None,
        *,
        earns: bool = True,
        alone: bool = False,
    ) -> None:
        self._source = source
        self._kind = kind
        self._allowance = Allowance() if allowance is None else allowance
        self._earns = earns
        self._alone = alone
        self._taken = 0
        self._codec: _Codec | None = None
        self._pending = b""
        self._out = memoryview(b"")

    @property
    def consumed(self) -> int:
        """Bytes of the source that belonged to it, padding too, once all is read."""
        return self._taken - len(self._pending)

    def read(self, length: int) -> bytes:
        """See `ByteSource.read`."""
        parts: list[memoryview] = []
        left = length
        while left and (self._out or self._refill()):
            part = self._out[:left]
            self._out = self._out[len(part) :]
            left -= len(part)
            parts.append(part)
        return b"".join(parts)

    def skip(self, length: int) -> int:
        """See `ByteSource.skip`; the bytes are decompressed and dropped."""
        return skip_by_reading(self, length)

    def _refill(self) -> bool:
        """Decompress until there is output; False at the end."""
        while self._codec is not None or self._next_stream():
            data = self._step()
            if data:
                self._out = memoryview(data)
                return True
        return False

    def _step(self) -> bytes:
        codec = cast("_Codec", self._codec)
        data = self._input() if codec.needs_input else b""
        try:
            out = codec.decompress(data, CHUNK)
        except Exception as error:
            # Each library has its own exception class; every one of them means the same here.
            raise self._bad_data(error) from error
        if codec.eof:
            self._pending = codec.unused_data
            self._codec = None
        self._allowance.spend(len(out), self._kind.value)
        return out

    def _input(self) -> bytes:
        data = self._pending or self._take()
        self._pending = b""
        if not data:
            raise TruncatedError(f"the {self._kind.value} data end too early")
        return data

    def _take(self) -> bytes:
        data = self._source.read(CHUNK)
        self._taken += len(data)
        if self._earns:
            self._allowance.taken += len(data)
        return data

    def _next_stream(self) -> bool:
        """Begin the next of several streams; zeros between and behind them are padding."""
        data = self._pending
        while not data.strip(b"\0"):
            data = self._take()
            if not data:
                self._pending = b""
                return False
        self._pending = data.lstrip(b"\0")
        if self._alone and not self._goes_on():
            return False
        self._codec = _CODECS[self._kind]()
        return True

    def _goes_on(self) -> bool:
        while len(self._pending) < HEAD_SIZE and (data := self._take()):
            self._pending += data
        return detect(self._pending[:HEAD_SIZE]) is self._kind

    def _bad_data(self, error: Exception) -> FormatError:
        words = str(error).lower()
        if isinstance(error, MemoryError) or "memory" in words:
            return LimitError(f"the {self._kind.value} data need too much memory to decompress")
        return FormatError(f"damaged {self._kind.value} data: {error}")
