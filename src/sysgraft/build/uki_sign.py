"""Add a signature to an EFI executable: a UKI, an addon, a kernel, a boot loader.

The file is copied once, hashed and summed on the way; what it holds stays as it is, but for the
fields that say where signatures are and what the checksum is. Signatures that are there are kept
or dropped as the caller says. Nothing is signed that has bytes which no signature would cover.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.base.progress import NoProgress
from sysgraft.build.resign import Target
from sysgraft.build.sealing import Signing, signatures_of, unsealed, write_sealed
from sysgraft.errors import in_file
from sysgraft.formats import pe
from sysgraft.host.files import OpenFile
from sysgraft.host.output import atomic_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.formats.authenticode import ImageDigest
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.pair import SigningPair


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
        bare = unsealed(blob, image)
        others = () if drop_others else signatures_of(blob, image)
        signatures = Signing(signing, others, chain)
        sealed = write_sealed(file, bare, signatures, progress or NoProgress())
    size = bare.size + len(sealed.table)
    return UkiSignReport(output, sealed.digest, size, len(sealed.entries), len(others))
