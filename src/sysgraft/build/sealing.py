"""The last steps of every executable: digest, signature, checksum, in one pass over it.

Headers and body are given apart; what is behind the body is the signature's place. The body is
read once, chunk by chunk, and handed on to whoever writes it. Signatures that are there already
stay if they are this executable's. Nothing is signed that has bytes which no signature would cover.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from sysgraft.base.blob import PaddedBlob, SubBlob
from sysgraft.base.progress import NoProgress
from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats import authenticode, wincert
from sysgraft.formats.authenticode_digest import SequentialDigest, coverage, holes
from sysgraft.formats.pe_checksum import Checksum
from sysgraft.formats.pe_layout import layout_problem
from sysgraft.host.digests import feed
from sysgraft.host.files import pwrite_all
from sysgraft.sign.authenticode import sign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.authenticode import ImageDigest
    from sysgraft.formats.pe import Image
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.pair import SigningPair

_CHECKSUM_SIZE: Final = 4
_NO_PROGRESS: Final = NoProgress()
_OTHER_SIGNATURE_HINT: Final = "drop what is there: uki sign --replace"


@dataclass(frozen=True, slots=True)
class Unsealed:
    """An executable without signature and checksum.

    Attributes:
        header: all headers; what CheckSum and data directory 4 say does not matter.
        body: everything behind them; the whole file's length is a multiple of 8.
        checksum_offset: where CheckSum is.
        security_offset: where data directory 4 is.
    """

    header: bytes
    body: Blob
    checksum_offset: int
    security_offset: int

    @property
    def size(self) -> int:
        """Bytes of the file without a signature."""
        return len(self.header) + self.body.size


@dataclass(frozen=True, slots=True)
class Signing:
    """What signatures an executable gets.

    Attributes:
        pair: who signs; None leaves it as it is.
        others: signatures it bears already, which stay before the new one.
        chain: certificates above the signer's, to put beside it.
    """

    pair: SigningPair | None = None
    others: Sequence[wincert.Entry] = ()
    chain: Sequence[Certificate] = ()


@dataclass(frozen=True, slots=True)
class Sealed:
    """What belongs around the body.

    Attributes:
        header: the final headers.
        entries: the signatures.
        digest: what they are about.
    """

    header: bytes
    entries: tuple[wincert.Entry, ...]
    digest: ImageDigest

    @property
    def table(self) -> bytes:
        """The certificate table, empty without signatures."""
        return wincert.serialise(self.entries)


@dataclass(frozen=True, slots=True)
class Watch:
    """Whoever wants to see the body as it is written.

    Attributes:
        takers: each is given every piece, in a thread of its own.
        check: called behind the last piece; raises if the body is not what it should be.
    """

    takers: Sequence[Callable[[memoryview], object]] = ()
    check: Callable[[], object] = lambda: None


_UNWATCHED: Final = Watch()


def unsealed(blob: Blob, image: Image) -> Unsealed:
    """An executable as it was before it was signed, with padding for a signature.

    Raises:
        UnsupportedError: its headers have no room for a signature.
        FormatError: it is laid out so that no signature could cover all of it.
    """
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
    padded = PaddedBlob(SubBlob(blob, 0, covered.end), wincert.aligned(covered.end))
    head = image.size_of_headers
    return Unsealed(
        header=padded.read_at(0, head),
        body=SubBlob(padded, head, padded.size - head),
        checksum_offset=image.checksum_offset,
        security_offset=image.security_offset,
    )


def signatures_of(blob: Blob, image: Image) -> tuple[wincert.Entry, ...]:
    """The signatures an executable bears.

    Raises:
        FormatError: they cannot be read.
    """
    offset, size = image.security
    try:
        return wincert.parse(blob.read_at(offset, min(size, wincert.MAX_TABLE + 1)))
    except FormatError as error:
        error.hint = _OTHER_SIGNATURE_HINT
        raise


def seal(
    image: Unsealed,
    signing: Signing,
    *,
    sink: Callable[[int, memoryview], object] | None = None,
    watch: Watch = _UNWATCHED,
    progress: Progress = _NO_PROGRESS,
) -> Sealed:
    """Sign an executable and sum it up.

    Args:
        image: the executable.
        signing: its signatures; one that is there already, byte for byte, is not added again.
        sink: is given each piece of the body with its place in the file.
        watch: is given each piece too, and has a say before anything is signed.
        progress: told of the bytes of the body.

    Raises:
        FormatError: a signature that is to stay is not of this executable.
        KeyMaterialError: the key cannot sign.
    """
    header = bytearray(image.header)
    for offset, length in holes(image.checksum_offset, image.security_offset):
        header[offset : offset + length] = bytes(length)
    checksum = Checksum()
    digest = SequentialDigest(image.checksum_offset, image.security_offset)
    for take in (checksum.update, digest.update):
        take(bytes(header))
    offset = len(header)
    for chunk in feed(image.body, [digest.update, *watch.takers], progress):
        if sink is not None:
            sink(offset, chunk)
        checksum.update(chunk)
        offset += len(chunk)
    watch.check()
    found = digest.finish()
    entries = _entries(found, signing)
    _finish(header, image, checksum, wincert.serialise(entries))
    return Sealed(bytes(header), entries, found)


def _entries(digest: ImageDigest, signing: Signing) -> tuple[wincert.Entry, ...]:
    _check_others(signing.others, digest)
    pair = signing.pair
    if pair is None:
        return tuple(signing.others)
    added = wincert.Entry(sign(digest, pair.key, pair.certificate, chain=signing.chain))
    return tuple(dict.fromkeys((*signing.others, added)))


def _check_others(others: Sequence[wincert.Entry], digest: ImageDigest) -> None:
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


def _finish(header: bytearray, image: Unsealed, checksum: Checksum, table: bytes) -> None:
    """Fill in where the signatures are, and the checksum of everything."""
    checksum.update(table)
    if table:
        at = image.security_offset
        entry = wincert.directory_entry(image.size, len(table))
        header[at : at + len(entry)] = entry
        # The sum does not ask for the order, only which of two bytes is the lower one.
        checksum.update(bytes(at % 2) + entry + bytes(at % 2))
    field = slice(image.checksum_offset, image.checksum_offset + _CHECKSUM_SIZE)
    header[field] = checksum.value(image.size + len(table)).to_bytes(_CHECKSUM_SIZE, "little")


def write_sealed(
    file: IO[bytes],
    image: Unsealed,
    signing: Signing,
    progress: Progress,
    *,
    watch: Watch = _UNWATCHED,
) -> Sealed:
    """Write an executable with its signatures and its checksum; raises like `seal`.

    Args:
        file: empty, open for writing, with a file descriptor.
        image: the executable.
        signing: its signatures.
        progress: told of every byte.
        watch: see `seal`.
    """
    fd = file.fileno()
    progress.start("writing", image.body.size)
    sealed = seal(
        image,
        signing,
        sink=lambda at, data: pwrite_all(fd, at, data),
        watch=watch,
        progress=progress,
    )
    progress.finish()
    pwrite_all(fd, image.size, sealed.table)
    pwrite_all(fd, 0, sealed.header)
    return sealed
