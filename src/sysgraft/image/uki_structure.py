"""An EFI executable as `sysgraft.image.uki_verify` looks at it, and the names of its checks.

What each check proves is in docs/guide/verify-a-uki.md. Reads what has to be right before anything
can be said about signatures and content, and so before anything else is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats import pe
from sysgraft.formats.authenticode_digest import Coverage, coverage
from sysgraft.formats.pe_layout import layout_problem
from sysgraft.formats.wincert import MAX_TABLE, Entry
from sysgraft.formats.wincert import parse as parse_table

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob
    from sysgraft.formats.pe import Image

# In the order they are reported.
CHECKS: Final = ("pe", "signature", "trust", "revocation", "content")
# Required only when the caller gives what they compare with.
ON_REQUEST: Final = frozenset({"revocation"})
_SUBSYSTEMS: Final = range(10, 13)
"""What UEFI firmware loads (UEFI 2.10 §2.1.1; EDK II, CoreLoadPeImage): applications, boot service
drivers and runtime drivers."""


@dataclass(frozen=True, slots=True)
class Structure:
    """An executable as far as its headers and its certificate table tell.

    Attributes:
        image: what the headers say.
        covered: what its digest covers.
        entries: its signatures, in their order.
    """

    image: Image
    covered: Coverage
    entries: tuple[Entry, ...]


def read_structure(blob: Blob) -> Structure:
    """Read what has to be right before anything can be said about signatures.

    Raises:
        FormatError: it is no executable for EFI, or one that may be read in two ways.
    """
    image = pe.parse(blob)
    problem = layout_problem(image)
    if problem:
        raise FormatError(problem)
    if image.subsystem not in _SUBSYSTEMS:
        raise FormatError(f"its subsystem is {image.subsystem}, and firmware loads only 10 to 12")
    covered = coverage(image)
    offset, size = image.security
    if size > MAX_TABLE:
        raise FormatError(f"the certificate table has {size} bytes; the limit is {MAX_TABLE}")
    return Structure(image, covered, parse_table(blob.read_at(offset, size)))
