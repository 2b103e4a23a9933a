"""The initrd that the stub hands to the kernel: everything it has, one part behind the other.

systemd-stub(7); ``src/boot/stub.c`` (run, combine_initrds), read at each release's tag. Parts are
sections of the image and of addons, archives of the files beside it, and archives that the stub
makes of sections which the running system wants to read. It is hashed as one chain, like the
archives themselves (`sysgraft.seal.hashing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.formats import stub_archive
from sysgraft.formats.stub_archive import Step
from sysgraft.measure import pcr9, sidecars

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.seal.addons import AddonFile
    from sysgraft.seal.hashing import Digests, Hashing
    from sysgraft.seal.image import Part, UkiImage
    from sysgraft.seal.material import Folder

_PLACES: Final[tuple[sidecars.Place, ...]] = ("own", "credentials", "extensions")
_UCODE_SINCE: Final = 256
_WITH_UCODE_ALWAYS_PADDED: Final = 256
_ADDONS_SINCE: Final = 257
# Section, name below ``.extra``, and the first release that packs it.
_EMBEDDED: Final = (
    (".pcrsig", "tpm2-pcr-signature.json", 252),
    (".pcrpkey", "tpm2-pcr-public-key.pem", 252),
    (".osrel", "os-release", 257),
    (".profile", "profile", 257),
)
_EXTRA: Final = ".extra"
_FOLDER_MODE: Final = 0o040555
_FILE_MODE: Final = 0o100444


class _Piece(NamedTuple):
    """A part of the initrd.

    Attributes:
        steps: as of an archive.
        tail: the bytes behind the last one.
        contents: what their keys stand for: labels of files, and ``id()`` of sections' contents,
            which whoever hashes them keeps.
    """

    steps: tuple[Step, ...]
    tail: bytes
    contents: Mapping[Hashable, Blob]


def hash_initrd(
    uki: UkiImage,
    beside: Mapping[str, Folder],
    addons: Sequence[AddonFile],
    hashing: Hashing,
) -> Digests | None:
    """Digests of the whole initrd, there once `hashing` is through; None if there is no initrd.

    Args:
        uki: the image.
        beside: ``own`` for its own folder, and those below ``loader`` by name.
        addons: those that the firmware lets the stub load, in that order.
        hashing: takes what has to be hashed.

    Raises:
        UnsupportedError: what is in it cannot be known.
        LimitError: a file is too large.
    """
    pcr9.check(uki.version, uki.text(".uname"))
    pieces = list(_pieces(uki, beside, addons))
    if not pieces:
        return None
    if len(pieces) == 1 and not pieces[0].tail and not _is_padded(uki):
        (content,) = pieces[0].contents.values()
        return hashing.blob(content)
    contents: dict[Hashable, Blob] = {}
    for each in pieces:
        contents |= each.contents
    steps, tail = _joined(pieces)
    return hashing.archive(steps, contents, tail)


def _is_padded(uki: UkiImage) -> bool:
    """Whether even a single part is padded: one release does that to microcode alone."""
    names = {part.name for part in uki.parts}
    return uki.version == _WITH_UCODE_ALWAYS_PADDED and ".ucode" in names


def _joined(pieces: Sequence[_Piece]) -> tuple[list[Step], bytes]:
    """All parts as one chain, and the bytes at its end."""
    steps: list[Step] = []
    pending = b""
    for piece in pieces:
        for step in piece.steps:
            steps.append(step._replace(head=pending + step.head))
            pending = b""
        pending += piece.tail
    return steps, pending


def _pieces(
    uki: UkiImage, beside: Mapping[str, Folder], addons: Sequence[AddonFile]
) -> Iterator[_Piece]:
    """The parts in the order in which the kernel gets them."""
    sections = {part.name: part for part in uki.parts}
    used = [each for each in addons if not each.ignored and uki.version >= _ADDONS_SINCE]
    yield from _of_addons(".ucode", used[::-1])
    if ".ucode" in sections and uki.version >= _UCODE_SINCE:
        yield _section(sections[".ucode"])
    if ".initrd" in sections:
        yield _section(sections[".initrd"])
    yield from _sidecars(beside, uki.version)
    for name, file, since in _EMBEDDED:
        if name in sections and since <= uki.version:
            yield _embedded(file, sections[name].content)
    yield from _of_addons(".initrd", used)


def _of_addons(name: str, addons: Sequence[AddonFile]) -> Iterator[_Piece]:
    for addon in addons:
        yield from (_section(part) for part in addon.parts if part.name == name)


def _section(part: Part) -> _Piece:
    """A section as it is, padded to four bytes."""
    content = part.content
    return _Piece((Step(b"", id(content), content.size),), b"", {id(content): content})


def _sidecars(beside: Mapping[str, Folder], version: int) -> Iterator[_Piece]:
    found: dict[str, _Piece] = {}
    for place in _PLACES:
        if place not in beside:
            continue
        folder = beside[place]
        for chosen in sidecars.choose(place, folder.entries, version):
            sources = [folder.files[name] for name in chosen.names]
            files = [stub_archive.File(each.name, each.blob.size, each.label) for each in sources]
            found[chosen.kind.name] = _Piece(
                stub_archive.pack(chosen.kind.folder, files),
                stub_archive.TRAILER,
                {each.label: each.blob for each in sources},
            )
    yield from (found[kind.name] for kind in sidecars.KINDS if kind.name in found)


def _embedded(name: str, content: Blob) -> _Piece:
    """A section as a file in an archive of its own (``src/boot/cpio.c``, pack_cpio_literal)."""
    head = _head(_EXTRA, _FOLDER_MODE, 0, 1)
    head += _head(f"{_EXTRA}/{name}", _FILE_MODE, content.size, 2)
    step = Step(head, id(content), content.size)
    return _Piece((step,), stub_archive.TRAILER, {step.key: content})


def _head(path: str, mode: int, size: int, number: int) -> bytes:
    """A header of a cpio archive, with the fields and the order of `stub_archive`."""
    name = path.encode("ascii") + b"\0"
    fields = (number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name
    return head + bytes(-len(head) % 4)
