"""Makes small FAT volumes, byte by byte, for tests that then damage them.

Independent of the reader: a boot sector, chains and directory entries as the specification has
them, every file in clusters of the test's choice.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Final

ENTRY: Final = struct.Struct("<11sBBBHHHHHHHI")
DATE: Final = (2026 - 1980) << 9 | 3 << 5 | 4
TIME: Final = 5 << 11 | 6 << 5 | 7
END: Final = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}


def short(name: str) -> bytes:
    """The eleven bytes of a name in the form 8.3."""
    base, _, extension = name.partition(".")
    return base.encode("cp437").ljust(8) + extension.encode("cp437").ljust(3)


def record(
    name: bytes, cluster: int = 0, size: int = 0, attributes: int = 0x20, case: int = 0
) -> bytes:
    """A directory entry."""
    upper, lower = cluster >> 16, cluster & 0xFFFF
    return ENTRY.pack(
        name, attributes, case, 150, TIME, DATE, DATE, upper, TIME, DATE, lower, size
    )  # fmt: skip


def checksum(name: bytes) -> int:
    """As the specification's C function computes it."""
    total = 0
    for byte in name:
        total = ((0x80 if total & 1 else 0) + (total >> 1) + byte) % 256
    return total


def long_records(name: str, short_name: bytes, check: int | None = None) -> bytes:
    """The entries of a long name, which go before the one of the short name."""
    raw = name.encode("utf-16-le", "surrogatepass")
    units = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    if len(units) % 13:
        units.append(b"\0\0")
    units += [b"\xff\xff"] * (-len(units) % 13)
    count = len(units) // 13
    check = checksum(short_name) if check is None else check
    out = b""
    for number in range(count, 0, -1):
        part = units[13 * number - 13 : 13 * number]
        order = number | (0x40 if number == count else 0)
        out += bytes([order]) + b"".join(part[:5]) + bytes([0x0F, 0, check])
        out += b"".join(part[5:11]) + b"\0\0" + b"".join(part[11:])
    return out


class FatImage:
    """A volume; `put` fills clusters, `chain` joins them, `image` gives the bytes."""

    def __init__(
        self, bits: int, *, clusters: int | None = None, sector: int = 512, per_cluster: int = 1
    ) -> None:
        self.bits, self.sector = bits, sector
        self.cluster_size = sector * per_cluster
        self.clusters = clusters or {12: 60, 16: 4100, 32: 200}[bits]
        self.fat = [END[bits] - 7, END[bits]] + [0] * self.clusters
        self.data = bytearray(self.clusters * self.cluster_size)
        self.root = bytearray(sector)
        self.boot = bytearray(sector)
        self.reserved, self.fats = 2, 2
        self._free = 2
        if bits == 32:
            self.chain(self.take(1))
        sectors = self.reserved + self.fats * self.fat_sectors + self.root_sectors
        sectors += self.clusters * per_cluster
        struct.pack_into(
            "<3s8sHBHBHHBHHHII", self.boot, 0, b"\xeb\x58\x90", b"testtest", sector, per_cluster,
            self.reserved, self.fats, self.root_sectors * sector // 32,
            sectors if sectors < 65536 else 0, 0xF8, 0 if bits == 32 else self.fat_sectors, 0, 0, 0,
            0 if sectors < 65536 else sectors,
        )  # fmt: skip
        if bits == 32:
            struct.pack_into("<IHHIHH", self.boot, 36, self.fat_sectors, 0, 0, 2, 1, 0)
        struct.pack_into(
            "<BI11s8s", self.boot, 66 if bits == 32 else 38, 0x29, 0x1234ABCD, b"BOOT LABEL ",
            f"FAT{bits}".ljust(8).encode(),
        )  # fmt: skip
        self.boot[510:512] = b"\x55\xaa"

    @property
    def fat_sectors(self) -> int:
        """Sectors of one table."""
        return -(-len(self.fat) * self.bits // (8 * self.sector))

    @property
    def root_sectors(self) -> int:
        """Sectors of the root directory."""
        return 0 if self.bits == 32 else len(self.root) // self.sector

    def take(self, count: int) -> list[int]:
        """Numbers of clusters that nothing uses yet."""
        taken = list(range(self._free, self._free + count))
        self._free += count
        return taken

    def chain(self, clusters: list[int]) -> None:
        """Make these clusters one chain."""
        for one, other in pairwise(clusters):
            self.fat[one] = other
        self.fat[clusters[-1]] = END[self.bits]

    def put(self, data: bytes, clusters: list[int] | None = None) -> int:
        """Store a content, in these clusters if given; its first cluster."""
        size = self.cluster_size
        clusters = clusters or self.take(max(1, -(-len(data) // size)))
        self.chain(clusters)
        for number, cluster in enumerate(clusters):
            part = data[number * size : (number + 1) * size].ljust(size, b"\0")
            self.data[(cluster - 2) * size : (cluster - 1) * size] = part
        return clusters[0]

    def folder(self, *records: bytes) -> int:
        """Store a directory; its first cluster."""
        dots = record(b".".ljust(11), attributes=0x10) + record(b"..".ljust(11), attributes=0x10)
        return self.put(dots + b"".join(records))

    def set_root(self, *records: bytes) -> None:
        """Store the root directory."""
        data = b"".join(records)
        if self.bits == 32:
            more = self.take(-(-len(data) // self.cluster_size) - 1) if data else []
            self.put(data, [2, *more])
        else:
            assert len(data) <= len(self.root)
            self.root[:] = data.ljust(len(self.root), b"\0")

    def image(self) -> bytes:
        """The volume."""
        tables = self._table() * self.fats
        front = self.boot + bytes((self.reserved - 1) * self.sector) + tables
        return bytes(front + (b"" if self.bits == 32 else self.root) + self.data)

    def _table(self) -> bytes:
        if self.bits == 12:
            fat = self.fat + [0] * (len(self.fat) % 2)
            pairs = zip(fat[::2], fat[1::2], strict=True)
            raw = b"".join((one | other << 12).to_bytes(3, "little") for one, other in pairs)
        else:
            raw = struct.pack(f"<{len(self.fat)}{'H' if self.bits == 16 else 'I'}", *self.fat)
        return raw.ljust(self.fat_sectors * self.sector, b"\0")
