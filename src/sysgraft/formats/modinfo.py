"""Linux kernel modules: what one says of itself, in its ``.modinfo`` section.

``include/linux/moduleparam.h`` and ``include/linux/module.h``: ``key=value`` strings, each ended by
NUL bytes, some keys more than once. Takes a module that is not compressed; its signature is read by
`sysgraft.formats.module_signature`. Code, symbols and their versions are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats import elf

if TYPE_CHECKING:
    from sysgraft.base.blob import Blob

MAX_SECTION: Final = 4 << 20
"""Bytes of a ``.modinfo``; the largest of Debian's, with hundreds of firmware names, has 40 KiB."""

_SECTION: Final = b".modinfo"


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """What a module says of itself.

    Attributes:
        fields: keys and values in the order of the file.
    """

    fields: tuple[tuple[str, str], ...]

    def values(self, key: str) -> tuple[str, ...]:
        """All values of a key, such as ``firmware`` or ``alias``."""
        return tuple(value for name, value in self.fields if name == key)

    def value(self, key: str) -> str:
        """The first value of a key; empty if there is none."""
        return next(iter(self.values(key)), "")

    @property
    def name(self) -> str:
        """The module's name; empty for modules of kernels before 4.13."""
        return self.value("name")

    @property
    def vermagic(self) -> str:
        """The kernel it was built for, and how that was configured."""
        return self.value("vermagic")

    @property
    def depends(self) -> tuple[str, ...]:
        """Names of the modules that have to be loaded before it."""
        return tuple(filter(None, self.value("depends").split(",")))

    @property
    def firmware(self) -> tuple[str, ...]:
        """Firmware it says it may ask for; patterns among them."""
        return self.values("firmware")


def parse(blob: Blob) -> ModuleInfo:
    """Read a module.

    Raises:
        LimitError: a part of it is larger than this module's and `elf`'s limits.
        FormatError: it is no ELF file, damaged, or has no ``.modinfo``.
    """
    section = elf.read_section(blob, _SECTION, max_size=MAX_SECTION)
    if section is None:
        raise FormatError("not a kernel module: it has no .modinfo section")
    return ModuleInfo(tuple(_fields(section)))


def _fields(section: bytes) -> list[tuple[str, str]]:
    lines = (line.decode("utf-8", "backslashreplace") for line in section.split(b"\0") if line)
    pairs = (line.partition("=") for line in lines)
    return [(key, value) for key, separator, value in pairs if separator]


def module_name(file_name: bytes) -> bytes | None:
    """The name of the module in a file, None for a file that is no module.

    ``-`` and ``_`` are the same in it (kmod's ``modname_normalize``); suffixes of compressed ones
    are those kmod knows.
    """
    name = file_name
    for suffix in (b".gz", b".xz", b".zst"):
        name = name.removesuffix(suffix)
    plain = name.removesuffix(b".ko")
    return plain.replace(b"-", b"_") if plain not in (b"", name) else None


def fits(module: str, kernel: str) -> bool:
    """Whether a kernel with the one vermagic takes a module with the other.

    Linux' ``same_magic`` (``kernel/module/version.c``): with ``modversions`` the release, the first
    word, does not count, since each symbol has a checksum of its own.
    """
    if "modversions" in module.split() and "modversions" in kernel.split():
        return module.partition(" ")[2] == kernel.partition(" ")[2]
    return module == kernel
