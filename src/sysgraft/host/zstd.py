"""Compression with zstd on all cores.

The bytes depend on the release of libzstd and the level, not on how many cores there are, nor on
how the input comes in pieces: the multi-threaded compressor cuts it in the same places for any
number of threads (zstd.h, ZSTD_c_nbWorkers), and it is used for one thread too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.formats.compression import zstd_module
from sysgraft.host.parallel import MAX_WORKERS, cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def version() -> str:
    """The release of libzstd."""
    return str(zstd_module().zstd_version)


SMALL: Final = 8 << 20
"""Bytes below which starting threads takes longer than compressing."""


def compress_sized(pieces: Iterable[bytes], level: int, size: int) -> Iterator[bytes]:
    """One zstd frame of all pieces that states their size, which Linux wants of firmware files.

    Source: ``drivers/base/firmware_loader/main.c``, ``fw_decompress_zstd``.

    Args:
        pieces: what is compressed.
        level: of zstd.
        size: bytes of all pieces.
    """
    zstd = zstd_module()
    parameter = zstd.CompressionParameter
    options = {
        parameter.compression_level: level,
        parameter.checksum_flag: 1,
        parameter.content_size_flag: 1,
    }
    workers = min(cores(), MAX_WORKERS, parameter.nb_workers.bounds()[1])
    if workers and size > SMALL:
        options[parameter.nb_workers] = workers
    compressor = zstd.ZstdCompressor(options=options)
    compressor.set_pledged_input_size(size)
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


def compress(pieces: Iterable[bytes], level: int) -> Iterator[bytes]:
    """One zstd frame of all pieces, with a checksum."""
    zstd = zstd_module()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: level, parameter.checksum_flag: 1}
    # A library built without threads says so: its bound is 0, and it has the other compressor only.
    workers = min(cores(), MAX_WORKERS, parameter.nb_workers.bounds()[1])
    if workers:
        options[parameter.nb_workers] = workers
    compressor = zstd.ZstdCompressor(options=options)
    for piece in pieces:
        data: bytes = compressor.compress(piece)
        if data:
            yield data
    yield compressor.flush()
