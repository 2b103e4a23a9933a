"""Which file a UEFI device path ends with (UEFI 2.10 §10.3), and what an image load event is about.

Only the nodes that name files are read: media device path, file path (§10.3.5.4), and the vendor
node by which systemd-stub names the kernel inside it (``src/boot/linux.c``). Everything else of a
path says where the disk is, and is passed over.
"""

from __future__ import annotations

import struct
from typing import Final
from uuid import UUID

KERNEL: Final = ".linux"
"""What is called so is the kernel that a stub has the firmware load from memory."""
MAX_NODES: Final = 256
"""Nodes of one path; real ones have about six."""

# EFI_DEVICE_PATH_PROTOCOL: 0 type, 1 subtype, 2 length of the node with these four bytes.
_NODE: Final = struct.Struct("<BBH")
_MEDIA: Final = 4
_VENDOR: Final = 3
_FILE: Final = 4
_END: Final = 0x7F
_STUB_PAYLOAD: Final = UUID("55c5d1f8-04cd-46b5-8a20-e56cbb3052d0")
# UEFI_IMAGE_LOAD_EVENT (PC Client Firmware Profile 1.06 §10.2.3): 0 address, 8 length, 16 link time
# address, 24 size of the device path, then that.
_IMAGE: Final = struct.Struct("<QQQQ")


def loaded_file(data: bytes) -> str:
    """The file that an image load event names, with backslashes; empty if it names none."""
    if len(data) < _IMAGE.size:
        return ""
    *_, size = _IMAGE.unpack_from(data)
    return file_of(data[_IMAGE.size : _IMAGE.size + size])


def file_of(path: bytes) -> str:
    """The file that a device path names; empty if it names none, or is damaged before it does."""
    parts: list[str] = []
    position = 0
    for _ in range(MAX_NODES):
        if position + _NODE.size > len(path):
            break
        kind, subtype, length = _NODE.unpack_from(path, position)
        content = path[position + _NODE.size : position + length]
        if kind == _END or length < _NODE.size or len(content) != length - _NODE.size:
            break
        if (kind, subtype) == (_MEDIA, _FILE):
            parts.append(content.decode("utf-16-le", errors="replace").rstrip("\0"))
        elif (kind, subtype) == (_MEDIA, _VENDOR) and content == _STUB_PAYLOAD.bytes_le:
            parts.append(KERNEL)
        position += length
    return "\\".join(parts)


def last_name(path: str) -> str:
    """The last part of such a name."""
    return path.rpartition("\\")[2]
