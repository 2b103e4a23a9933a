"""A guest that is a node: agent and units in the UKI, systemd-boot's entries, a store on a disk."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guest_kit import agent_initrd
from sysgraft.base.blob import BytesBlob
from sysgraft.base.tree import Inode
from sysgraft.build.resign import Target
from sysgraft.build.uki_sign import sign_executable
from sysgraft.formats import cpio
from sysgraft.lab.options import Disk
from sysgraft.node.units.tree import UnitOptions, files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boot.conftest import BuildUki, Keys
    from sysgraft.lab.guests import Guests
    from sysgraft.sign.pair import SigningPair

STORE: Final = "/var/lib/kairos"
_UNITS: Final = "usr/lib/systemd/system"
_MOUNT: Final = f"""\
[Unit]
DefaultDependencies=no
Before=local-fs.target

[Mount]
What=/dev/disk/by-id/virtio-disk0
Where={STORE}
Type=ext4
"""
FILES: Final[Mapping[str, bytes]] = {
    f"{_UNITS}/var-lib-kairos.mount": _MOUNT.encode(),
}
LINKS: Final[Mapping[str, str]] = {
    f"{_UNITS}/local-fs.target.wants/var-lib-kairos.mount": "../var-lib-kairos.mount"
}
FOLDERS: Final = ("var/lib/extensions", "var/lib/confexts", "var/lib/kairos", "oem")
"""The first two are links to what the stub has brought, in the guest; a node activates that."""


def node_initrd(folder: Path, more: Mapping[str, bytes], *, with_units: bool = True) -> str:
    """An initrd with the units, the mount of the store and further files: its path.

    Without the units, systemd merges what the stub has brought, as the guest is made for.
    """
    tree = {b"": Inode(mode=0o40755)}
    for path in FOLDERS if with_units else FOLDERS[2:]:
        _add(tree, path, Inode(mode=0o40755))
    units = files(UnitOptions()) if with_units else ()
    for path, data in {**FILES, **more}.items():
        _add(tree, path, Inode(mode=0o100644, content=BytesBlob(data)))
    for unit in units:
        node = (
            Inode(mode=0o120777, target=unit.data)
            if unit.mode == 0
            else Inode(mode=0o100000 | unit.mode, content=BytesBlob(unit.data))
        )
        _add(tree, unit.path, node)
    for path, target in LINKS.items():
        _add(tree, path, Inode(mode=0o120777, target=target.encode()))
    place = folder / "node.cpio"
    place.write_bytes(b"".join(cpio.plan(tree).chunks()))
    return str(place)


def _add(tree: dict[bytes, Inode], path: str, inode: Inode) -> None:
    parts = path.encode().split(b"/")
    for depth in range(1, len(parts)):
        tree.setdefault(b"/".join(parts[:depth]), Inode(mode=0o40755))
    tree[path.encode()] = inode


def store_disk(path: Path, tree: Path, size: str = "64M") -> Disk:
    """An ext4 disk with the files of a folder, for `STORE`."""
    words = ["mke2fs", "-q", "-t", "ext4", "-L", "store", "-d", str(tree), str(path), size]
    subprocess.run(words, check=True, capture_output=True)
    return Disk(str(path), writable=True)


@dataclass(frozen=True, slots=True)
class NodeGuest:
    """Builds what a node boots from.

    Attributes:
        folder: for the files.
        guests: of the lab.
        uki: makes UKIs of them.
        signing: who signs programs, if anybody does.
    """

    folder: Path
    guests: Guests
    uki: BuildUki
    signing: SigningPair | None

    def image(
        self, name: str, more: Mapping[str, bytes] | None = None, *, cmdline: str = ""
    ) -> Path:
        """A UKI that is a node."""
        from boot.conftest import CMDLINE  # noqa: PLC0415

        initrds = (agent_initrd(self.folder), node_initrd(self.folder, more or {}))
        path = self.folder / f"{name}.efi"
        words = f"{CMDLINE} {cmdline}".strip()
        self.uki(path, "debian", initrds=initrds, cmdline=words, signing=self.signing)
        return path

    def esp(self, default: str, images: Mapping[str, Path]) -> Path:
        """A folder for an ESP with systemd-boot, which starts the entry `default`.

        Args:
            default: name of an entry.
            images: UKIs by the name of their entry; the same file is there once.
        """
        esp = self.folder / "esp"
        for path in ("EFI/BOOT", "EFI/kairos", "loader/entries"):
            (esp / path).mkdir(parents=True, exist_ok=True)
        loader = esp / "EFI/BOOT/BOOTX64.EFI"
        plain = self.guests.path("systemd-bootx64.efi")
        if not loader.exists() and self.signing:
            target = Target(str(loader), replace=False)
            sign_executable(plain, self.signing, target=target)
        elif not loader.exists():
            loader.write_bytes((self.folder / plain).read_bytes())
        for name, image in images.items():
            place = esp / f"EFI/kairos/{image.name}"
            if not place.exists():
                place.hardlink_to(image)
            entry = f"title {name}\nefi /EFI/kairos/{image.name}\n"
            (esp / f"loader/entries/{name}.conf").write_text(entry)
        (esp / "loader/loader.conf").write_text(f"default {default}.conf\ntimeout 0\n")
        return esp

    def esp_without_stub(self, entry: str, more: Mapping[str, bytes]) -> Path:
        """A folder for an ESP whose only entry starts a kernel with initrds, without a stub."""
        from boot.conftest import CMDLINE  # noqa: PLC0415

        esp = self.folder / "esp"
        for path in ("EFI/BOOT", "loader/entries"):
            (esp / path).mkdir(parents=True)
        guest = self.guests.path("debian.cpio.zst")
        initrds = (guest, agent_initrd(self.folder), node_initrd(self.folder, more))
        lines = [f"title {entry}", "linux /vmlinuz", f"options {CMDLINE}"]
        for number, path in enumerate(initrds):
            shutil.copyfile(path, esp / f"initrd-{number}")
            lines.append(f"initrd /initrd-{number}")
        shutil.copyfile(self.guests.path("vmlinuz"), esp / "vmlinuz")
        shutil.copyfile(self.guests.path("systemd-bootx64.efi"), esp / "EFI/BOOT/BOOTX64.EFI")
        (esp / f"loader/entries/{entry}.conf").write_text("".join(f"{e}\n" for e in lines))
        (esp / "loader/loader.conf").write_text(f"default {entry}.conf\ntimeout 0\n")
        return esp


def keys_trusted(keys: Keys) -> dict[str, bytes]:
    """The certificate for extensions, as a part of the system."""
    return {"usr/lib/verity.d/extension.crt": (keys.folder / "extension.pem").read_bytes()}
