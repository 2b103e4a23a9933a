"""Keys, UKIs and a boot loader for media, made once: small, and nothing in them runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from command import Result, sysgraft
from sysgraft.base.blob import FileBlob
from sysgraft.formats import fat
from sysgraft.formats.esp import find_esp
from uki_kit import make_kit, make_stub

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class MediaKit:
    """A folder.

    Attributes:
        folder: with ``keys``, ``other`` (keys nobody trusts), ``active.efi``, ``passive.efi``,
            ``unsigned.efi``, ``debug.addon.efi``, ``boot.efi``, ``unsigned-boot.efi``.
    """

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def media(
        self, verb: str, output: Path, *words: str | Path, loader: str = "boot.efi"
    ) -> Result:
        """Make a medium with this boot loader."""
        return sysgraft("media", verb, "-o", output, "--boot-loader", self.path(loader), *words)

    @property
    def signed(self) -> tuple[str, ...]:
        """Arguments for two entries and the keys they are signed with."""
        images = ("--uki", self.path("active.efi"), "--uki", f"passive={self.path('passive.efi')}")
        return (*images, "--keys", self.path("keys"))


@pytest.fixture(scope="session")
def media_kit(tmp_path_factory: pytest.TempPathFactory) -> MediaKit:
    folder = tmp_path_factory.mktemp("media")
    with pytest.MonkeyPatch.context() as patch:
        kit = make_kit(folder, patch)
        for name in ("keys", "other"):
            assert sysgraft("keys", "generate", name, "--output", folder / name).code == 0
        keys = folder / "keys"
        signing = [f"--secureboot-private-key={keys}/db.key"]
        signing.append(f"--secureboot-certificate={keys}/db.pem")
        for name in ("active", "passive"):
            kit.file("initrd", b"070701" + name.encode() * 9999)
            kit.build(f"{name}.efi", "--initrd", folder / "initrd", *signing)
        kit.build("unsigned.efi")
        addon: list[str | Path] = ["--output", folder / "debug.addon.efi", "--stub", kit.addon_stub]
        assert sysgraft("uki", "addon", "--cmdline", "debug", *addon).code == 0
        kit.file("unsigned-boot.efi", make_stub(name="systemd-boot"))
        pair = (f"--private-key={keys}/db.key", f"--certificate={keys}/db.pem")
        target = ("--output", folder / "boot.efi")
        done = sysgraft("uki", "sign", folder / "unsigned-boot.efi", *target, *pair)
        assert done.code == 0, done.err
    return MediaKit(folder)


def on_esp(image: Path) -> dict[str, bytes]:
    """The files of the EFI system partition of a disk or ISO image."""
    with image.open("rb") as file:
        volume = fat.open_volume(find_esp(FileBlob(file)))
        return {
            path: volume.content(entry).read_at(0, entry.size)
            for path, entry in volume.walk()
            if not entry.is_dir
        }
