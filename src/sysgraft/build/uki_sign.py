"""Add a signature to an EFI executable: a UKI, an addon, a kernel, a boot loader.

The file is copied once, hashed and summed on the way; what it holds stays as it is, but for the
fields that say where signatures are and what the checksum is. Signatures that are there are kept
or dropped as the caller says. Nothing is signed that has bytes which no signature would cover.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from sysgraft.base.blob import SubBlob
from sysgraft.base.progress import NoProgress
from sysgraft.build.resign import Target
from sysgraft.errors import FormatError, UnsupportedError, in_file
from sysgraft.formats import authenticode, pe, wincert
from sysgraft.formats.authenticode_digest import SequentialDigest, coverage, holes
from sysgraft.formats.pe_checksum import Checksum
from sysgraft.formats.pe_layout import layout_problem
from sysgraft.formats.wincert import Entry
from sysgraft.host.digests import feed
from sysgraft.host.files import OpenFile, pwrite_all
from sysgraft.host.output import atomic_output
from sysgraft.sign.authenticode import sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.authenticode import ImageDigest
    from sysgraft.formats.authenticode_digest import Coverage
    from sysgraft.formats.pe import Image
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.pair import SigningPair

_OTHER_SIGNATURE_HINT: Final = "drop what is there with --replace"


@dataclass(frozen=True, slots=True)
class UkiSignReport:
    """What was written.

    Attributes:
        path: of the result.
        digest: of the executable, which the signature is over.
        size: of the result in bytes.
        signatures: how many it bears now.
        kept: how many of them it had before.
    """

    path: str
    digest: ImageDigest
    size: int
    signatures: int
    kept: int


def sign_executable(
    path: str | os.PathLike[str],
    signing: SigningPair,
    *,
    target: Target | None = None,
    drop_others: bool = False,
    chain: Sequence[Certificate] = (),
    progress: Progress | None = None,
) -> UkiSignReport:
    """Sign an executable.

    A signature that is there already, byte for byte, is not added again.

    Args:
        path: the executable.
        signing: who signs.
        target: where the result goes; None for the executable itself, if it may be replaced.
        drop_others: whether signatures that are there are taken away.
        chain: certificates above the signer's, to put beside it.
        progress: told how far it is.

    Raises:
        FormatError: no executable that can be signed, or one with signatures that do not hold.
        KeyMaterialError: the key cannot sign.
        OutputError: the target exists or cannot be written.
    """
    name, target = os.fspath(path), target or Target()
    output = target.path or name
    with (
        atomic_output(output, replace=target.replace, make_folders=True) as file,
        OpenFile(name) as blob,
        in_file(name),
    ):
        image = pe.parse(blob)
        covered = _signable(image)
        others = () if drop_others else _others(blob, image)
        copy = _Copy(file, blob, image, covered)
        digest = copy.write(progress or NoProgress())
        added = Entry(sign(digest, signing.key, signing.certificate, chain=chain))
        _check_others(others, digest)
        entries = others if added in others else (*others, added)
        size = copy.finish(wincert.serialise(entries))
    return UkiSignReport(output, digest, size, len(entries), len(others))


def _signable(image: Image) -> Coverage:
    """What the digest covers, which has to be everything."""
    if not image.security_offset:
        raise UnsupportedError("the executable's headers have no room for a signature")
    problem = layout_problem(image)
    if problem:
        raise FormatError(problem)
    covered = coverage(image)
    if covered.gaps:
        offset, length = covered.gaps[0]
        raise FormatError(
            f"{length} bytes at byte {offset} are in no section, no signature would cover them",
            hint="make the executable anew with a tool that leaves no gaps, such as ukify",
        )
    return covered


def _others(blob: Blob, image: Image) -> tuple[Entry, ...]:
    offset, size = image.security
    if size > wincert.MAX_TABLE:
        raise FormatError(f"the certificate table has {size} bytes", hint=_OTHER_SIGNATURE_HINT)
    try:
        return wincert.parse(blob.read_at(offset, size))
    except FormatError as error:
        error.hint = _OTHER_SIGNATURE_HINT
        raise


def _check_others(others: Sequence[Entry], digest: ImageDigest) -> None:
    """A new signature must not lend an old, broken one its looks."""
    for number, entry in enumerate(others, 1):
        try:
            found = authenticode.parse(entry.pkcs7).digest
        except FormatError as error:
            message = f"signature {number} cannot be read: {error.message}"
            raise FormatError(message, hint=_OTHER_SIGNATURE_HINT) from error
        if found.algorithm == digest.algorithm and found != digest:
            raise FormatError(
                f"signature {number} is not one of this file", hint=_OTHER_SIGNATURE_HINT
            )


class _Copy:
    """The executable on its way into the new file."""

    def __init__(self, file: IO[bytes], blob: Blob, image: Image, covered: Coverage) -> None:
        self._fd = file.fileno()
        self._blob = blob
        self._image = image
        self._end = covered.end
        self._size = wincert.aligned(covered.end)
        self._checksum = Checksum()

    def write(self, progress: Progress) -> ImageDigest:
        """Write all but the certificate table; what has to be signed."""
        image = self._image
        header = bytearray(self._blob.read_at(0, image.size_of_headers))
        for offset, length in holes(image.checksum_offset, image.security_offset):
            header[offset : offset + length] = bytes(length)
        digest = SequentialDigest(image.checksum_offset, image.security_offset)
        digest.update(header)
        self._put(0, header)
        offset = len(header)
        progress.start("signing", self._end)
        for chunk in feed(
            SubBlob(self._blob, offset, self._end - offset), [digest.update], progress
        ):
            self._put(offset, chunk)
            offset += len(chunk)
        progress.finish()
        self._put(offset, bytes(self._size - offset))
        return digest.finish()

    def _put(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        pwrite_all(self._fd, offset, view)
        self._checksum.update(view)

    def finish(self, table: bytes) -> int:
        """Write the certificate table and the fields that depend on it; the size of the file."""
        self._put(self._size, table)
        entry = wincert.directory_entry(self._size, len(table))
        at = self._image.security_offset
        pwrite_all(self._fd, at, entry)
        # The sum does not ask for the order, only which of two bytes is the lower one.
        self._checksum.update(bytes(at % 2) + entry + bytes(at % 2))
        size = self._size + len(table)
        checksum = self._checksum.value(size).to_bytes(4, "little")
        pwrite_all(self._fd, self._image.checksum_offset, checksum)
        return size
