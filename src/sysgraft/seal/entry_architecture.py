"""Which architecture a boot entry with a text file is for (UAPI.1, ``architecture``).

systemd-boot hides an entry that names another one than its own, by UEFI's name
(``src/boot/boot.c``, ``boot_entry_add_type1``; the names are in ``meson.build``, efi_arch). It is
of the same architecture as the image that it can start, so the image's counts here.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError
from sysgraft.formats import pe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.base.blob import Blob
    from sysgraft.formats import bls

_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "arm": "arm",
        "arm64": "aa64",
        "loongarch32": "loongarch32",
        "loongarch64": "loongarch64",
        "riscv32": "riscv32",
        "riscv64": "riscv64",
        "x86": "ia32",
        "x86-64": "x64",
    }
)
"""systemd's names of architectures, and UEFI's (UEFI 2.10 §3.5.1.1)."""


def is_shown(settings: bls.Entry, image: Blob) -> bool:
    """Whether systemd-boot shows an entry, as far as that is a matter of the architecture.

    Args:
        settings: what the text file says.
        image: what the entry starts; one that is no program hides nothing.
    """
    if not settings.architectures:
        return True
    try:
        machine = pe.parse(image).architecture
    except InputError:
        return True
    own = _NAMES.get(machine or "", "")
    return all(each.lower() == own for each in settings.architectures)
