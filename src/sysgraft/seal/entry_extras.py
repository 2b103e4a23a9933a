"""What a boot entry lists as ``extra``: packed and measured by systemd-boot before the stub runs.

UAPI.1 (Boot Loader Specification), systemd-boot(7), since v261; ``src/boot/boot.c`` (load_extras).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import LimitError
from sysgraft.formats import stub_archive
from sysgraft.measure.boot import Packed
from sysgraft.measure.sidecars import KINDS, MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.formats.stub_archive import Step
    from sysgraft.measure.sidecars import Kind
    from sysgraft.seal.hashing import Digests, Hashing
    from sysgraft.seal.material import Source

MAX_FILE: Final = 1536 << 20
"""Bytes of one file; systemd-boot passes a larger one over."""
SINCE: Final = 261
_KIND: Final = {kind.name: kind for kind in KINDS}
# Suffix, kind, and what the event log says; in the order in which they are measured.
_EXTRAS: Final = (
    (".cred", _KIND["credentials"], "Entry credentials initrd"),
    (".sysext.raw", _KIND["sysext"], "Entry system extension initrd"),
    (".confext.raw", _KIND["confext"], "Entry configuration extension initrd"),
)


class _Group(NamedTuple):
    kind: Kind
    event: str
    steps: list[Step]
    names: list[str]


class Extras:
    """The archives of a boot entry, on their way to be hashed."""

    def __init__(self, groups: Sequence[tuple[_Group, Digests]]) -> None:
        self._groups = groups

    def packed(self) -> tuple[Packed, ...]:
        """The archives, once everything is hashed."""
        return tuple(
            Packed(group.kind, group.event, digests, tuple(group.names))
            for group, digests in self._groups
        )


def pack_extras(sources: Sequence[Source], version: int, hashing: Hashing) -> Extras:
    """Pack the files that systemd-boot takes, in the order of the entry.

    Raises:
        LimitError: a file that it would pass over for its size.
    """
    if version < SINCE:
        return Extras(())
    groups = {suffix: _Group(kind, event, [], []) for suffix, kind, event in _EXTRAS}
    numbers = stub_archive.Numbers()
    for each in sources:
        suffix = _suffix(each.name)
        if suffix is None or not each.blob.size:
            continue
        if each.blob.size > MAX_FILE:
            raise LimitError(f"more than {MAX_FILE} bytes in one file", file=each.label)
        file = stub_archive.File(each.name, each.blob.size, each.label)
        group = groups[suffix]
        group.steps.append(stub_archive.pack_extra(group.kind.folder, file, numbers))
        group.names.append(each.name)
    contents = {each.label: each.blob for each in sources}
    return Extras(
        [
            (group, hashing.archive(group.steps, contents))
            for group in groups.values()
            if group.steps
        ]
    )


def _suffix(name: str) -> str | None:
    """Which kind of file it is; None if systemd-boot does not take it."""
    if not name.isascii() or len(name) > MAX_NAME:
        return None
    return next((suffix for suffix, _, _ in _EXTRAS if name.lower().endswith(suffix)), None)
