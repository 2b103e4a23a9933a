"""``rpm:FILE``: an RPM binary package, one layer.

Digests of header, payload and files are compared on the way; OpenPGP signatures are not looked
at, and scriptlets are not run. Packages name owners, not numbers, and what number a name has is
for the target system to say: all but root become root's, without the set-ID bits that would then
mean root.
"""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING, Final

from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode, printable
from sysgraft.build.sources.model import (
    LINK_MODE,
    AbsentContent,
    Entry,
    Layer,
    examples_of,
)
from sysgraft.build.sources.tar_layer import clamp_time
from sysgraft.build.sources.tarball import architecture_of
from sysgraft.errors import FormatError, LimitError, UnsupportedError, in_file
from sysgraft.formats import file_capabilities
from sysgraft.formats.archive_path import clean_path
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.hashed import HashedSource, check_digest
from sysgraft.formats.rpm import read_package
from sysgraft.formats.rpm_payload import PayloadReader
from sysgraft.formats.stream import CHUNK, BlobSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.build.sources.model import Workspace
    from sysgraft.formats.rpm import Package
    from sysgraft.formats.rpm_files import File
    from sysgraft.formats.stream import ByteSource
    from sysgraft.host.files import OpenFile

_EMPTY: Final = BytesBlob(b"")
_ROOT: Final = b"root"
# rpm's names of compressors; without one the payload is plain, or gzip in packages of old.
_COMPRESSORS: Final = {
    "": (Compression.NONE, Compression.GZIP),
    "gzip": (Compression.GZIP, Compression.NONE),
    "xz": (Compression.XZ,),
    "lzma": (Compression.LZMA,),
    "bzip2": (Compression.BZIP2,),
    "zstd": (Compression.ZSTD,),
}


class RpmSource:
    """An RPM package."""

    def __init__(self, file: OpenFile, workspace: Workspace) -> None:
        self._path = file.path
        self._workspace = workspace
        with in_file(file.path):
            self._package = read_package(file)

    @property
    def description(self) -> str:
        """See `Source`."""
        package = self._package
        return f"RPM package {package.name} {package.version} ({package.architecture})"

    @property
    def architecture(self) -> str | None:
        """See `Source`; None for packages for all architectures."""
        stated = self._package.architecture
        return None if stated == "noarch" else architecture_of(stated, self._workspace)

    def layers(self) -> Iterator[Layer]:
        """See `Source`: one layer."""
        self._workspace.progress.start(f"Reading {self.description}", self._package.payload.size)
        with in_file(self._path):
            entries = _Reading(self._package, self._workspace).entries()
        self._workspace.progress.finish()
        yield Layer(self.description, entries)


class _Reading:
    """One pass over a package."""

    def __init__(self, package: Package, workspace: Workspace) -> None:
        self._package = package
        self._workspace = workspace
        self._paths = [clean_path(file.path) for file in package.files]
        self._kept = [
            index
            for index, file in enumerate(package.files)
            if workspace.needs_content(self._paths[index]) and not file.is_ghost
        ]
        self._wanted = {package.files[index].holder for index in self._kept}

    def entries(self) -> list[Entry]:
        """All files, verified, in the order of the header; the first of hard links leads."""
        contents = self._contents()
        self._note_losses()
        leaders: dict[int, bytes] = {}
        entries = []
        for file, path in zip(self._package.files, self._paths, strict=True):
            if file.is_ghost or (not path and stat.S_ISDIR(file.mode)):
                continue
            leader = leaders.setdefault(file.holder, path)
            inode = self._inode(file, path, contents) if leader == path else None
            entries.append(Entry(path, inode, b"" if inode else leader))
        return entries

    def _contents(self) -> dict[int, Blob]:
        """The content of each file, by the last of its hard links."""
        source, checks = self._stream()
        files = self._package.files
        reader = PayloadReader(source, files)
        try:
            contents = {
                files[index].holder: self._content(reader, files[index], size)
                for index, size in reader
                if size and stat.S_ISREG(files[index].mode)
            }
        except LimitError:
            raise
        except FormatError:
            # Where bytes are not the stated ones, that is the cause and the better message.
            _check(checks)
            raise
        _check(checks)
        return contents

    def _stream(self) -> tuple[ByteSource, Sequence[HashedSource]]:
        package, workspace = self._package, self._workspace
        source: ByteSource = BlobSource(package.payload, workspace.progress.advance)
        checks = []
        if package.payload_digest is not None:
            source = HashedSource(source, package.payload_digest, "package's payload")
            checks.append(source)
        compression = _compression(package)
        if compression is not Compression.NONE:
            source = Decompressor(source, compression, workspace.allowance)
        return source, checks

    def _content(self, reader: PayloadReader, file: File, size: int) -> Blob:
        stated = file.digest
        state = hashlib.new(stated.algorithm if stated else "sha256", usedforsecurity=False)
        spool = self._workspace.spool if file.holder in self._wanted else None
        start = spool.append(b"") if spool else 0
        while data := reader.read(CHUNK):
            state.update(data)
            if spool:
                spool.append(data)
        if stated is not None:
            check_digest(stated, state.hexdigest(), f"file {printable(file.path)}")
        return spool.blob(start, size) if spool else AbsentContent(size)

    def _inode(self, file: File, path: bytes, contents: dict[int, Blob]) -> Inode:
        mtime, nsec = clamp_time(file.mtime, 0, self._workspace.options.source_date_epoch)
        is_link = stat.S_ISLNK(file.mode)
        return Inode(
            mode=LINK_MODE if is_link else file.mode & ~_lost_bits(file),
            mtime=mtime,
            mtime_nsec=nsec,
            xattrs=self._xattrs(file, path),
            content=contents.get(file.holder, _EMPTY) if stat.S_ISREG(file.mode) else None,
            target=file.target if is_link else b"",
            rdev=file.rdev,
        )

    def _xattrs(self, file: File, path: bytes) -> tuple[tuple[bytes, bytes], ...]:
        if not file.capabilities or not self._workspace.needs_content(path):
            return ()
        try:
            value = file_capabilities.from_text(file.capabilities.decode("ascii", "replace"))
        except FormatError as error:
            raise FormatError(f"{printable(path)}: {error.message}") from error
        self._workspace.xattrs.spend(file_capabilities.XATTR, value)
        return ((file_capabilities.XATTR, value),)

    def _note_losses(self) -> None:
        """Say what the package has or lacks that the tree does not show."""
        package, note = self._package, self._workspace.note
        kept = [package.files[index] for index in self._kept]
        if package.scriptlets:
            note(f"scriptlets of {package.name} are not run: {', '.join(package.scriptlets)}")
        owners = {name for file in kept for name in (file.user, file.group)} - {_ROOT}
        if owners:
            note(
                f"owners of {package.name} that became root, their numbers being the target"
                f" system's: {examples_of(sorted(owners))}",
            )
        lost = [file.path for file in kept if file.mode & _lost_bits(file)]
        if lost:
            note(f"set-ID bits of owners that became root are dropped: {examples_of(lost)}")
        if not package.header_digest or package.payload_digest is None:
            note(f"{package.name} states no digest of its header or its payload to compare")


def _check(checks: Sequence[HashedSource]) -> None:
    for check in checks:
        check.check()


def _lost_bits(file: File) -> int:
    """Bits that would mean root where another owner was meant; nothing for what has none."""
    if not stat.S_ISREG(file.mode) and not stat.S_ISDIR(file.mode):
        return 0
    user = stat.S_ISUID if file.user != _ROOT else 0
    return user | (stat.S_ISGID if file.group != _ROOT else 0)


def _compression(package: Package) -> Compression:
    """How the payload is compressed: as stated, and as its first bytes say.

    Raises:
        FormatError: both differ.
        UnsupportedError: a compressor that is not known.
    """
    stated = _COMPRESSORS.get(package.compressor)
    if stated is None:
        raise UnsupportedError(f"unknown compression: {package.compressor[:40]}")
    found = detect(package.payload.read_at(0, min(package.payload.size, HEAD_SIZE)))
    if found not in stated:
        raise FormatError(
            f"the package's payload is not compressed with {package.compressor or 'gzip'}",
        )
    return found
