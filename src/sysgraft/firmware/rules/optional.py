"""Names that drivers ask for and do without."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

OPTIONAL: Final = (
    ("amdgpu/ip_discovery.bin", "only for boards whose own table is broken"),
    ("amdgpu/*_sjt_*", "only for one data centre board"),
    ("amdgpu/*_kicker*", "only for boards with another memory"),
    ("iwl-debug-yoyo.bin", "debug configuration of iwlwifi"),
    ("*.clm_blob", "regulatory data of a board"),
    ("*.txcap_blob", "power limits of a board"),
    ("brcm/brcmfmac*.txt", "calibration of a board"),
    ("iwlwifi-*.pnvm", "power tables, iwlwifi goes on without them"),
    ("*/cal-*.bin", "calibration of a board"),
    ("ath1?k/*/board*.bin", "one of several board files"),
)
"""Pattern, and what is known of it."""


def optional_note(name: str) -> str:
    """What is known of a name a driver does without; empty for others."""
    return next((note for pattern, note in OPTIONAL if fnmatchcase(name, pattern)), "")
