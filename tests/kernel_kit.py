"""A system in a folder with a boot partition, firmware variables and kernels to put there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from executables import make_pe
from sysgraft.formats import efivar, load_option
from sysgraft.formats.device_path import Partition
from sysgraft.formats.efivar import GLOBAL_VARIABLE
from sysgraft.host.efivars_changing import ChangingEfivarsFolder
from sysgraft.kernel.install import Installed, install
from sysgraft.kernel.listing import Listing
from sysgraft.kernel.options import InstallOptions
from sysgraft.kernel.partition import BootOptions, BootPartition
from sysgraft.node.boot import LOADER_VARIABLES

if TYPE_CHECKING:
    from pathlib import Path

    from sysgraft.kernel.listing import Kernel

EFIVARS: Final = "sys/firmware/efi/efivars"
MACHINE_ID: Final = "4098b3f648d74c13b1f04ccfba7798e8"
WHERE: Final = Partition(1, 2048, 204800, UUID("2f1c1a3e-7d0b-4a3e-9f4d-8f5a1a5b9c01"))
UKIS: Final = "EFI/Linux"


def uki(version: str, *, stub: str = "257.1", body: bytes = b"kernel", **more: bytes) -> bytes:
    """A UKI as far as its headers tell; `more` are sections by name without the dot."""
    pieces = [
        (".text", b"\xc3" * 64),
        (".sdmagic", f"#### LoaderInfo: systemd-stub {stub} ####\0".encode()),
        (".osrel", b"ID=kit\n"),
    ]
    pieces += [(".uname", version.encode())] if version else []
    pieces += [(f".{name}", content) for name, content in more.items()]
    return make_pe([*pieces, (".linux", body)])


@dataclass(frozen=True)
class System:
    """The system.

    Attributes:
        path: the folder that stands for its root.
        outside: where kernels come from.
    """

    path: Path
    outside: Path

    @property
    def esp(self) -> Path:
        return self.path / "efi"

    def write(self, path: str, data: bytes | str = b"") -> Path:
        place = self.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
        return place

    def kernel(self, version: str, name: str = "", **more: Any) -> Path:
        """A UKI outside of it."""
        place = self.outside / (name or f"{version}.efi")
        place.write_bytes(uki(version, **more))
        return place

    def partition(self, **more: Any) -> BootPartition:
        more.setdefault("running", True)
        more.setdefault("where", WHERE)
        return BootPartition(BootOptions(root=str(self.path), **more))

    def install(self, image: Path, *, on: BootPartition | None = None, **more: Any) -> Installed:
        return install(on or self.partition(), str(image), InstallOptions(**more))

    def kernels(self) -> tuple[Kernel, ...]:
        return Listing(self.partition()).kernels

    def files(self) -> list[str]:
        """What the partition holds; second folders are not told."""
        return sorted(
            str(path.relative_to(self.esp)) for path in self.esp.rglob("*") if path.is_file()
        )

    # --- Firmware ---------------------------------------------------------------------------------

    @property
    def variables(self) -> ChangingEfivarsFolder:
        return ChangingEfivarsFolder(self.path / EFIVARS)

    def loader(self, name: str, text: str) -> None:
        """A variable of the boot loader."""
        self.variables.write(name, LOADER_VARIABLES, text.encode("utf-16-le") + b"\0\0")

    def said_to_loader(self, name: str) -> str:
        found = self.variables.read(name, LOADER_VARIABLES)
        return found.data.decode("utf-16-le").rstrip("\0") if found else ""

    def firmware(self, name: str, *numbers: int) -> None:
        """``BootOrder`` and the like."""
        data = load_option.serialise_numbers(numbers)
        self.variables.write(name, GLOBAL_VARIABLE, data)

    def numbers(self, name: str) -> tuple[int, ...]:
        found = self.variables.read(name, GLOBAL_VARIABLE)
        return load_option.parse_numbers(found.data) if found else ()

    def boot(self, entry: str = "", *, number: int | None = None) -> None:
        """Start the system: by systemd-boot, which tells the entry, or by the firmware itself."""
        names = ("LoaderInfo", "LoaderFeatures", "LoaderEntrySelected", "StubImageIdentifier")
        for name in names:
            self.variables.remove(name, LOADER_VARIABLES)
        self.variables.remove("BootCurrent", GLOBAL_VARIABLE)
        if number is None:
            self.loader("LoaderInfo", "systemd-boot 257.1")
            self.variables.write("LoaderFeatures", LOADER_VARIABLES, b"\xff\x3f" + bytes(6))
            self.loader("LoaderEntrySelected", entry)
        else:
            self.firmware("BootCurrent", number)
            self.loader("StubImageIdentifier", f"\\EFI\\Linux\\{entry}")


def make_system(folder: Path) -> System:
    """A system started by systemd-boot, with nothing on its boot partition but that."""
    system = System(folder / "root", folder / "outside")
    system.outside.mkdir(parents=True)
    system.write("etc/machine-id", f"{MACHINE_ID}\n")
    system.write("etc/os-release", "ID=kit\nPRETTY_NAME='Kit 1'\n")
    system.write("efi/EFI/BOOT/BOOTX64.EFI", make_pe([(".text", b"\xc3" * 64)]))
    system.write("proc/sys/kernel/osrelease", "0.0.1\n")
    place = efivar.file_name("BootOrder", GLOBAL_VARIABLE)
    system.write(f"{EFIVARS}/{place}", efivar.serialise(efivar.EfiVariable(7, b"")))
    system.boot("none.efi")
    return system
