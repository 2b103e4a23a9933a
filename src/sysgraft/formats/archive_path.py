"""Paths in archives, and the names that mean deletions in layers of container images.

Spec: OCI Image Format 1.1, "Representing Changes" (whiteouts). Nothing is looked up or merged.
"""

from __future__ import annotations

from typing import Final

from sysgraft.base.tree import printable
from sysgraft.errors import FormatError, LimitError

MAX_COMPONENT: Final = 255
"""Bytes of one name in a path: Linux' NAME_MAX, and what EROFS readers accept."""

WHITEOUT_PREFIX: Final = b".wh."
"""Before the name of a file that lower layers have and that is deleted."""

OPAQUE_MARKER: Final = b".wh..wh..opq"
"""In a folder of which nothing from lower layers is seen."""


def clean_path(name: bytes) -> bytes:
    """An archive's path, relative and without ``.`` and doubled slashes.

    Raises:
        FormatError: it has a ``..`` component.
        LimitError: a component is longer than a file system allows.
    """
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise FormatError(f"the path leaves the archive: {printable(name)}")
    if any(len(part) > MAX_COMPONENT for part in parts):
        raise LimitError(f"a name longer than {MAX_COMPONENT} bytes: {printable(name)}")
    return b"/".join(parts)
