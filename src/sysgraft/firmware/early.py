"""What is needed before extensions are merged, and so belongs into the initrd or the UKI.

Storage, because the root is on it; graphics, because a passphrase is typed on the console;
microcode, because the kernel loads it before anything else (``Documentation/arch/x86/
microcode.rst``). The network only where the root or its key come over it, which nobody can tell
from a machine's hardware.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sysgraft.firmware.index import Module

KINDS: Final = ("console", "microcode", "net", "storage")
"""What can be early."""
DEFAULT: Final = frozenset({"console", "microcode", "storage"})
"""What is, unless asked for otherwise."""

REASONS: Final = {
    "console": "graphics of the console",
    "microcode": "microcode of the processor",
    "net": "network, asked for",
    "storage": "storage",
}
"""Each kind, for people."""

# Folders of the kernel's source, as modules lie in them.
_FOLDERS: Final = {
    "storage": (
        "drivers/ata/",
        "drivers/block/",
        "drivers/firewire/",
        "drivers/md/",
        "drivers/message/",
        "drivers/mmc/",
        "drivers/nvme/",
        "drivers/scsi/",
        "drivers/ufs/",
        "drivers/usb/storage/",
    ),
    "console": ("drivers/gpu/",),
    "net": ("drivers/net/", "drivers/infiniband/", "net/"),
}

_CPU: Final = re.compile(
    r"cpu:type:x86,ven([0-9A-F]{4})fam([0-9A-F]{4})mod([0-9A-F]{4}):feature:(.*)"
)
# arch/x86/include/asm/processor.h: X86_VENDOR_INTEL, X86_VENDOR_AMD.
_INTEL: Final = 0
_AMD: Final = 2
# arch/x86/include/asm/cpufeatures.h: X86_FEATURE_HYPERVISOR. A guest's kernel loads no microcode.
_HYPERVISOR: Final = ",009F,"
# From this family on AMD has a file for each; before, one for all.
_AMD_FAMILIES: Final = 0x15
MICROCODE_SOURCE: Final = (
    "arch/x86/kernel/cpu/microcode/intel.c (load_builtin_intel_microcode), "
    "arch/x86/kernel/cpu/microcode/amd.c (get_builtin_microcode)"
)


def kind_of(module: Module | None) -> str:
    """Which kind of hardware a module is for; empty for one that is never early."""
    path = module.path if module else ""
    for kind, folders in _FOLDERS.items():
        if any(f"/{folder}" in f"/{path}" for folder in folders):
            return kind
    return ""


def reason(kind: str, wanted: Collection[str]) -> str:
    """Why hardware of a kind is early; empty if it is late."""
    return REASONS[kind] if kind in wanted else ""


def microcode(modalias: str) -> Iterator[str]:
    """Globs of the microcode of a processor; none for other devices, and in a virtual machine."""
    match = _CPU.fullmatch(modalias)
    if match is None or _HYPERVISOR in match[4]:
        return
    vendor, family, model = (int(digits, 16) for digits in match.groups()[:3])
    if vendor == _INTEL:
        yield f"intel-ucode/{family:02x}-{model:02x}-??"
    elif vendor == _AMD and family >= _AMD_FAMILIES:
        yield f"amd-ucode/microcode_amd_fam{family:x}h.bin"
    elif vendor == _AMD:
        yield "amd-ucode/microcode_amd.bin"
