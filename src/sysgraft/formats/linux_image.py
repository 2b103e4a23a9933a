"""Linux kernels as files: which are executables for EFI, which are compressed, which release.

Sources: Documentation/arch/x86/boot.rst (the header of bzImage), drivers/firmware/efi/libstub/
zboot-header.S (compressed kernels that unpack themselves), and the kernel's own version line. It
does not decompress; that is the caller's, with `Payload`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob

# offset size  bzImage, boot.rst "The Real-Mode Kernel Header"
#  0x202    4  "HdrS"
#  0x20e    2  where the version text is, less 0x200
_BZIMAGE_MAGIC: Final = b"HdrS"
_BZIMAGE_HEADER: Final = 0x202
_BZIMAGE_END: Final = 0x210
_VERSION_LENGTH: Final = 256

# offset size  EFI zboot
#      0    2  "MZ"
#      4    4  "zimg"
#      8    4  where the compressed kernel is
#     12    4  its length
#     24   32  the compression's name, NUL-terminated
_ZBOOT_MAGIC: Final = b"zimg"
_ZBOOT_END: Final = 56

_RELEASE: Final = re.compile(rb"([A-Za-z0-9._+-]+) \([^ )]+\) #")
# "Linux version 6.12.48-arm64 (builder@host) …": init/version.c, linux_banner.
_BANNER: Final = re.compile(rb"Linux version ([0-9][A-Za-z0-9._+~-]{0,127}) \(")
_BANNER_START: Final = b"Linux version "
_BANNER_LENGTH: Final = 256
_CHUNK: Final = 1 << 20


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
    if not _ZBOOT_END <= offset <= offset + size <= blob.size:
        raise FormatError(
            f"the compressed kernel would be bytes {offset} to {offset + size} of {blob.size}"
        )
    return Payload(offset, size, head[24:].partition(b"\0")[0].decode("ascii", "replace"))


def bzimage_release(blob: Blob) -> str | None:
    """The release of an x86 kernel, as ``uname -r`` prints it; None if it is none."""
    if blob.size < _BZIMAGE_END:
        return None
    head = blob.read_at(_BZIMAGE_HEADER, _BZIMAGE_END - _BZIMAGE_HEADER)
    if not head.startswith(_BZIMAGE_MAGIC):
        return None
    start = 0x200 + int.from_bytes(head[12:14], "little")
    text = blob.read_at(start, min(_VERSION_LENGTH, max(0, blob.size - start)))
    found = _RELEASE.match(text)
    return found[1].decode("ascii") if found else None


def banner_release(chunks: Iterator[bytes]) -> str | None:
    """The release in the version line of an uncompressed kernel; None if there is none.

    Args:
        chunks: the kernel's bytes in their order.
    """
    tail = b""
    for chunk in chunks:
        data = tail + chunk
        for found in _BANNER.finditer(data):
            return found[1].decode("ascii")
        at = data.rfind(_BANNER_START, max(0, len(data) - _BANNER_LENGTH))
        tail = data[at:] if at >= 0 else data[-len(_BANNER_START) :]
    return None


def blob_chunks(blob: Blob) -> Iterator[bytes]:
    """A blob's bytes, a mebibyte at a time."""
    for start in range(0, blob.size, _CHUNK):
        yield blob.read_at(start, min(_CHUNK, blob.size - start))
