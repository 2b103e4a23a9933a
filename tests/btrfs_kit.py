"""Makes small btrfs images, node by node, for tests that then damage them.

Independent of the reader: one chunk that maps addresses to themselves, or twice (DUP), nodes of
4096 bytes, a root tree of one or two levels, subvolumes with folders in them.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sysgraft.formats.crc32c import crc32c

FSID: Final = UUID("a041bd9a-3392-4ec4-b01c-eaf65896eb8e").bytes
METADATA: Final = UUID("b041bd9a-3392-4ec4-b01c-eaf65896eb8e").bytes
NODE: Final = 4096
START: Final = 0x20000
LENGTH: Final = 0x20000
SECOND: Final = 0x40000
SIZE: Final = 0x60000
GENERATION: Final = 7
KINDS: Final = {"crc32c": 0, "xxhash": 1, "sha256": 2, "blake2b": 3}

Key = tuple[int, int, int]
Items = list[tuple[Key, bytes]]


def digest(kind: str, data: bytes) -> bytes:
    """A checksum in 32 bytes."""
    if kind == "sha256":
        return hashlib.sha256(data).digest()
    if kind == "blake2b":
        return hashlib.blake2b(data, digest_size=32).digest()
    return struct.pack("<I", crc32c(data) ^ 0xFFFFFFFF).ljust(32, b"\0")


def entry(name: str, key: Key, kind: int = 2) -> bytes:
    """An entry of a folder."""
    raw = os.fsencode(name)
    return struct.pack("<QBQQHHB", *key, GENERATION, 0, len(raw), kind) + raw


def root_item(address: int, level: int = 0) -> bytes:
    """Where a tree begins."""
    item = bytearray(439)
    struct.pack_into("<QQQ", item, 160, GENERATION, 256, address)
    item[238] = level
    return bytes(item)


def root_ref(folder: int, name: str) -> bytes:
    """Where a subvolume lies."""
    raw = os.fsencode(name)
    return struct.pack("<QQH", folder, 2, len(raw)) + raw


def chunk(flags: int = 2 | 4, places: tuple[int, ...] = (START,), device: int = 1) -> bytes:
    """A chunk of metadata."""
    head = struct.pack("<4Q3I2H", LENGTH, 2, 65536, flags, 4096, 4096, 4096, len(places), 1)
    return head + b"".join(struct.pack("<QQ16s", device, place, FSID) for place in places)


@dataclass
class Maker:
    """A file system in the making.

    Attributes:
        checksum: kind of checksum.
        default: ID of the default subvolume; None for no entry at all.
        subvolumes: ID, the one it lies in, the folder there, its name.
        names: what is at the top of each subvolume.
        folders: of a subvolume, folders by their number: the folder they are in, and their name.
        devices: how many devices it says it has.
        chunk: its chunk.
        metadata_uuid: whether nodes carry another UUID.
        levels: of the root tree: 1 or 2.
    """

    checksum: str = "crc32c"
    default: int | None = 5
    subvolumes: list[tuple[int, int, int, str]] = field(default_factory=list)
    names: dict[int, tuple[str, ...]] = field(default_factory=dict)
    folders: dict[int, dict[int, tuple[int, str]]] = field(default_factory=dict)
    devices: int = 1
    chunk: bytes = field(default_factory=chunk)
    metadata_uuid: bool = False
    levels: int = 1
    _image: bytearray = field(default_factory=lambda: bytearray(SIZE))
    _next: int = START

    def node(self, items: Items, owner: int, level: int = 0) -> int:
        """Put a node; its address."""
        data = bytearray(NODE)
        uuid = METADATA if self.metadata_uuid else FSID
        address = self._next
        self._next += NODE
        struct.pack_into(
            "<32x16sQQ16sQQIB",
            data,
            0,
            uuid,
            address,
            1,
            FSID,
            GENERATION,
            owner,
            len(items),
            level,
        )
        end = NODE
        for number, (key, content) in enumerate(items):
            if level:
                struct.pack_into("<QBQ16s", data, 101 + 33 * number, *key, content)
                continue
            end -= len(content)
            data[end : end + len(content)] = content
            struct.pack_into("<QBQII", data, 101 + 25 * number, *key, end - 101, len(content))
        self._put(address, bytes(data))
        return address

    def _put(self, address: int, data: bytes) -> None:
        data = digest(self.checksum, data[32:]) + data[32:]
        self._image[address : address + NODE] = data
        self._image[address - START + SECOND : address - START + SECOND + NODE] = data

    def _tree(self, number: int) -> int:
        names = self.names.get(number, ())
        items: Items = [
            ((folder, 12, above), struct.pack("<QH", 2, len(os.fsencode(name))) + os.fsencode(name))
            for folder, (above, name) in self.folders.get(number, {}).items()
        ]
        items += [
            ((256, 96, at), entry(name, (300 + at, 1, 0))) for at, name in enumerate(names, 2)
        ]
        return self.node(sorted(items), number)

    def image(self) -> bytes:
        """The file system."""
        chunk_root = self.node([((256, 228, START), self.chunk)], 3)
        items: Items = [((5, 132, 0), root_item(self._tree(5)))]
        if self.default is not None:
            items.append(((6, 84, 2378154706), entry("default", (self.default, 132, 2**64 - 1))))
        for number, parent, folder, name in self.subvolumes:
            items.append(((number, 132, 0), root_item(self._tree(number))))
            items.append(((number, 144, parent), root_ref(folder, name)))
        root, level = self._root(sorted(items))
        self._superblock(root, level, chunk_root)
        return bytes(self._image)

    def _root(self, items: Items) -> tuple[int, int]:
        if self.levels == 1:
            return self.node(items, 1), 0
        half = len(items) // 2
        below = [(part[0][0], self.node(part, 1)) for part in (items[:half], items[half:])]
        pointers = [(key, struct.pack("<QQ", place, GENERATION)) for key, place in below]
        return self.node(pointers, 1, level=1), 1

    def _superblock(self, root: int, level: int, chunk_root: int) -> None:
        block = bytearray(4096)
        array = struct.pack("<QBQ", 256, 228, START) + self.chunk
        struct.pack_into("<16sQQ8sQQQ", block, 0x20, FSID, 0x10000, 1, b"_BHRfS_M", GENERATION,
                         root, chunk_root)  # fmt: skip
        struct.pack_into("<QQQQ", block, 0x70, SIZE, SIZE, 6, self.devices)
        struct.pack_into("<5IQ", block, 0x90, 4096, NODE, NODE, 4096, len(array), GENERATION)
        incompat = 1 << 10 if self.metadata_uuid else 0
        struct.pack_into("<QHBB", block, 0xBC, incompat, KINDS[self.checksum], level, 0)
        struct.pack_into("<Q", block, 0xC9, 1)
        block[0x23B : 0x23B + 16] = METADATA
        block[0x32B : 0x32B + len(array)] = array
        block[:32] = digest(self.checksum, bytes(block[32:]))
        self._image[0x10000 : 0x10000 + 4096] = block


def fedora(default: int = 5) -> Maker:
    """Subvolumes as Fedora's installer makes them."""
    return Maker(
        default=default,
        subvolumes=[(256, 5, 256, "root"), (257, 5, 256, "home")],
        names={5: ("root", "home"), 256: ("usr", "etc", "var"), 257: ("me",)},
    )
