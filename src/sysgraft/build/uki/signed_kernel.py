"""The kernel inside a UKI with a signature of its own.

The stub hands the kernel to the firmware, which may ask for a signature once more; UKIs that are
signed therefore get a signed kernel, unless it bears a signature already.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sysgraft.base.blob import BytesBlob, JoinedBlob, PaddedBlob, SubBlob
from sysgraft.build.uki.sealing import Unsealed, seal
from sysgraft.errors import FormatError, in_file
from sysgraft.formats import pe, wincert
from sysgraft.formats.authenticode_digest import coverage

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.build.uki.kernel import Kernel
    from sysgraft.sign.pair import SigningPair


def is_signed(kernel: Kernel) -> bool:
    """Whether it bears a signature, whoever's."""
    return kernel.image.security != (0, 0)


def signed_kernel(kernel: Kernel, signing: SigningPair) -> Kernel:
    """The kernel with one more signature; those it has stay, as with sbsign.

    Raises:
        FormatError: it is laid out so that firmware could not check a signature, or has one that
            cannot be read.
    """
    with in_file(kernel.name):
        offset, size = kernel.image.security
        others = wincert.parse(kernel.blob.read_at(offset, min(size, wincert.MAX_TABLE + 1)))
        unsealed = without_signature(kernel.blob, kernel.image)
        sealed = seal(unsealed, signing, others=others)
        blob: Blob = JoinedBlob([BytesBlob(sealed.header), unsealed.body, BytesBlob(sealed.table)])
        return replace(kernel, blob=blob, image=pe.parse(blob))


def without_signature(blob: Blob, image: pe.Image) -> Unsealed:
    """An executable as it was before it was signed.

    Raises:
        FormatError: it is laid out so that firmware could not check a signature.
    """
    if not image.security_offset:
        raise FormatError("the executable's headers have no room for a signature")
    covered = coverage(image)
    if covered.gaps:
        raise FormatError(
            f"{covered.gaps[0][1]} bytes at byte {covered.gaps[0][0]} of the executable are in no "
            "section, no signature would cover them"
        )
    padded = PaddedBlob(SubBlob(blob, 0, covered.end), wincert.aligned(covered.end))
    head = image.size_of_headers
    return Unsealed(
        header=padded.read_at(0, head),
        body=SubBlob(padded, head, padded.size - head),
        checksum_offset=image.checksum_offset,
        security_offset=image.security_offset,
    )
