"""Writes a laid-out executable to a file, in one pass, and signs it.

Every byte is read, written, hashed for the signature and summed for the checksum once; at no time
is more than a few pieces of a mebibyte in memory. What was measured before is hashed again on its
way, since a signed PCR policy must not be about other bytes than those that are written.
"""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING, NamedTuple

from sysgraft.base.blob import JoinedBlob, PaddedBlob, SubBlob
from sysgraft.build.sealing import Signing, Unsealed, Watch, write_sealed
from sysgraft.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.build.uki.assembly import Assembly
    from sysgraft.build.uki.parts import Part
    from sysgraft.formats.authenticode import ImageDigest
    from sysgraft.formats.pe_image import Layout
    from sysgraft.sign.pair import SigningPair


def write_image(
    file: IO[bytes],
    layout: Layout,
    assembly: Assembly,
    *,
    signing: SigningPair | None,
    progress: Progress,
) -> ImageDigest:
    """Write headers, sections and, if there is a signer, the signature.

    Args:
        file: empty, open for writing, with a file descriptor.
        layout: what goes where.
        assembly: the sections, as `layout` counts them.
        signing: who signs.
        progress: told of every byte.

    Returns:
        The digest that a signature is about.

    Raises:
        InputError: a part is no longer what was measured.
    """
    pieces = list(_pieces(layout, assembly))
    body = JoinedBlob([piece.content for piece in pieces])
    image = Unsealed(layout.header, body, layout.checksum_offset, layout.security_offset)
    witness = _Witness(assembly, pieces)
    watch = Watch([witness.update] if assembly.measured else [], witness.check)
    return write_sealed(file, image, Signing(signing), progress, watch=watch).digest


class _Piece(NamedTuple):
    """A section's raw data, padded as the headers say, and the part they are of."""

    content: Blob
    part: Part | None


def _pieces(layout: Layout, assembly: Assembly) -> Iterator[_Piece]:
    """All sections in the order of the file."""
    new = assembly.parts
    of_stub = {part.name: part for part in assembly.of_stub}
    for placed in sorted(layout.placed, key=lambda one: one.section.offset):
        if placed.number is not None:
            part: Part | None = new[placed.number]
            content = new[placed.number].content
        else:
            old = placed.stub_section or placed.section
            part = of_stub.get(old.name)
            content = SubBlob(assembly.stub.blob, old.offset, old.raw_size)
        yield _Piece(PaddedBlob(content, placed.section.raw_size), part)


class _Witness:
    """Hashes the measured parts once more, as they pass by.

    A file's times do not tell of every change: memory that was mapped and dirty before is written
    without touching them.
    """

    def __init__(self, assembly: Assembly, pieces: list[_Piece]) -> None:
        self._measured = assembly.measured
        self._pieces = iter(pieces)
        self._changed: Part | None = None
        self._next()

    def _next(self) -> None:
        """Go on to the next section."""
        piece = next(self._pieces, None)
        self._part = piece.part if piece else None
        self._left = piece.content.size if piece else 0
        digests = self._measured.get(self._part, {}) if self._part else {}
        self._bank, self._wanted = next(iter(_preferred(digests)), ("", b""))
        self._due = self._part.content.size if self._part and self._bank else 0
        self._hash = hashlib.new(self._bank) if self._bank else None

    def update(self, chunk: memoryview) -> None:
        """Take the next bytes of the body."""
        while len(chunk):
            while not self._left:
                self._next()
            taken = chunk[: self._left]
            chunk = chunk[len(taken) :]
            self._left -= len(taken)
            if self._hash is not None:
                self._hash.update(taken[: self._due])
                self._due = max(0, self._due - len(taken))
            if not self._left:
                self._compare()

    def _compare(self) -> None:
        if self._hash is not None and self._hash.digest() != self._wanted:
            self._changed = self._changed or self._part

    def check(self) -> None:
        """Raise `InputError` if a part was not what had been measured."""
        if self._changed is not None:
            raise InputError(
                f"{self._changed.name} changed after it was measured",
                file=self._changed.source,
                hint="run this again when nothing writes to it",
            )


def _preferred(digests: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    """SHA-256 first, which is fast and sound; SHA-1 only if there is nothing else."""
    order = ("sha256", "sha384", "sha512", "sha1")
    return [(bank, digests[bank]) for bank in order if bank in digests]
