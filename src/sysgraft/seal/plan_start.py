"""How one combination of files starts, as far as signatures for it are a matter of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, KeyMaterialError
from sysgraft.formats import bls
from sysgraft.measure import boot as measure_boot
from sysgraft.sign.pcr_public import from_pem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.measure.boot import Boot
    from sysgraft.measure.events import Event
    from sysgraft.seal.binding import Binding
    from sysgraft.seal.plan_entries import PlanEntry

_IDENTIFIED_SINCE: Final = 257
"""The first release whose stub sets StubImageIdentifier."""
_UNCOUNTED_SINCE: Final = 255
"""Before, the folder has the boot counter in its name, which systemd-boot's variables have not."""


@dataclass(frozen=True, slots=True)
class Start:
    """One combination as it starts.

    Attributes:
        image: path of the UKI; empty if it cannot start.
        problem: why it cannot.
        version: of its stub.
        systemd: release of the systemd in its initrd.
        is_image_known: whether the script that collects signatures learns which image it was.
        signatures: the content of its ``.pcrsig``, and what the file is called in a message.
        public_key: the content of its ``.pcrpkey``.
        boot: what is measured; None if it cannot start.
        events: until the kernel runs.
    """

    image: str = ""
    problem: str = ""
    version: int = 0
    systemd: int = 0
    is_image_known: bool = True
    signatures: tuple[str, bytes] = ("", b"")
    public_key: bytes = b""
    boot: Boot | None = None
    events: tuple[Event, ...] = ()

    def values(self, path: str, bank: str, pcrs: Sequence[int]) -> dict[int, bytes]:
        """The PCRs at the end of a phase path."""
        if self.boot is None:
            raise ValueError("what cannot start measures nothing")
        return measure_boot.values(self.events, self.boot, path, bank, pcrs=pcrs)


def is_image_known(entry: PlanEntry, image: str, *, version: int, has_loader: bool) -> bool:
    """Whether the script learns which image was started (`sysgraft.seal.early`, booted_image).

    The stub says it since 257. For older ones the boot loader tells the name of the entry, which is
    that of the image for the first profile of one in ``EFI/Linux`` only. Characters that are no
    ASCII get lost.

    Args:
        entry: the boot entry.
        image: path of what it starts.
        version: of the stub.
        has_loader: whether a boot loader runs before it.
    """
    if not image.isascii():
        return False
    if version >= _IDENTIFIED_SINCE:
        return True
    if version < _UNCOUNTED_SINCE and has_loader and bls.split_counter(image).left is not None:
        return False
    return not entry.is_config and not (has_loader and entry.profile)


def with_key(bindings: Sequence[Binding], starts: Iterable[Start]) -> tuple[Binding, ...]:
    """Bindings without a key get the one that all images have."""
    keys = {start.public_key for start in starts if start.public_key}
    if len(keys) != 1:
        return tuple(bindings)
    try:
        key = from_pem(next(iter(keys)))
    except (InputError, KeyMaterialError):
        return tuple(bindings)
    return tuple(each if each.key else replace(each, key=key) for each in bindings)
