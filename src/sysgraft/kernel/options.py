"""How a kernel is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from sysgraft.kernel.naming import Layout

When = Literal["keep", "once", "now"]
"""Whether a kernel becomes the default: not by itself, if it has come up once, or at once."""
WHENS: Final[tuple[When, ...]] = ("keep", "once", "now")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOptions:
    """How a kernel is installed.

    Attributes:
        version: of it; empty for what the image says.
        layout: ``uki`` in ``EFI/Linux``, ``bls`` for an entry of type #1; ``auto`` is what the
            image is.
        extras: files that go beside the UKI, besides those in the folder beside the image.
        initrds: of an entry of type #1, in order.
        cmdline: of an entry of type #1; empty for the system's (`sysgraft.kernel.classic`).
        tries: how often it may be tried before it counts as bad; None without counting.
        boot_entry: whether the firmware gets an entry for it.
        shim: path of shim on the partition, which such an entry starts instead and tells it.
        title: of entries; empty for what os-release says.
        default: whether it is started from now on, or once and then if it came up.
        keep: how many versions stay; None removes none.
        verify: whether an image is refused that the firmware would not start.
    """

    version: str = ""
    layout: Layout = "auto"
    extras: tuple[str, ...] = ()
    initrds: tuple[str, ...] = ()
    cmdline: str = ""
    tries: int | None = None
    boot_entry: bool = False
    shim: str = ""
    title: str = ""
    default: When = "keep"
    keep: int | None = None
    verify: bool = True
