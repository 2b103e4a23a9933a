"""systemd's stubs and boot loaders of three releases, as Debian 12, 13 and sid have them.

``scripts/setup-oracles`` fetches them; a test that takes the fixture `stubs` carries
``@pytest.mark.oracle("stubs")``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOLDERS: Final[Mapping[int, str]] = {
    252: "boot/bookworm",
    257: "debian-13/usr/lib/systemd/boot/efi",
    262: "boot/sid",
}
"""Release → where its files are in the cache. Sid's is 262 or newer: `Stub.version` says which."""

# What stub and loader say they are (section .sdmagic).
_MAGIC: Final = re.compile(rb"#### LoaderInfo: systemd-stub ((\d+)[^ ]*) ####")


@dataclass(frozen=True, slots=True)
class Stub:
    """The files of one release.

    Attributes:
        version: as the stub gives it, ``257.13-1~deb13u1``.
        release: its first number.
        stub: of UKIs.
        addon: the stub of addons; None where there is none yet.
        boot: systemd-boot.
    """

    version: str
    release: int
    stub: Path
    addon: Path | None
    boot: Path


def find_stubs(cache: Path) -> dict[int, Stub]:
    """The stubs of all releases in `FOLDERS` that are there."""
    folders = {release: cache / name for release, name in FOLDERS.items()}
    return {
        release: _read(folder)
        for release, folder in folders.items()
        if (folder / "linuxx64.efi.stub").exists()
    }


def missing_stubs(cache: Path) -> str:
    """Why a test cannot have them all, or an empty string."""
    missing = FOLDERS.keys() - find_stubs(cache).keys()
    if not missing:
        return ""
    names = ", ".join(map(str, sorted(missing)))
    return f"systemd's stub {names} is missing (scripts/setup-oracles fetches it)"


def _read(folder: Path) -> Stub:
    stub, addon = folder / "linuxx64.efi.stub", folder / "addonx64.efi.stub"
    found = _MAGIC.search(stub.read_bytes())
    assert found, f"{stub} does not say what it is"
    return Stub(
        version=found[1].decode(),
        release=int(found[2]),
        stub=stub,
        addon=addon if addon.exists() else None,
        boot=folder / "systemd-bootx64.efi",
    )
