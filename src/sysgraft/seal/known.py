"""The files that are at hand, by content: where a digest in a log may come from.

They are those of the boot that is asked about, as they are now, and any others that are named:
older or newer versions of extensions, credentials, images. Nothing is trusted here; contents are
only compared by their digests.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, LimitError
from sysgraft.formats import uki
from sysgraft.seal.hashing import Hashing
from sysgraft.seal.image import read_executable, read_uki
from sysgraft.seal.material import source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.seal.hashing import Digests
    from sysgraft.seal.material import Material, Source

MAX_FILES: Final = 4096
MAX_DEPTH: Final = 3
"""Folders inside each other that are looked through: one for each version, say."""

_EXECUTABLE: Final = ".efi"


@dataclass(frozen=True, slots=True)
class Content:
    """What some file has in it.

    Attributes:
        sha256: of it.
        size: bytes.
        blob: itself.
        label: where it lies; one place of several.
        name: of that file.
    """

    sha256: bytes
    size: int
    blob: Blob
    label: str
    name: str


@dataclass(slots=True)
class AtHand:
    """Everything that is at hand.

    Attributes:
        contents: by SHA-256.
        named: which contents lie under a name.
        programs: labels of executables, by the digest that firmware measures.
        sections: labels of images, by name and digest of a section.
    """

    contents: dict[bytes, Content] = field(default_factory=dict)
    named: dict[str, list[bytes]] = field(default_factory=dict)
    programs: dict[bytes, str] = field(default_factory=dict)
    sections: dict[tuple[str, bytes], str] = field(default_factory=dict)


def gather(
    material: Material | None,
    paths: Iterable[str],
    bank: str,
    *,
    progress: Progress | None = None,
) -> AtHand:
    """Hash what is at hand.

    Args:
        material: the files of the boot that is asked about, if it is known.
        paths: further files, and folders of such.
        bank: of the digests in the log.
        progress: told of the bytes hashed.

    Raises:
        InputError: a file cannot be read.
        LimitError: there are more than `MAX_FILES`.
    """
    sources = [*(_of_material(material) if material else ()), *_of_paths(paths)]
    if len(sources) > MAX_FILES:
        raise LimitError(f"more than {MAX_FILES} known files")
    hashing = Hashing((bank,), progress)
    waiting = [(each, hashing.blob(each.blob, ("sha256",))) for each in sources]
    images = [(each, _image(each, hashing)) for each in sources if _is_executable(each)]
    hashing.run()
    found = AtHand()
    for each, digests in waiting:
        _add(found, each, digests["sha256"])
    for each, (program, parts) in images:
        if program:
            found.programs.setdefault(program[bank], each.label)
        for name, digest in parts:
            found.sections.setdefault((name, digest[bank]), each.label)
    return found


def _add(found: AtHand, each: Source, sha256: bytes) -> None:
    content = Content(sha256, each.blob.size, each.blob, each.label, each.name)
    found.contents.setdefault(sha256, content)
    same = found.named.setdefault(each.name, [])
    if sha256 not in same:
        same.append(sha256)


def _of_material(material: Material) -> Iterator[Source]:
    if material.image is not None:
        yield material.image
    yield from material.loaders
    yield from material.extras
    for folder in (material.own, *material.loader.values()):
        yield from folder.files.values()


def check_paths(paths: Iterable[str]) -> None:
    """Refuse what is not there before any work.

    Raises:
        InputError: there is no such file or folder.
    """
    for path in paths:
        if not os.path.exists(path):
            raise InputError("there is no such file or folder", file=path)


def _of_paths(paths: Iterable[str]) -> Iterator[Source]:
    count = 0
    for path in paths:
        for each in _files_below(path) if os.path.isdir(path) else (path,):
            count += 1
            if count > MAX_FILES:
                raise LimitError(f"more than {MAX_FILES} known files", file=path)
            yield source(each)


def _files_below(path: str) -> Iterator[str]:
    """Regular files only: opening a pipe or device of a folder may have effects."""
    depth = path.rstrip(os.sep).count(os.sep)

    def refuse(error: OSError) -> None:
        raise InputError(error.strerror or str(error), file=path) from error

    for place, folders, names in os.walk(path, onerror=refuse):
        folders.sort()
        if place.rstrip(os.sep).count(os.sep) - depth >= MAX_DEPTH:
            folders.clear()
        found = (os.path.join(place, name) for name in sorted(names))
        yield from (each for each in found if os.path.isfile(each))


def _is_executable(each: Source) -> bool:
    return each.name.lower().endswith(_EXECUTABLE)


def _image(each: Source, hashing: Hashing) -> tuple[Digests | None, list[tuple[str, Digests]]]:
    """The digests of a program, and of the sections in all its profiles if it is an image."""
    try:
        executable = read_executable(each)
    except InputError:
        return None, []
    program = hashing.executable(executable.blob, executable.covered)
    try:
        parts = read_uki(each, version=_ANY_RELEASE).parts
    except InputError:
        return program, []
    return program, [
        (part.name, hashing.blob(part.content)) for part in parts if part.name in uki.MEASURED
    ]


_ANY_RELEASE: Final = 262
