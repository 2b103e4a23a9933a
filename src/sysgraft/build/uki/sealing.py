"""The last steps of every executable: digest, signature, checksum, in one pass over it.

Headers and body are given apart; what is behind the body is the signature's place. The body is
read once, chunk by chunk, and handed on to whoever writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.progress import NoProgress
from sysgraft.formats import wincert
from sysgraft.formats.authenticode_digest import SequentialDigest
from sysgraft.formats.pe_checksum import Checksum
from sysgraft.host.digests import feed
from sysgraft.sign import authenticode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.authenticode import ImageDigest
    from sysgraft.sign.pair import SigningPair

_FIELD: Final = 4
_NO_PROGRESS: Final = NoProgress()


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
class Sealed:
    """What belongs around the body.

    Attributes:
        header: the final headers.
        table: the certificate table, empty without a signer.
        digest: what the signature is about.
    """

    header: bytes
    table: bytes
    digest: ImageDigest


def seal(
    image: Unsealed,
    signing: SigningPair | None,
    *,
    others: Sequence[wincert.Entry] = (),
    sink: Callable[[int, memoryview], object] | None = None,
    progress: Progress = _NO_PROGRESS,
) -> Sealed:
    """Sign an executable and sum it up.

    Args:
        image: the executable.
        signing: who signs; None leaves it unsigned.
        others: signatures it bears already, which stay before the new one.
        sink: is given each piece of the body with its place in the file.
        progress: told of the bytes of the body.
    """
    checksum = Checksum()
    digest = SequentialDigest(image.checksum_offset, image.security_offset)
    digest.update(image.header)
    offset = len(image.header)
    for chunk in feed(image.body, [digest.update], progress):
        if sink is not None:
            sink(offset, chunk)
        checksum.update(chunk)
        offset += len(chunk)
    found = digest.finish()
    entries = list(others)
    if signing is not None:
        entries.append(wincert.Entry(authenticode.sign(found, signing.key, signing.certificate)))
    table = wincert.serialise(dict.fromkeys(entries))
    return Sealed(_final_header(image, checksum, table), table, found)


def _final_header(image: Unsealed, checksum: Checksum, table: bytes) -> bytes:
    """The headers with the place of the signature and the checksum."""
    header = bytearray(image.header)
    at = image.security_offset
    place = (image.size, len(table)) if table else (0, 0)
    header[at : at + 2 * _FIELD] = wincert.directory_entry(*place)
    field = slice(image.checksum_offset, image.checksum_offset + _FIELD)
    header[field] = bytes(_FIELD)
    # A sum does not ask for the order; headers and table have an even number of bytes.
    checksum.update(bytes(header))
    checksum.update(table)
    header[field] = checksum.value(image.size + len(table)).to_bytes(_FIELD, "little")
    return bytes(header)
