"""Writes a laid-out executable to a file, in one pass, and signs it.

Every byte is read, written, hashed for the signature and summed for the checksum once; at no time
is more than a few pieces of a mebibyte in memory.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from sysgraft.base.blob import JoinedBlob, PaddedBlob, SubBlob
from sysgraft.build.sealing import Signing, Unsealed, write_sealed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.build.uki.parts import Part
    from sysgraft.formats.authenticode import ImageDigest
    from sysgraft.formats.pe_image import Layout, Placed
    from sysgraft.sign.pair import SigningPair


def write_image(
    file: IO[bytes],
    layout: Layout,
    stub: Blob,
    parts: Sequence[Part],
    *,
    signing: SigningPair | None,
    progress: Progress,
) -> ImageDigest:
    """Write headers, sections and, if there is a signer, the signature.

    Args:
        file: empty, open for writing, with a file descriptor.
        layout: what goes where.
        stub: the stub's bytes.
        parts: the new sections' contents, as `layout` counts them.
        signing: who signs.
        progress: told of every byte.

    Returns:
        The digest that a signature is about.
    """
    in_file_order = sorted(layout.placed, key=lambda one: one.section.offset)
    body = JoinedBlob([_content(placed, stub, parts) for placed in in_file_order])
    image = Unsealed(layout.header, body, layout.checksum_offset, layout.security_offset)
    return write_sealed(file, image, Signing(signing), progress).digest


def _content(placed: Placed, stub: Blob, parts: Sequence[Part]) -> Blob:
    """A section's raw data, padded as the headers say."""
    if placed.number is not None:
        content = parts[placed.number].content
    else:
        old = placed.stub_section or placed.section
        content = SubBlob(stub, old.offset, old.raw_size)
    return PaddedBlob(content, placed.section.raw_size)
