"""A system in a folder that a node's verbs work on: store, ESP, keys, systemd, how it booted."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from command import Result, sysgraft
from lint_kit import Maker
from sysgraft.formats import efivar
from sysgraft.node.boot import LOADER_VARIABLES
from sysgraft.node.node import Node, NodeOptions
from sysgraft.sign.keys import load_private_key
from sysgraft.sign.pair import SigningPair
from sysgraft.testing.certificates import make_identity
from sysgraft.testing.efivars import secure_boot_values
from uki_kit import make_stub

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sysgraft.testing.certificates import Identity

OWNER: Final = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
KAIROS: Final = "var/lib/kairos"
TRUSTED: Final = make_identity("node signer", kind="p256")
STRANGER: Final = make_identity("node stranger", kind="p256")
REVOKED: Final = make_identity("node revoked", kind="p256")
EFIVARS: Final = "sys/firmware/efi/efivars"


def pair(identity: Identity) -> SigningPair:
    return SigningPair(load_private_key(identity.key_pem), identity.certificate)


def listing(folder: Path | str) -> dict[str, str | bytes]:
    """Everything below a folder but empty folders: contents of files, targets of links."""
    found: dict[str, str | bytes] = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(place, name)
            if os.path.islink(path):
                found[os.path.relpath(path, folder)] = f"-> {os.readlink(path)}"
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, folder)] = file.read()
    return found


@dataclass(frozen=True)
class Root:
    """The system.

    Attributes:
        path: the folder that stands for its root.
        images: where images are made, outside of it.
        state: `KAIROS`, or that of the other layout.
    """

    path: Path
    images: Path
    state: str = KAIROS
    cache: dict[tuple[Any, ...], Path] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        return self.path / self.state / "extensions"

    @property
    def confexts(self) -> Path:
        return self.path / self.state / "confexts"

    @property
    def esp(self) -> Path:
        return self.path / "efi"

    def write(self, path: str, data: bytes | str = b"") -> Path:
        place = self.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
        return place

    def link(self, path: str, target: str) -> Path:
        place = self.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
        return place

    def image(self, name: str, *, signer: Identity | None = TRUSTED, **more: Any) -> Path:
        """An image outside of the system."""
        folder = self.images / f"{len(list(self.images.iterdir()))}"
        folder.mkdir()
        files = more.pop("files", {f"usr/share/demo/{name}": f"{name}\n" * 2000})
        signing = pair(signer) if signer else None
        return Maker(folder).image(name, files, signing=signing, **more)

    def put(self, name: str, *profiles: str, into: str = "", **more: Any) -> Path:
        """An image in the store, with links of profiles."""
        image = self.image(name, **more)
        place = self.path / (into or f"{self.state}/extensions") / image.name
        place.parent.mkdir(parents=True, exist_ok=True)
        image.rename(place)
        for profile in profiles:
            self.link(f"{self.state}/extensions/{profile}/{place.name}", f"../{place.name}")
        return place

    def variable(self, name: str, data: bytes, guid: UUID = LOADER_VARIABLES) -> Path:
        return self.write(f"{EFIVARS}/{efivar.file_name(name, guid)}", b"\6\0\0\0" + data)

    def secure_boot(self, databases: Mapping[str, bytes]) -> None:
        """Firmware with Secure Boot and these databases."""
        for (name, guid), value in secure_boot_values(databases=databases).items():
            path = f"{EFIVARS}/{efivar.file_name(name, guid)}"
            self.write(path, value.attributes.to_bytes(4, "little") + value.data)

    def booted(self, entry: str) -> None:
        """As if systemd-boot had started an entry."""
        self.variable("LoaderEntrySelected", f"{entry}.conf\0".encode("utf-16-le"))
        self.variable("StubInfo", "systemd-stub 257\0".encode("utf-16-le"))

    def uki(self, name: str, stub: int = 257) -> Path:
        """A UKI on the ESP, with its text file in the layout that has one."""
        if self.state != KAIROS:
            return self.write(f"efi/EFI/Linux/{name}.efi", make_stub(f"{stub}.1-1"))
        self.write(f"efi/loader/entries/{name}.conf", f"title {name}\nefi /EFI/kairos/{name}.efi\n")
        return self.write(f"efi/EFI/kairos/{name}.efi", make_stub(f"{stub}.1-1"))

    def node(self, **options: Any) -> Node:
        options = {"running": True, **options}
        return Node(NodeOptions(root=str(self.path), **options))

    def run(self, verb: str, *words: str | os.PathLike[str]) -> Result:
        return sysgraft("node", verb, *words, "--root", self.path)

    def refused(self, verb: str, *words: str | os.PathLike[str], code: int = 2) -> str:
        """A command that ends with one clear line and changes nothing; that line."""
        before = listing(self.path)
        done = self.run(verb, *words)
        assert done.code == code, done
        errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
        rest = [
            line for line in done.err.splitlines() if not line.startswith(("error: ", "hint: "))
        ]
        assert (len(errors), rest, done.out) == (1, [], ""), done.err
        assert "unexpected" not in errors[0], done.err
        assert listing(self.path) == before
        return errors[0]


def make_root(folder: Path, *, state: str = KAIROS, systemd: int = 257) -> Root:
    """A system that trusts `TRUSTED`."""
    root = Root(folder / "root", folder / "images", state)
    root.images.mkdir(parents=True)
    root.write(f"usr/lib/systemd/libsystemd-shared-{systemd}.so")
    root.write("etc/os-release", "ID=debian\nVERSION_ID=13\n")
    root.write("usr/lib/verity.d/own.crt", TRUSTED.certificate_pem)
    root.write("proc/cmdline", "quiet\n")
    root.write("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
    root.write("proc/self/mountinfo", "22 1 8:1 / / ro shared:1 - ext4 /dev/sda1 ro\n")
    root.store.mkdir(parents=True)
    (root.path / "efi/EFI").mkdir(parents=True)
    return root
