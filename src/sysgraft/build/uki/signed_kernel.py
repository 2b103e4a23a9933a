"""The kernel inside a UKI with a signature of its own.

The stub hands the kernel to the firmware, which may ask for a signature once more; UKIs that are
signed therefore get a signed kernel, unless it bears a signature already.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sysgraft.base.blob import BytesBlob, JoinedBlob
from sysgraft.build.sealing import Signing, seal, signatures_of, unsealed
from sysgraft.errors import in_file
from sysgraft.formats import pe

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
            is not its own.
    """
    with in_file(kernel.name):
        others = signatures_of(kernel.blob, kernel.image)
        bare = unsealed(kernel.blob, kernel.image)
        sealed = seal(bare, Signing(signing, others))
        blob: Blob = JoinedBlob([BytesBlob(sealed.header), bare.body, BytesBlob(sealed.table)])
        return replace(kernel, blob=blob, image=pe.parse(blob))
