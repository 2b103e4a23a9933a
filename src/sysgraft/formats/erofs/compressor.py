"""The compressors an image can be written with: lz4, lz4hc and zstd.

lz4 and lz4hc make the same format, an LZ4 block; lz4hc searches longer. zstd makes one zstd frame
(RFC 8878) that says how long its content is. What they make depends on the release of the library
that is installed, so a report names it. Decompressing is `codecs`'s.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import UsageError
from sysgraft.formats.compression import zstd_module
from sysgraft.formats.erofs.clusters import EXTENT_BLOCKS, EXTENT_SIZE
from sysgraft.formats.erofs.compression import encode_settings
from sysgraft.formats.erofs.ondisk import Algorithm

if TYPE_CHECKING:
    from collections.abc import Callable

    Compress = Callable[[memoryview], bytes]

_LZ4_DISTANCE: Final = 65_535  # LZ4_DISTANCE_MAX: as far back as a match can reach
# How much faster than usual lz4 looks whether there is anything to find before lz4hc searches: data
# that is compressed already would take a seventh of all its time. Above 8, lz4 overlooks something.
_GLANCE: Final = 8
_ZSTD_WINDOW_BASE: Final = 10  # ZSTD_WINDOWLOG_ABSOLUTEMIN


@dataclass(frozen=True, slots=True)
class _Kind:
    """A compressor's levels: the first and last, and what is taken if none is given."""

    algorithm: Algorithm
    levels: range
    default: int


# lz4hc: LZ4HC_CLEVEL_MIN to LZ4HC_CLEVEL_MAX of lz4hc.h, from level 10 on with an optimal parser.
# zstd: 1 to ZSTD_maxCLevel(); 9 takes three times as long as the library's own default, 3, which is
# half of what lz4hc takes, and makes firmware 2 % smaller.
_KINDS: Final = {
    "lz4": _Kind(Algorithm.LZ4, range(0), 0),
    "lz4hc": _Kind(Algorithm.LZ4, range(3, 13), 9),
    "zstd": _Kind(Algorithm.ZSTD, range(1, 23), 9),
}


@dataclass(frozen=True, slots=True)
class Codec:
    """A compressor and its level; `parse_codec` makes one.

    Attributes:
        name: "lz4", "lz4hc" or "zstd".
        level: how long it searches; 0 for lz4, which has no levels.
    """

    name: str
    level: int

    @property
    def algorithm(self) -> Algorithm:
        """The number the format has for what it makes."""
        return _KINDS[self.name].algorithm

    @property
    def library(self) -> str:
        """The library that compresses, with its release."""
        if self.algorithm is Algorithm.ZSTD:
            return f"libzstd {zstd_module().zstd_version}"
        import lz4  # type: ignore[import-untyped]  # noqa: PLC0415  only compressed images need it

        return f"liblz4 {lz4.library_version_string()}"

    @property
    def settings(self) -> bytes:
        """What stands behind the superblock."""
        if self.algorithm is Algorithm.ZSTD:
            window = EXTENT_SIZE.bit_length() - 1 - _ZSTD_WINDOW_BASE
            return encode_settings(self.algorithm, 0, window)
        # A pcluster takes a block less than its extent, or the extent is stored as it is.
        return encode_settings(self.algorithm, _LZ4_DISTANCE, EXTENT_BLOCKS - 1)

    def compressor(self) -> Compress:
        """A function that compresses one extent after the other; for one thread only."""
        if self.algorithm is Algorithm.ZSTD:
            return self._zstd()
        return self._lz4()

    def _lz4(self) -> Compress:
        from lz4 import block  # noqa: PLC0415  see above

        compress: Callable[..., bytes] = functools.partial(block.compress, store_size=False)
        if not self.level:
            return compress
        look = functools.partial(compress, mode="fast", acceleration=_GLANCE)
        search = functools.partial(compress, mode="high_compression", compression=self.level)

        def compress_hc(view: memoryview) -> bytes:
            seen = look(view)
            return search(view) if len(seen) < len(view) else seen

        return compress_hc

    def _zstd(self) -> Compress:
        zstd = zstd_module()
        # Given an extent at once, it adapts the window to it and stores its length: Linux takes no
        # larger window than the settings say, and older fsck.erofs ask for the length.
        compressor = zstd.ZstdCompressor(level=self.level)
        compress, mode = compressor.compress, compressor.FLUSH_FRAME
        return lambda view: compress(view, mode)


def parse_codec(text: str) -> Codec | None:
    """What ``CODEC[:LEVEL]`` names; None for "none".

    Raises:
        UsageError: there is no such compressor or level.
    """
    name, colon, level = text.partition(":")
    kind = _KINDS.get(name)
    if name == "none" and not colon:
        return None
    if kind is None:
        raise UsageError(f"no compression is called {text!r}", hint=f"there are {_choices()}")
    if not colon:
        return Codec(name, kind.default)
    if not (level.isascii() and level.isdecimal()) or int(level) not in kind.levels:
        raise UsageError(f"{name} {_levels(kind.levels)}, not {level!r}")
    return Codec(name, int(level))


def _choices() -> str:
    return ", ".join(["none", *_KINDS])


def _levels(levels: range) -> str:
    return f"takes a level from {levels[0]} to {levels[-1]}" if levels else "has no levels"
