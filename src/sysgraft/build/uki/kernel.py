"""The kernel of a UKI: an executable for EFI, decompressed if need be, and its release.

Distributions ship bzImage (x86), EFI zboot images, plain images or gzip of those (arm64, riscv64).
The first two start by themselves under EFI and are taken as they are; compressed files are
decompressed, since firmware starts nothing else. LZ4 and LZO are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import SubBlob, chunks
from sysgraft.errors import FormatError, InputError, UnsupportedError, UsageError, in_file
from sysgraft.formats import linux_image, pe, pe_image
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.stream import BlobSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.build.uki.inputs import Inputs
    from sysgraft.build.uki.options import UkiOptions

MAX_KERNEL: Final = 1 << 30
"""Bytes of a decompressed kernel; a debug kernel for arm64 has about 300 MB."""
_CHUNK: Final = 1 << 20
_LZ4: Final = (b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18")
_ELF: Final = b"\x7fELF"
# What the kernel's build calls its compressors (scripts/Makefile.lib, drivers/firmware/efi/
# libstub/Makefile.zboot), and what they make.
_ZBOOT_READ: Final = ("gzip", "xz", "lzma", "zstd")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel ready to be put into an image.

    Attributes:
        name: of its file.
        blob: the executable.
        image: its headers.
        release: as ``uname -r`` prints it; None if it does not say.
        nx_compat: whether it never runs what it can write.
    """

    name: str
    blob: Blob
    image: pe.Image
    release: str | None
    nx_compat: bool


def find_kernel(options: UkiOptions, inputs: Inputs) -> Kernel | None:
    """The kernel that is named, else the only one of the root file systems; None without either.

    Raises:
        InputError: the root file systems have several, or none; a profile needs none.
        FormatError: see `prepare`.
    """
    if options.linux is not None:
        return prepare(options.linux, inputs.file(options.linux, "kernel"), inputs)
    if not inputs.rootfs:
        return None
    found = {name: blob for each in inputs.rootfs for name, blob in each.kernels.items()}
    if not found and options.profile is not None:
        return None
    if len(found) != 1:
        names = f" ({', '.join(found)})" if found else ""
        raise InputError(
            f"one kernel is needed, the root file system has {len(found) or 'none'}{names}",
            hint="name the kernel with --linux, or leave others out with --exclude; looked for "
            "were usr/lib/modules/*/vmlinuz, else boot/vmlinuz*",
        )
    ((name, blob),) = found.items()
    inputs.workspace.note(f"the kernel is /{name} of the root file system")
    return prepare(name, blob, inputs)


def prepare(name: str, blob: Blob, inputs: Inputs) -> Kernel:
    """Make a kernel ready.

    Raises:
        FormatError: it is no executable for EFI, nor one that is compressed.
        UnsupportedError: it is compressed in a way that is not read.
    """
    with in_file(name):
        blob = _decompressed(blob, inputs)
        image = pe.parse(blob)
        if image.subsystem != pe.EFI_APPLICATION:
            raise FormatError("the kernel is an executable, but not one for EFI (CONFIG_EFI_STUB)")
        return Kernel(name, blob, image, _release(blob), pe_image.nx_compatible(blob, image))


def _decompressed(blob: Blob, inputs: Inputs) -> Blob:
    head = blob.read_at(0, min(HEAD_SIZE, blob.size))
    if pe.looks_like_pe(head):
        return blob
    if head.startswith(_LZ4):
        raise UnsupportedError("the kernel is compressed with LZ4, which is not read here")
    if head.startswith(_ELF):
        raise FormatError(
            "the kernel is an ELF file (vmlinux), firmware starts none",
            hint="give the image made for EFI: bzImage, Image or vmlinuz.efi",
        )
    kind = detect(head)
    if kind is Compression.NONE:
        raise FormatError("the kernel is no executable for EFI, and not a compressed one")
    start, size = 0, 0
    for piece in _pieces(blob, kind):
        at = inputs.workspace.spool.append(piece)
        start = start if size else at
        size += len(piece)
    return inputs.workspace.spool.blob(start, size)


def _pieces(blob: Blob, kind: Compression) -> Iterator[bytes]:
    allowance = Allowance(Limits(output=MAX_KERNEL))
    source = Decompressor(BlobSource(blob), kind, allowance)
    while piece := source.read(_CHUNK):
        yield piece


def _release(blob: Blob) -> str | None:
    """The kernel's release, wherever it says it."""
    found = linux_image.bzimage_release(blob)
    if found is not None:
        return found
    payload = linux_image.zboot_payload(blob)
    if payload is None:
        return linux_image.banner_release(chunks(blob))
    if not payload.compression.startswith(_ZBOOT_READ):
        return None
    inner = SubBlob(blob, payload.offset, payload.size)
    kind = detect(inner.read_at(0, min(HEAD_SIZE, inner.size)))
    if kind is Compression.NONE:
        return None
    try:
        return linux_image.banner_release(_pieces(inner, kind))
    except FormatError:
        return None  # only its release stays unknown: the kernel unpacks itself in its own way


def uname(wanted: str | None, kernel: Kernel | None) -> str | None:
    """What goes into ``.uname``; nothing for an addon that does not say, or if it is empty.

    Raises:
        UsageError: what is wanted is not what the kernel says; addons for either would be refused.
    """
    if kernel is None or wanted == "":
        return wanted or None
    if wanted is None:
        return kernel.release
    if kernel.release is not None and wanted != kernel.release:
        raise UsageError(
            f"--uname says {wanted}, the kernel {kernel.name} says {kernel.release}",
            hint="leave --uname out: the kernel's own release is taken",
        )
    return wanted
