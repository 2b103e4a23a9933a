"""Compression with zstd on all cores.

The bytes depend on the release of libzstd and the level, not on how many cores there are: the
multi-threaded compressor cuts its input in the same places for any number of threads, and it is
used for one thread too.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from sysgraft.host.parallel import cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType


def _module() -> ModuleType:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return importlib.import_module(name)


def version() -> str:
    """The release of libzstd."""
    return str(_module().zstd_version)


def compress(pieces: Iterable[bytes], level: int) -> Iterator[bytes]:
    """One zstd frame of all pieces, with a checksum."""
    zstd = _module()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: level, parameter.checksum_flag: 1}
    # A library built without threads says so, and has the other compressor only.
    if parameter.nb_workers.bounds()[1]:
        options[parameter.nb_workers] = cores()
    compressor = zstd.ZstdCompressor(options=options)
    for piece in pieces:
        data: bytes = compressor.compress(piece)
        if data:
            yield data
    yield compressor.flush()
