"""What the files of a kernel are called on the boot partition: ``TOKEN-VERSION[+LEFT[-DONE]]``.

UAPI.1 and kernel-install(8): a UKI is ``EFI/Linux/NAME.efi``, an entry of type #1
``loader/entries/NAME.conf``, whose kernel and initrds lie in ``TOKEN/VERSION``.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from sysgraft.errors import UsageError
from sysgraft.formats import bls

Layout = Literal["auto", "uki", "bls"]
"""How a kernel lies there: as a UKI, as an entry of type #1; ``auto`` is what it is."""
UKIS: Final = "EFI/Linux"
ENTRIES: Final = "loader/entries"
UKI: Final = ".efi"
ENTRY: Final = ".conf"
MAX_NAME: Final = 255
"""UTF-16 units of a name on FAT."""
MAX_TRIES: Final = 2**31 - 1
_VERSION: Final = re.compile(r"[A-Za-z0-9._+~@,=^-]{1,100}")
"""Kernels print up to 64 characters (``__NEW_UTS_LEN``), and packages do not add others."""


class KernelName(NamedTuple):
    """A name.

    Attributes:
        token: entry token.
        version: of the kernel, as ``uname -r`` prints it.
    """

    token: str
    version: str

    @property
    def stem(self) -> str:
        """Without counter and suffix."""
        return f"{self.token}-{self.version}"

    @property
    def folder(self) -> str:
        """Where the kernel and the initrds of an entry of type #1 lie."""
        return f"{self.token}/{self.version}"

    def file(self, suffix: str, tries: int | None = None) -> str:
        """The name of its file.

        Args:
            suffix: `UKI` or `ENTRY`.
            tries: how often it may be tried before it counts as bad; None without counting.
        """
        counter = "" if tries is None else f"+{tries}"
        return f"{self.stem}{counter}{suffix}"

    def is_file(self, name: str, suffix: str) -> bool:
        """Whether a file name is its own, whatever counter it has."""
        return bls.split_counter(name).name.casefold() == f"{self.stem}{suffix}".casefold()


def kernel_name(token: str, version: str) -> KernelName:
    """The names of a kernel.

    Raises:
        UsageError: a file cannot have that name; or a boot loader would take a part of the version
            for a counter.
    """
    name = KernelName(token, version)
    if not _VERSION.fullmatch(version) or version.startswith("."):
        raise UsageError(
            f"no kernel has the version {version!r}",
            hint="give --kernel-version as uname -r has it",
        )
    longest = name.file(ENTRY, MAX_TRIES) + "-2147483647"
    if len(longest.encode("utf-16-le")) // 2 > MAX_NAME:
        raise UsageError(f"{name.stem}: too long for the name of a boot entry")
    if bls.split_counter(f"{name.stem}{UKI}").left is not None:
        raise UsageError(f"{name.stem}: boot loaders would take the end of it for a boot counter")
    return name


def check_tries(tries: int | None) -> None:
    """Raise `UsageError` for a number of tries that is none."""
    if tries is not None and not 0 < tries <= MAX_TRIES:
        raise UsageError(f"{tries} tries; 1 to {MAX_TRIES} are possible")
