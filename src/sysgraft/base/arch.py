"""Names of processor architectures: one spelling inside, many accepted.

The spelling kept is the one of partition names and ``ARCHITECTURE=`` lines: systemd's
(``x86-64``, ``arm64``). Accepted beside it are systemd's own aliases (``src/shared/gpt.c``), what
``uname -m`` prints, Debian's and rpm's names and the GOARCH names that container images carry. Only
architectures with partition types in the Discoverable Partitions Specification are known. It does
not tell which architecture this machine has.
"""

from __future__ import annotations

from typing import Final

from sysgraft.errors import UsageError

# Canonical name, then the others.
_NAMES: Final = """
alpha
arc
arm          arm       armv5tel armv6l armv7l armv7hl armv8l armel armhf arm/v5 arm/v6 arm/v7
arm64        arm64     aarch64 arm64/v8
ia64
loongarch64  loong64
mips         mips
mips-le      mipsle    mipsel
mips64       mips64
mips64-le    mips64le  mips64el
parisc       hppa
ppc          ppc       powerpc
ppc64        ppc64
ppc64-le     ppc64le   ppc64el
riscv32      riscv
riscv64      riscv64
s390         s390
s390x        s390x
tilegx
x86          386       i386 i486 i586 i686
x86-64       amd64     x86_64
"""

_ROWS: Final = tuple(line.split() for line in _NAMES.strip().splitlines())
_CANONICAL: Final = {name: row[0] for row in _ROWS for name in row}

DEFAULT: Final = "x86-64"
"""What is meant where nobody says: the field's tools build for it by default."""

KNOWN: Final[tuple[str, ...]] = tuple(row[0] for row in _ROWS)
"""Every architecture, in systemd's spelling, sorted."""


def normalize(name: str) -> str:
    """The systemd spelling of `name`, which may be Docker-like (``linux/amd64``).

    Raises:
        UsageError: no architecture has that name.
    """
    canonical = _CANONICAL.get(name.strip().lower().removeprefix("linux/"))
    if canonical is None:
        raise UsageError(f"unknown architecture {name!r}", hint=f"known: {', '.join(KNOWN)}")
    return canonical
