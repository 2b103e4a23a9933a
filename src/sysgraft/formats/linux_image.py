"""Linux kernels as files: which are executables for EFI, which are compressed, which release.

Sources: Documentation/arch/x86/boot.rst (the header of bzImage), drivers/firmware/efi/libstub/
zboot-header.S (compressed kernels that unpack themselves), and the kernel's own version line. Of
compressed kernels it says where the rest is; decompressing that is the caller's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.base.blob import Blob

# offset size  bzImage, boot.rst "The Real-Mode Kernel Header"
#  0x202    4  "HdrS"
#  0x20e    2  where the version text is, less 0x200; 0 for none
_BZIMAGE_MAGIC: Final = b"HdrS"
_BZIMAGE_HEADER: Final = 0x202
_BZIMAGE_BASE: Final = 0x200
_BZIMAGE_END: Final = 0x210

# offset size  EFI zboot
#      0    2  "MZ"
#      4    4  "zimg"
#      8    4  where the compressed kernel is
#     12    4  its length
#     24   32  the compression's name, NUL-terminated
_ZBOOT_MAGIC: Final = b"zimg"
_ZBOOT_END: Final = 56

# "6.12.48-arm64 (builder@host) …" behind "Linux version " (init/version.c, linux_banner), and
# alone in bzImage (arch/x86/boot/version.c). A release is UTS_RELEASE, at most 64 characters.
_RELEASE: Final = re.compile(rb"([0-9][\x21-\x7e]{0,63}) \(")
_BANNER: Final = re.compile(rb"Linux version " + _RELEASE.pattern)
_BANNER_START: Final = b"Linux version "
_BANNER_LENGTH: Final = len(_BANNER_START) + 64 + len(b" (")


@dataclass(frozen=True, slots=True)
class Payload:
    """The compressed kernel inside an EFI zboot image.

    Attributes:
        offset: where it is, in bytes.
        size: its length in bytes.
        compression: its name as the kernel build has it: ``gzip``, ``zstd22``, ``xzkern``….
    """

    offset: int
    size: int
    compression: str


def zboot_payload(blob: Blob) -> Payload | None:
    """The compressed kernel inside; None if this is no EFI zboot image.

    Raises:
        FormatError: it would lie outside the file.
    """
    if blob.size < _ZBOOT_END:
        return None
    head = blob.read_at(0, _ZBOOT_END)
    if not head.startswith(b"MZ") or head[4:8] != _ZBOOT_MAGIC:
        return None
    offset, size = (int.from_bytes(head[at : at + 4], "little") for at in (8, 12))
    if offset < _ZBOOT_END or offset + size > blob.size:
        raise FormatError(
            f"the compressed kernel would be bytes {offset} to {offset + size} of {blob.size}"
        )
    return Payload(offset, size, head[24:].partition(b"\0")[0].decode("ascii", "replace"))


def bzimage_release(blob: Blob) -> str | None:
    """The release of an x86 kernel, as ``uname -r`` prints it; None if it says none."""
    if blob.size < _BZIMAGE_END:
        return None
    head = blob.read_at(_BZIMAGE_HEADER, _BZIMAGE_END - _BZIMAGE_HEADER)
    if not head.startswith(_BZIMAGE_MAGIC):
        return None
    pointer = int.from_bytes(head[12:14], "little")
    start = _BZIMAGE_BASE + pointer
    if not pointer or start >= blob.size:
        return None
    found = _RELEASE.match(blob.read_at(start, min(_BANNER_LENGTH, blob.size - start)))
    return found[1].decode("ascii") if found else None


def banner_release(chunks: Iterable[bytes]) -> str | None:
    """The release in the version line of an uncompressed kernel; None if there is none.

    Args:
        chunks: the kernel's bytes in their order.
    """
    tail = b""
    for chunk in chunks:
        data = tail + chunk
        found = _BANNER.search(data)
        if found:
            return found[1].decode("ascii")
        tail = data[-_BANNER_LENGTH:]
    return None
