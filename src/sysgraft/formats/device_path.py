"""Which file a UEFI device path ends with (UEFI 2.10 §10.3), and what an image load event is about.

Only the nodes that name files are read: media device path, file path (§10.3.5.4), and the vendor
node by which systemd-stub names the kernel inside it (``src/boot/linux.c``); and the partition of a
GPT (§10.3.5.1). Everything else of a path says where the disk is, and is passed over. Paths that
are made here begin with the partition: firmware finds the disk by it (§3.1.2).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from sysgraft.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

KERNEL: Final = ".linux"
"""What is called so is the kernel that a stub has the firmware load from memory."""
MAX_NODES: Final = 256
"""Nodes of one path; real ones have about six."""

# EFI_DEVICE_PATH_PROTOCOL: 0 type, 1 subtype, 2 length of the node with these four bytes.
_NODE: Final = struct.Struct("<BBH")
_MEDIA: Final = 4
_VENDOR: Final = 3
_HARD_DRIVE: Final = 1
_FILE: Final = 4
_END: Final = 0x7F
_END_ENTIRE: Final = 0xFF
# 0 number of the partition, 4 its first block, 12 its blocks, 20 signature, 36 kind of partition
# table, 37 kind of signature.
_PARTITION: Final = struct.Struct("<IQQ16sBB")
_GPT: Final = 2
_BY_UUID: Final = 2
_MAX_NODE: Final = 0xFFFF
_STUB_PAYLOAD: Final = UUID("55c5d1f8-04cd-46b5-8a20-e56cbb3052d0")
# UEFI_IMAGE_LOAD_EVENT (PC Client Firmware Profile 1.06 §10.2.3): 0 address, 8 length, 16 link time
# address, 24 size of the device path, then that.
_IMAGE: Final = struct.Struct("<QQQQ")


class Partition(NamedTuple):
    """A partition of a GPT, as device paths name it.

    Attributes:
        number: of the partition, from 1.
        start: its first block.
        blocks: how many it has; blocks are those of the disk.
        uuid: its own UUID.
    """

    number: int
    start: int
    blocks: int
    uuid: UUID


def file_path(partition: Partition, path: str) -> bytes:
    r"""The device path of a file.

    Args:
        partition: it is on.
        path: of it there, with ``/`` or ``\``.

    Raises:
        FormatError: the path is too long for a node.
    """
    where = (partition.number, partition.start, partition.blocks, partition.uuid.bytes_le)
    name = "\\" + path.replace("/", "\\").strip("\\")
    return (
        _node(_MEDIA, _HARD_DRIVE, _PARTITION.pack(*where, _GPT, _BY_UUID))
        + _node(_MEDIA, _FILE, name.encode("utf-16-le") + b"\0\0")
        + _node(_END, _END_ENTIRE, b"")
    )


def _node(kind: int, subtype: int, content: bytes) -> bytes:
    length = _NODE.size + len(content)
    if length > _MAX_NODE:
        raise FormatError(f"a node of {length} bytes in a device path; {_MAX_NODE} are possible")
    return _NODE.pack(kind, subtype, length) + content


def partition_of(path: bytes) -> Partition | None:
    """The partition of a GPT that a device path leads to; None if it names none."""
    for kind, subtype, content in _nodes(path):
        if (kind, subtype, len(content)) == (_MEDIA, _HARD_DRIVE, _PARTITION.size):
            number, start, blocks, raw, table, signature = _PARTITION.unpack(content)
            if (table, signature) == (_GPT, _BY_UUID):
                return Partition(number, start, blocks, UUID(bytes_le=raw))
    return None


def loaded_file(data: bytes) -> str:
    """The file that an image load event names, with backslashes; empty if it names none."""
    if len(data) < _IMAGE.size:
        return ""
    *_, size = _IMAGE.unpack_from(data)
    return file_of(data[_IMAGE.size : _IMAGE.size + size])


def file_of(path: bytes) -> str:
    """The file that a device path names; empty if it names none, or is damaged before it does."""
    parts: list[str] = []
    for kind, subtype, content in _nodes(path):
        if (kind, subtype) == (_MEDIA, _FILE):
            parts.append(content.decode("utf-16-le", errors="replace").rstrip("\0"))
        elif (kind, subtype) == (_MEDIA, _VENDOR) and content == _STUB_PAYLOAD.bytes_le:
            parts.append(KERNEL)
    return "\\".join(parts)


def _nodes(path: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, subtype and content of each node, up to the end of the path or of what can be read."""
    position = 0
    for _ in range(MAX_NODES):
        if position + _NODE.size > len(path):
            return
        kind, subtype, length = _NODE.unpack_from(path, position)
        content = path[position + _NODE.size : position + length]
        if kind == _END or length < _NODE.size or len(content) != length - _NODE.size:
            return
        yield kind, subtype, content
        position += length


def last_name(path: str) -> str:
    """The last part of such a name."""
    return path.rpartition("\\")[2]
