"""What systemd-stub takes beside a UKI, and from which folder of the EFI system partition.

systemd-stub(7): ``NAME.efi.extra.d`` beside the image itself (see `sysgraft.formats.bls`), and the
folders below ``loader`` for every image; extensions for all only since 258.
"""

from __future__ import annotations

from typing import Final

EXTENSIONS: Final = "loader/extensions"
ADDONS: Final = "loader/addons"
CREDENTIALS: Final = "loader/credentials"
GLOBAL: Final = (EXTENSIONS, ADDONS, CREDENTIALS)
"""Folders of what all images get."""
GLOBAL_EXTENSIONS_SINCE: Final = 258
"""The first stub that looks into `EXTENSIONS`."""
POLICY: Final = ".pcrsig.json"
"""The end of names of signed policies (ADR 0014)."""
ADDON: Final = ".addon.efi"
"""The end of names of addons, which firmware verifies as it does the UKI."""

_TAKEN: Final = (".raw", ADDON, ".cred", POLICY)


def is_taken(name: str) -> bool:
    """Whether a name is one of what belongs to an image."""
    return not name.startswith(".") and name.lower().endswith(_TAKEN)


def global_folder(file: str) -> str:
    """The folder of what all images get, for a file of this name."""
    lower = file.lower()
    if lower.endswith(ADDON):
        return ADDONS
    return CREDENTIALS if lower.endswith(".cred") else EXTENSIONS
