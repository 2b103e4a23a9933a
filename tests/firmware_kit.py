"""Kernels and firmware trees small enough to write down, and inventories that go with them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from lint_kit import elf
from sysgraft.firmware.inventory import Device, Machine
from sysgraft.host.zstd import compress

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

RELEASE: Final = "6.12.0-kit"
X86_64: Final = 62
ARM64: Final = 183
_E_MACHINE: Final = 18  # where an ELF header says it

WIFI: Final = "pci:v00008086d000051F1sv00008086sd00000094bc02sc80i00"
GRAPHICS: Final = "pci:v00008086d0000A7A0sv00008086sd00003037bc03sc00i00"
DISK: Final = "pci:v00001077d00002261sv00001077sd00000299bc0Csc04i00"
VIRTIO: Final = "virtio:d00000001v00001AF4"


def module(fields: Iterable[tuple[str, str]], *, machine: int = X86_64) -> bytes:
    """A kernel module that is nothing but what it says of itself."""
    modinfo = b"".join(f"{key}={value}".encode() + b"\0" for key, value in fields)
    data = elf({b".modinfo": modinfo})
    return data[:_E_MACHINE] + struct.pack("<H", machine) + data[_E_MACHINE + 2 :]


# Path, and what the module says.
MODULES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "kernel/drivers/net/wireless/intel/iwlwifi/iwlwifi.ko": (
        ("alias", "pci:v00008086d000051F1sv*sd*bc*sc*i*"),
        ("depends", "cfg80211"),
        ("firmware", "iwlwifi-so-a0-gf-a0-89.ucode"),
        ("firmware", "iwlwifi-so-a0-gf-a0.pnvm"),
        ("firmware", "iwlwifi-so-a0-hr-b0-89.ucode"),
        ("firmware", "iwlwifi-cc-a0-77.ucode"),
    ),
    "kernel/net/wireless/cfg80211.ko": (
        ("firmware", "regulatory.db"),
        ("firmware", "regulatory.db.p7s"),
    ),
    "kernel/drivers/gpu/drm/i915/i915.ko": (
        ("alias", "pci:v00008086d0000A7A0sv*sd*bc03sc*i*"),
        ("firmware", "i915/adlp_dmc_ver2_16.bin"),
        ("firmware", "i915/adlp_dmc.bin"),
        ("firmware", "i915/adlp_guc_70.bin"),
        ("firmware", "i915/tgl_huc.bin"),
        ("firmware", "i915/skl_huc_2.0.0.bin"),
    ),
    "kernel/drivers/scsi/qla2xxx/qla2xxx.ko": (
        ("alias", "pci:v00001077d00002261sv*sd*bc*sc*i*"),
        ("softdep", "pre: scsi_transport_fc post: helper-late"),
        ("firmware", "ql2500_fw.bin"),
    ),
    "kernel/drivers/scsi/scsi_transport_fc.ko": (),
    "kernel/lib/helper-late.ko": (("firmware", "helper/*.bin"),),
    "kernel/drivers/net/virtio_net.ko": (("alias", "virtio:d00000001v*"),),
}
# Path, and the content or, behind ``->``, where a link points.
FIRMWARE: Final[Mapping[str, str]] = {
    "iwlwifi-so-a0-gf-a0-72.ucode": "old",
    "iwlwifi-so-a0-gf-a0-83.ucode": "newest there is",
    "iwlwifi-so-a0-gf-a0.pnvm": "tables",
    "iwlwifi-so-a0-hr-b0-89.ucode": "another radio",
    "iwlwifi-cc-a0-77.ucode": "another card",
    "i915/adlp_dmc.bin": "display",
    "i915/adlp_dmc_ver2_16.bin": "older display",
    "i915/adlp_guc_70.bin": "graphics",
    "i915/tgl_huc.bin": "media",
    "i915/skl_huc_2.0.0.bin": "another generation",
    "ql2500_fw.bin": "-> qlogic/current/fw.bin",
    "qlogic/current": "-> v2",
    "qlogic/v2/fw.bin": "storage",
    "helper/a.bin": "a",
    "helper/b.bin.xz": "b",
    "regulatory.db": "rules",
    "unused.bin": "nobody asks for this" * 100,
}


def write_kernel(root: Path, modules: Mapping[str, tuple[tuple[str, str], ...]] = MODULES) -> Path:
    """Write the modules below a root, every other one compressed; the kernel's folder."""
    folder = root / "usr/lib/modules" / RELEASE
    for number, (path, fields) in enumerate(modules.items()):
        data = module(fields)
        target = folder / path
        if number % 2:
            target = target.with_suffix(".ko.zst")
            data = b"".join(compress([data], 3))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    (folder / "modules.builtin").write_text("kernel/drivers/base/firmware-class.ko\n")
    (folder / "modules.builtin.modinfo").write_bytes(
        b"firmware_class.license=GPL\0built.alias=acpi*:KIT0001:*\0built.firmware=built.bin\0"
    )
    return folder


def write_firmware(root: Path, files: Mapping[str, str] = FIRMWARE) -> Path:
    """Write the files and links below a root; the firmware folder."""
    folder = root / "usr/lib/firmware"
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content)
    return folder


def machine(*modaliases: str, **more: object) -> Machine:
    """An x86-64 machine with PCI devices of these modaliases."""
    devices = tuple(
        Device("pci", f"0000:00:{number:02x}.0", modalias)
        for number, modalias in enumerate(modaliases)
    )
    return Machine(**{"architecture": "x86-64", "devices": devices, **more})  # type: ignore[arg-type]
