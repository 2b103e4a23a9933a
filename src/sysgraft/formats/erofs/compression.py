"""How an EROFS image's data is compressed: the algorithms it names, and their settings.

With the feature ``COMPR_CFGS`` the superblock's field at 84 is a bitmap of algorithms, and behind
the superblock and its extension slots lie their settings, one after the other in the order of the
bits: two bytes of length, then as many of

    z_erofs_lz4_cfgs      2 max_distance, 2 max_pclusterblks, 10 reserved
    z_erofs_lzma_cfgs     4 dict_size, 2 format (0: microlzma), 8 reserved
    z_erofs_deflate_cfgs  1 windowbits, 5 reserved
    z_erofs_zstd_cfgs     1 format (0: plain frames), 1 windowlog less 10, 4 reserved

Without it everything is LZ4 and the field is its largest distance, which no decoder needs. Nothing
is decompressed here: see `codecs`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.erofs.ondisk import SUPER_OFFSET, SUPER_SIZE, Algorithm, Incompat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.formats.erofs.superblock import Superblock


MAX_PCLUSTER: Final = 1 << 20
"""Bytes of compressed data that are decompressed together (``Z_EROFS_PCLUSTER_MAX_SIZE``)."""

MAX_EXTENT: Final = 12 << 20
"""Bytes they may grow to (``Z_EROFS_PCLUSTER_MAX_DSIZE``)."""

_EXTENSION_SLOT: Final = 16
_LENGTH: Final = struct.Struct("<H")
_SETTINGS: Final = {
    Algorithm.LZ4: struct.Struct("<HH10x"),
    Algorithm.LZMA: struct.Struct("<IH8x"),
    Algorithm.DEFLATE: struct.Struct("<B5x"),
    Algorithm.ZSTD: struct.Struct("<BB4x"),
}
# Z_EROFS_LZMA_MAX_DICT_SIZE and Z_EROFS_ZSTD_MAX_DICT_SIZE, which is that of a pcluster.
_LZMA_DICTIONARY: Final = range(4096, (8 << 20) + 1)
_ZSTD_LOG: Final = range(21 - 10)
_DEFLATE_BITS: Final = range(16)  # to zlib's MAX_WBITS; libdeflate writes 0


class Compression(NamedTuple):
    """What an image's compressed data may be.

    Attributes:
        algorithms: the ones in use.
        padded: whether data smaller than its blocks stands at their end, behind zeros; without
            that, LZ4 data stands at their start and its end is not known.
        big: whether more than one block is compressed together.
    """

    algorithms: frozenset[Algorithm]
    padded: bool
    big: bool


def encode_settings(algorithm: Algorithm, *settings: int) -> bytes:
    """What stands behind the superblock of an image with one algorithm; `settings` as above."""
    form = _SETTINGS[algorithm]
    return _LENGTH.pack(form.size) + form.pack(*settings)


def read_compression(blob: Blob, superblock: Superblock) -> Compression:
    """What the superblock and what follows it say.

    Raises:
        UnsupportedError: an algorithm or one of its forms is not known.
        FormatError: the settings make no sense.
    """
    features = superblock.feature_incompat
    padded = bool(features & Incompat.LZ4_0PADDING)
    if not features & Incompat.COMPRESSION_CONFIGS:
        return Compression(frozenset({Algorithm.LZ4}), padded, big=False)
    unknown = superblock.algorithms & ~sum(1 << algorithm for algorithm in Algorithm)
    if unknown:
        raise UnsupportedError(f"unknown EROFS compression algorithms: {unknown:#x}")
    found = [each for each in Algorithm if superblock.algorithms >> each & 1]
    for algorithm, settings in _settings(blob, superblock, found):
        _check(algorithm, settings)
    return Compression(frozenset(found), padded, big=True)


def _settings(
    blob: Blob, superblock: Superblock, found: list[Algorithm]
) -> Iterator[tuple[Algorithm, tuple[int, ...]]]:
    offset = SUPER_OFFSET + SUPER_SIZE + superblock.extension_slots * _EXTENSION_SLOT
    for algorithm in found:
        (length,) = _LENGTH.unpack(blob.read_at(offset, _LENGTH.size))
        form = _SETTINGS[algorithm]
        if length < form.size:
            raise FormatError(f"the settings of {algorithm.name} have {length} bytes")
        yield algorithm, form.unpack(blob.read_at(offset + _LENGTH.size, form.size))
        offset += _LENGTH.size + length


def _check(algorithm: Algorithm, settings: tuple[int, ...]) -> None:
    first, second = (*settings, 0)[:2]
    if algorithm is Algorithm.LZMA:
        _check_form(algorithm, second)
        is_good = first in _LZMA_DICTIONARY
    elif algorithm is Algorithm.ZSTD:
        _check_form(algorithm, first)
        is_good = second in _ZSTD_LOG
    else:
        is_good = algorithm is Algorithm.LZ4 or first in _DEFLATE_BITS
    if not is_good:
        raise FormatError(f"the window of {algorithm.name} cannot have this size: {settings}")


def _check_form(algorithm: Algorithm, form: int) -> None:
    if form:
        raise UnsupportedError(f"unknown form {form} of {algorithm.name}")
