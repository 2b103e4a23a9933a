"""The least that an index and a plan of firmware can take.

    python benchmarks/firmware_floor.py decompress FOLDER
    python benchmarks/firmware_floor.py load INDEX

The first reads and decompresses every ``.ko.xz`` below a folder, on all cores; the second loads an
index and makes it ready.
"""

from __future__ import annotations

import lzma
import os
import sys
from multiprocessing import Pool
from pathlib import Path

from sysgraft.firmware.index import parse_index
from sysgraft.firmware.plan import Planner


def size_of(path: Path) -> int:
    return len(lzma.decompress(path.read_bytes()))


def decompress(folder: Path) -> int:
    paths = sorted(folder.rglob("*.ko.xz"), key=lambda path: -path.stat().st_size)
    with Pool(len(os.sched_getaffinity(0))) as pool:
        return sum(pool.imap_unordered(size_of, paths, 16))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("decompress", "load"):
        sys.exit(__doc__)
    if sys.argv[1] == "decompress":
        print(decompress(Path(sys.argv[2])))
    else:
        Planner(parse_index(Path(sys.argv[2]).read_bytes()))
