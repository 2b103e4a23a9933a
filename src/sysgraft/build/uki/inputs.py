"""The parts of a UKI as blobs: files, texts, joined initrds, root file systems.

Files are opened once and must not change while they are read. What has to be made (a compressed
initrd, an uncompressed kernel) goes into one unnamed temporary file.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from sysgraft.base.blob import BytesBlob, JoinedBlob
from sysgraft.base.progress import NoProgress
from sysgraft.build.rootfs import open_rootfs, pack
from sysgraft.build.sources.image_files import open_unchanged
from sysgraft.build.sources.model import Options as SourceOptions
from sysgraft.build.sources.model import Workspace
from sysgraft.build.sources.spec import KINDS, NAMED_PREFIXES, SourceSpec, resolve
from sysgraft.build.uki.options import EFI_ARCHITECTURES
from sysgraft.errors import InputError, LimitError, UsageError, in_file
from sysgraft.formats import pe
from sysgraft.host.files import close_files
from sysgraft.host.small import read_small
from sysgraft.host.spool import Spool

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.build.rootfs import Rootfs
    from sysgraft.build.uki.options import UkiOptions

_ALIGNMENT: Final = 4
"""The kernel looks for the next archive at a multiple of this (buffer-format.rst)."""
_MAX_TEXT: Final = 1 << 20
"""Bytes of a text from a file."""
# How the kernel tells what it unpacks (init/initramfs.c, lib/decompress.c): cpio, gzip (two),
# bzip2, lzma, xz, lzo, lz4, zstd. Zeros before an archive are passed over.
_INITRD_HEADS: Final = (
    b"07070", b"\x1f\x8b", b"\x1f\x9e", b"BZ", b"\x5d\x00", b"\xfd7", b"\x89L", b"\x02\x21",
    b"(\xb5\x2f\xfd",
)  # fmt: skip
_HEAD: Final = 4096


class Inputs:
    """Opens what the options name, and closes it all at the end.

    Attributes:
        workspace: spool, notes and progress, shared by all parts.
    """

    def __init__(self, options: UkiOptions, progress: Progress | None = None) -> None:
        self._options = options
        self._stack = ExitStack()
        self._initrds: list[tuple[str, Rootfs | None]] = []
        self.workspace = Workspace(
            options=SourceOptions(
                kind="root",
                layers="all",
                whiteouts="drop",
                owner=options.owner,
                excludes=options.excludes,
                source_date_epoch=options.source_date_epoch,
                architecture=EFI_ARCHITECTURES.get(options.efi_arch or ""),
                insecure_registries=options.insecure_registries,
            ),
            spool=self._stack.enter_context(Spool()),
            kept_prefixes=(b"",),
            progress=progress or NoProgress(),
        )
        self._stack.callback(close_files)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def file(self, path: str, what: str) -> Blob:
        """A file's content.

        Raises:
            InputError: it cannot be read, or is empty.
        """
        with in_file(path):
            blob = self._stack.enter_context(open_unchanged(path))
            if not blob.size:
                raise InputError(f"the {what} is empty")
            if blob.size > pe.MAX_SIZE:
                raise LimitError(f"the {what} has {blob.size} bytes; a section has less than 4 GiB")
        return blob

    def text(self, value: str, what: str) -> bytes:
        """What ``TEXT|@PATH`` means; a file's content as it is."""
        if not value.startswith("@"):
            return value.encode("utf-8", "surrogateescape")
        return read_small(value[1:], _MAX_TEXT, what)

    def open_initrds(self) -> None:
        """Look into the root file systems among the initrds; `packed_initrd` needs it done.

        Raises:
            UsageError: an initrd is neither a file nor a root file system.
            InputError: a root file system cannot be read.
        """
        for argument in self._options.initrds:
            spec = initrd_source(argument)
            rootfs = None if spec is None else open_rootfs(spec, self.workspace, self._stack)
            self._initrds.append((argument, rootfs))

    @property
    def rootfs(self) -> list[Rootfs]:
        """The root file systems among the initrds."""
        return [rootfs for _, rootfs in self._initrds if rootfs is not None]

    def packed_initrd(self) -> Blob | None:
        """All initrds, one behind the other; None if there are none."""
        parts = [
            self._initrd_file(argument)
            if rootfs is None
            else pack(rootfs, self.workspace, level=self._options.level)
            for argument, rootfs in self._initrds
        ]
        if len(parts) < 2:
            return parts[0] if parts else None
        return JoinedBlob([piece for part in parts for piece in (part, _padding(part.size))])

    def _initrd_file(self, path: str) -> Blob:
        blob = self.file(path, "initrd")
        head = blob.read_at(0, min(blob.size, _HEAD)).lstrip(b"\0")
        if head and not head.startswith(_INITRD_HEADS):
            self.workspace.note(
                f"{path} begins like nothing the kernel unpacks; for a root file system write "
                "tar:, docker-archive: or oci-archive: before its name"
            )
        return blob


def initrd_source(argument: str) -> SourceSpec | None:
    """The root file system an ``--initrd`` argument names; None if it is a file to take as it is.

    Raises:
        UsageError: it names neither.
    """
    prefix, colon, _ = argument.partition(":")
    if argument.startswith(NAMED_PREFIXES):
        return resolve(argument)
    if colon and prefix in KINDS and not os.path.exists(argument):
        return resolve(argument)
    if os.path.isdir(argument):
        return resolve(argument)
    if not os.path.exists(argument):
        raise UsageError(
            f"no such initrd: {argument}",
            hint="give a file, a folder, or a root file system: "
            f"{', '.join([f'{kind}:' for kind in KINDS] + list(NAMED_PREFIXES))}",
        )
    return None


def _padding(size: int) -> Blob:
    return BytesBlob(bytes(-size % _ALIGNMENT))
