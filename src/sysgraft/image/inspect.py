"""What an image is: partitions, dm-verity, signer, release fields, content.

Tells what ``systemd-dissect`` tells and what it leaves out. It reports what the image claims
and proves nothing: that is `image.verify`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.errors import FormatError, in_file
from sysgraft.formats import verity, verity_signature
from sysgraft.formats.extension_release import Kind
from sysgraft.formats.x509 import serial_text
from sysgraft.host.files import OpenFile
from sysgraft.image import dissect, names
from sysgraft.image.content import (
    Summary,
    open_filesystem,
    parse_release,
    release_files,
    summarise,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sysgraft.base.blob import Blob
    from sysgraft.base.tree import Inode, Tree
    from sysgraft.formats.erofs.superblock import Superblock as ErofsSuperblock
    from sysgraft.formats.extension_release import ExtensionRelease
    from sysgraft.formats.verity import Superblock as VeritySuperblock
    from sysgraft.formats.x509 import Certificate
    from sysgraft.image.content import FileSystem
    from sysgraft.image.dissect import Dissection, Member


@dataclass(frozen=True, slots=True)
class SignatureInfo:
    """What a signature partition says; nothing in it is verified here.

    Attributes:
        root_hash: that it signs.
        fingerprint: SHA-256 of the signer's certificate, where it says so.
        issuer: of the signer's certificate.
        serial: of the signer's certificate.
        certificate: the one embedded, None where there is none.
        size: of the PKCS#7 in bytes.
    """

    root_hash: bytes
    fingerprint: bytes | None
    issuer: str
    serial: int
    certificate: Certificate | None
    size: int

    @property
    def signer(self) -> str:
        """Issuer and serial number of the signer's certificate."""
        return f"issuer {self.issuer} serial {serial_text(self.serial).upper()}"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Everything there is to tell of an image.

    Attributes:
        file: as the caller named it.
        name: what systemd calls the image.
        size: in bytes.
        kind: by its name, else by its content.
        dissection: partition table and members.
        verity: the dm-verity superblock.
        root_hash: claimed by the signature, else by the partition UUIDs.
        signature: who signed.
        filesystem: the EROFS superblock, where it is EROFS.
        releases: every extension-release file, by its name.
        content: counts and sizes.
        tree: all files, where they were asked for, by their paths in the mounted image.
        problems: what could not be read, and why.
    """

    file: str
    name: str
    size: int
    kind: Kind | None
    dissection: Dissection
    verity: VeritySuperblock | None
    root_hash: bytes | None
    signature: SignatureInfo | None
    filesystem: ErofsSuperblock | None
    releases: Mapping[str, ExtensionRelease]
    content: Summary | None
    tree: Tree | None
    problems: tuple[str, ...]

    @property
    def disk_uuid(self) -> UUID | None:
        """Of the partition table."""
        return self.dissection.table.disk_uuid if self.dissection.table else None

    @property
    def members(self) -> tuple[Member, ...]:
        """The partitions systemd would look at."""
        return self.dissection.members


def inspect_image(path: str | os.PathLike[str], *, files: bool = False) -> ImageInfo:
    """Tell what the image in a file is.

    Args:
        path: the image.
        files: whether to list what is in it.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is neither a disk image nor a known file system.
    """
    name = os.fspath(path)
    with OpenFile(name) as blob, in_file(name):
        return inspect_blob(blob, name, files=files)


def inspect_blob(blob: Blob, name: str, *, files: bool = False) -> ImageInfo:
    """As `inspect_image`, of what is open already; what is in a file can be read while it is.

    Args:
        blob: the image.
        name: what its file is called.
        files: whether to list what is in it.

    Raises:
        FormatError: it is neither a disk image nor a known file system.
    """
    return _Inspection(blob, name, files=files).result()


class _Inspection:
    """Collects what can be read, and says of the rest why not."""

    def __init__(self, blob: Blob, file: str, *, files: bool) -> None:
        self._blob = blob
        self._file = file
        self._files = files
        self._found = dissect.dissect(blob)
        self._problems: list[str] = []

    def result(self) -> ImageInfo:
        filename = os.path.basename(self._file)
        signature = self._signature()
        reader = self._open()
        kind = names.kind_of(filename)
        releases = self._releases(reader) if reader else {}
        tree = self._tree(reader) if reader else None
        return ImageInfo(
            file=self._file,
            name=names.image_name(filename),
            size=self._blob.size,
            kind=kind or next((k for k, _ in releases), None),
            dissection=self._found,
            verity=self._verity(),
            root_hash=signature.root_hash if signature else self._root_hash(),
            signature=signature,
            filesystem=reader.superblock if reader else None,
            releases={release_name: release for (_, release_name), release in releases.items()},
            content=summarise(tree) if tree is not None else None,
            tree=tree if self._files else None,
            problems=tuple(dict.fromkeys(self._problems)),
        )

    def _root_hash(self) -> bytes | None:
        data, hashes = self._found.data, self._found.verity
        if data is None or hashes is None:
            return None
        return data.partition.uuid.bytes + hashes.partition.uuid.bytes

    def _verity(self) -> VeritySuperblock | None:
        if self._found.verity is None:
            return None
        try:
            return verity.parse_superblock(dissect.part(self._blob, self._found.verity))
        except FormatError as error:
            self._problems.append(f"dm-verity: {error.message}")
            return None

    def _signature(self) -> SignatureInfo | None:
        if self._found.signature is None:
            return None
        try:
            signature = verity_signature.parse(dissect.part(self._blob, self._found.signature))
            return _signature_info(signature)
        except FormatError as error:
            self._problems.append(f"signature: {error.message}")
            return None

    def _open(self) -> FileSystem | None:
        data = self._found.data
        try:
            return open_filesystem(dissect.part(self._blob, data) if data else self._blob, data)
        except FormatError as error:
            self._problems.append(f"content: {error.message}")
            return None

    def _releases(self, reader: FileSystem) -> dict[tuple[Kind, str], ExtensionRelease]:
        found: dict[tuple[Kind, str], ExtensionRelease] = {}
        for kind in Kind:
            parsed: dict[Inode, ExtensionRelease | None] = {}
            for name, inode in self._release_files(reader, kind).items():
                # Hard links are parsed once, and complained of once.
                if inode not in parsed:
                    parsed[inode] = self._parse_release(inode, kind, name)
                release = parsed[inode]
                if release is not None:
                    found[kind, name] = release
        return found

    def _release_files(self, reader: FileSystem, kind: Kind) -> dict[str, Inode]:
        try:
            return release_files(reader, kind)
        except FormatError as error:
            self._problems.append(f"content: {error.message}")
            return {}

    def _parse_release(self, inode: Inode, kind: Kind, name: str) -> ExtensionRelease | None:
        try:
            return parse_release(inode, kind, name)
        except FormatError as error:
            self._problems.append(f"extension-release.{name}: {error.message}")
            return None

    def _tree(self, reader: FileSystem) -> Tree | None:
        try:
            return reader.read_tree()
        except FormatError as error:
            self._problems.append(f"content: {error.message}")
            return None


def _signature_info(signature: verity_signature.Signature) -> SignatureInfo:
    from sysgraft.formats import cms, cms_signer, x509  # noqa: PLC0415  unsigned images do without

    signed = cms.parse(signature.pkcs7)
    signer = signed.signers[0]
    embedded = [x509.parse_certificate(der) for der in signed.certificates]
    matching = cms_signer.find_signer(signer, embedded)
    return SignatureInfo(
        root_hash=signature.root_hash,
        fingerprint=signature.fingerprint,
        issuer=x509.name_text(signer.issuer_der),
        serial=signer.serial,
        certificate=matching[0] if matching else None,
        size=len(signature.pkcs7),
    )
