"""What a SOURCE argument means: ``deb:FILE``, ``oci:DIR:TAG``, ``docker://NAME``, a path, ….

A path without a prefix is recognised by its content; what is no path is the name of an image, as
Docker users write it. Nobody is asked for the image here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from sysgraft.base.text import one_line
from sysgraft.errors import FormatError, InputError, UsageError, in_file
from sysgraft.formats import ar, fstype, gpt_records
from sysgraft.formats.compression import HEAD_SIZE, Compression, Decompressor, detect
from sysgraft.formats.image_reference import parse_reference
from sysgraft.formats.rpm_header import LEAD_MAGIC as RPM_MAGIC
from sysgraft.formats.stream import BlobSource
from sysgraft.formats.tar import TarReader, looks_like_tar
from sysgraft.host.files import OpenFile
from sysgraft.host.folders import is_below

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.base.blob import Blob
    from sysgraft.formats.stream import ByteSource

FileKind = Literal["dir", "deb", "rpm", "tar", "docker-archive", "oci-archive", "oci", "raw"]
ImageKind = Literal["docker", "docker-daemon", "catalog", "image"]
SourceKind = FileKind | ImageKind

KINDS: Final[tuple[FileKind, ...]] = get_args(FileKind)
"""The prefixes of files and folders."""

IMAGE_KINDS: Final[tuple[ImageKind, ...]] = get_args(ImageKind)
"""Where images are asked for by name: a registry, a daemon, a catalog, or whichever has it."""

_WITH_REFERENCE: Final = ("docker-archive", "oci-archive", "oci")
_IMAGE_PREFIXES: Final[dict[SourceKind, str]] = {
    "docker": "docker://",
    "docker-daemon": "docker-daemon:",
    "catalog": "catalog:",
    "image": "",
}
NAMED_PREFIXES: Final = ("docker://", "docker-daemon:")
"""What stands before the name of an image that is no file."""

# Prefixes users of other tools know, and what they can do here.
_NOT_READ: Final = {
    "docker": "a registry's image is docker:// and its name: docker://{0}",
    "containers-storage": "images are not read from local storage: give docker-daemon:{0} while "
    "Podman's socket is active, or save it with 'podman save {0} -o FILE'",
}
# Names in a docker-archive or OCI layout; anything else at the top makes a plain archive.
_IMAGE_NAMES: Final = (b"oci-layout", b"index.json", b"manifest.json", b"repositories", b"blobs")
_HEX: Final = frozenset(b"0123456789abcdef")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source argument, taken apart.

    Attributes:
        kind: what it is.
        path: the file or folder, or the image's name.
        reference: tag or name of an image inside a file; empty for the only one.
    """

    kind: SourceKind
    path: str
    reference: str = ""

    def __str__(self) -> str:
        prefix = _IMAGE_PREFIXES.get(self.kind, f"{self.kind}:")
        return prefix + self.path + (f":{self.reference}" if self.reference else "")


def resolve(argument: str) -> SourceSpec:
    """Take a source argument apart; the content decides where there is no prefix.

    Raises:
        UsageError: it names nothing that can be read.
        InputError: the path exists but is none of the known kinds, or cannot be read.
    """
    for image, start in _IMAGE_PREFIXES.items():
        if start and argument.startswith(start):
            return _named(image, argument.removeprefix(start))
    prefix, colon, rest = argument.partition(":")
    kind = next((kind for kind in KINDS if kind == prefix), None) if colon else None
    if kind is not None:
        return _with_prefix(kind, rest)
    if _exists(argument):
        return SourceSpec(_kind_of(argument), argument)
    if prefix in _NOT_READ and colon:
        reason, _, hint = _NOT_READ[prefix].partition(": ")
        raise UsageError(f"{reason}: {argument}", hint=hint.format(rest.removeprefix("//")))
    if argument.startswith((".", "/", "~")):
        raise UsageError(f"no such file or folder: {argument}")
    return _named("image", argument)


def _with_prefix(kind: SourceKind, rest: str) -> SourceSpec:
    path, reference = _split_reference(rest) if kind in _WITH_REFERENCE else (rest, "")
    if not path:
        raise UsageError(f"no path behind {kind}:")
    if not _exists(path):
        raise InputError("no such file or folder", file=path)
    if Path(path).is_dir() is not (kind in ("dir", "oci")):
        found = "a folder" if Path(path).is_dir() else "a file"
        raise UsageError(f"{kind}: does not go with {found}", file=path)
    return SourceSpec(kind, path, reference)


def _split_reference(rest: str) -> tuple[str, str]:
    """``FILE[:REF]``: both may hold colons, so the longest part that exists is the file."""
    end = len(rest)
    while end > 0:
        if _exists(rest[:end]):
            return rest[:end], rest[end + 1 :]
        end = rest.rfind(":", 0, end)
    path, _, reference = rest.partition(":")
    return path, reference


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).exists()
    except (OSError, ValueError):
        return False  # too long for a name, or a NUL in it


def _named(kind: SourceKind, name: str) -> SourceSpec:
    try:
        parse_reference(name.partition("@")[0] if kind == "catalog" else name)
    except UsageError as error:
        if kind == "image":
            raise UsageError(f"no such file or folder: {one_line(name)}") from error
        raise
    return SourceSpec(kind, name)


def _kind_of(path: str) -> SourceKind:
    if Path(path).is_dir():
        return "oci" if Path(path, "oci-layout").is_file() else "dir"
    with in_file(path), OpenFile(path) as file:
        return _kind_of_file(file)


def _kind_of_file(file: Blob) -> SourceKind:
    head = file.read_at(0, min(file.size, HEAD_SIZE))
    if head.startswith(ar.MAGIC):
        return "deb"
    if head.startswith(RPM_MAGIC):
        return "rpm"
    compression = detect(head)
    if compression is Compression.NONE:
        if not looks_like_tar(head):
            if _is_disk_image(file):
                return "raw"
            raise FormatError(
                "neither a package nor an archive nor an extension image",
                hint=f"known are a folder and {', '.join(KINDS[1:])}",
            )
        return _kind_of_archive(BlobSource(file))
    return _kind_of_archive(Decompressor(BlobSource(file), compression))


def _is_disk_image(file: Blob) -> bool:
    """A partition table, for sectors of 512 and 4096 bytes, or a bare file system."""
    magic = gpt_records.MAGIC
    places = [at for at in (512, 4096) if at + len(magic) <= file.size]
    return any(file.read_at(at, len(magic)) == magic for at in places) or bool(fstype.probe(file))


def _kind_of_archive(source: ByteSource) -> SourceKind:
    """Plain or an image: saved images hold their own files and nothing else."""
    names: set[bytes] = set()
    for member in TarReader(source):
        name = member.name.removeprefix(b"./").strip(b"/")
        if name not in (b"", b".") and not _is_image_name(name):
            return "tar"
        if name in _IMAGE_NAMES:
            names.add(name)
    if b"manifest.json" in names:
        return "docker-archive"
    return "oci-archive" if b"index.json" in names else "tar"


def _is_image_name(name: bytes) -> bool:
    """``blobs/…``, ``HEX.json``, ``HEX.tar.gz``, ``HEX/layer.tar`` and the fixed names."""
    top = name.partition(b"/")[0]
    stem = top.removeprefix(b"sha256:").partition(b".")[0]
    return top in _IMAGE_NAMES or (len(stem) == 64 and _HEX.issuperset(stem))


def refuse_output_among_sources(output: str, specs: Iterable[SourceSpec], *, hint: str) -> None:
    """An output below a source folder would become part of the next build of it.

    Raises:
        UsageError: `output`, a file or folder, lies in one; `hint` says what to do.
    """
    for spec in specs:
        if spec.kind == "dir" and is_below(output, spec.path):
            raise UsageError(f"the output {output} lies inside the source {spec.path}", hint=hint)
