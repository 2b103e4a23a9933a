"""The map header of a compressed inode: how its index and its data are to be read.

struct z_erofs_map_header, 8 bytes behind inode and attributes, aligned to 8

  offset size field
       0    4 h_fragmentoff   where the tail is in the packed file (its low half), or
       2    2 h_idata_size    bytes of the tail that follow the index
       4    2 h_advise        bits, see `Advise`
       6    1 h_algorithmtype bits 0 to 3 that of HEAD1, 4 to 7 that of HEAD2
       7    1 h_clusterbits   bits 0 to 3 size of an lcluster, as a power of two of blocks;
                              bit 7: the whole file is in the packed file, and the other 63
                              bits of the header tell where
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats.erofs.ondisk import Algorithm

_STRUCT: Final = struct.Struct("<HHHBB")
_WHOLE_FRAGMENT: Final = 1 << 63
_CLUSTER_BITS: Final = 0xF

MAP_HEADER_SIZE: Final = _STRUCT.size
"""Bytes of the header."""


class Advise(IntFlag):
    """``h_advise``."""

    COMPACTED_2B = 0x01
    BIG_PCLUSTER_1 = 0x02
    BIG_PCLUSTER_2 = 0x04
    INLINE_PCLUSTER = 0x08
    INTERLACED_PCLUSTER = 0x10
    FRAGMENT_PCLUSTER = 0x20


_KNOWN: Final = sum(Advise)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapHeader:
    """How a compressed inode's index and data are to be read.

    Attributes:
        advise: `Advise` bits.
        algorithms: of HEAD1 and HEAD2.
        inline_size: bytes of compressed tail behind the index, 0 for none.
        fragment_offset: where the tail (or all) is in the packed file, as far as the header says.
        is_fragment: whether all of the file is there; there is no index then.
    """

    advise: int = 0
    algorithms: tuple[Algorithm, Algorithm] = (Algorithm.LZ4, Algorithm.LZ4)
    inline_size: int = 0
    fragment_offset: int = 0
    is_fragment: bool = False

    def has(self, bit: Advise) -> bool:
        """Whether a bit is set."""
        return bool(self.advise & bit)


def encode_map_header(advise: int, algorithm: Algorithm) -> bytes:
    """The eight bytes for data of one kind in lclusters of a block, without a tail elsewhere."""
    return _STRUCT.pack(0, 0, advise, algorithm, 0)


def decode_map_header(data: bytes, *, compact: bool) -> MapHeader:
    """Parse the eight bytes.

    Args:
        data: the header.
        compact: whether the inode has a compact index.

    Raises:
        UnsupportedError: it names an algorithm or a feature that is not known.
        FormatError: it contradicts itself.
    """
    number = int.from_bytes(data, "little")
    if number & _WHOLE_FRAGMENT:
        return MapHeader(
            advise=Advise.FRAGMENT_PCLUSTER,
            fragment_offset=number ^ _WHOLE_FRAGMENT,
            is_fragment=True,
        )
    _, inline_size, advise, algorithms, cluster_bits = _STRUCT.unpack(data)
    _check(advise, cluster_bits, compact=compact)
    has_fragment = advise & Advise.FRAGMENT_PCLUSTER
    has_inline = advise & Advise.INLINE_PCLUSTER and not has_fragment
    return MapHeader(
        advise=advise,
        algorithms=(_algorithm(algorithms & 0xF), _algorithm(algorithms >> 4)),
        inline_size=inline_size if has_inline else 0,
        fragment_offset=number & 0xFFFFFFFF if has_fragment else 0,
    )


def _check(advise: int, cluster_bits: int, *, compact: bool) -> None:
    if advise & ~_KNOWN:
        raise UnsupportedError(f"unknown features of a compressed file: {advise & ~_KNOWN:#x}")
    if advise & Advise.COMPACTED_2B and not compact:
        # Linux before 6.15 does not look at this bit here, newer ones find another index.
        raise UnsupportedError("an index of encoded extents, which is newer than Linux 6.14")
    if cluster_bits & _CLUSTER_BITS:
        raise UnsupportedError("logical clusters of more than a block")
    both = bool(advise & Advise.BIG_PCLUSTER_1), bool(advise & Advise.BIG_PCLUSTER_2)
    if compact and both[0] != both[1]:
        raise FormatError("one of two kinds of data is in big clusters, which needs a full index")


def _algorithm(number: int) -> Algorithm:
    if number >= len(Algorithm):
        raise UnsupportedError(f"unknown EROFS compression algorithm {number}")
    return Algorithm(number)
