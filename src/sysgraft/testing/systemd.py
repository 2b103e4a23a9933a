"""systemd without a machine: what it has merged is a dictionary, and refreshing follows a rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import ToolError
from sysgraft.host.systemd import Hierarchy

if TYPE_CHECKING:
    from collections.abc import Callable

    from sysgraft.formats.extension_release import Kind


class FakeSystemd:
    """Implements `sysgraft.host.systemd.Systemd`.

    Args:
        finds: names of the images that a refresh of a kind merges; without it nothing ever is.

    Attributes:
        names: what is merged, by kind.
        refreshed: the kinds it was asked to merge anew, in their order.
        failure: what it answers to everything; empty if it works.
    """

    def __init__(self, finds: Callable[[Kind], list[str]] | None = None) -> None:
        self._finds = finds
        self.names: dict[Kind, tuple[str, ...]] = {}
        self.refreshed: list[Kind] = []
        self.failure = ""

    def merged(self, kind: Kind) -> tuple[Hierarchy, ...]:
        """See `Systemd.merged`."""
        self._fail()
        return (Hierarchy("/usr", self.names.get(kind, ())), Hierarchy("/opt", ()))

    def refresh(self, kind: Kind) -> None:
        """See `Systemd.refresh`."""
        self.refreshed.append(kind)
        self._fail()
        if self._finds is not None:
            self.names[kind] = tuple(self._finds(kind))

    def _fail(self) -> None:
        if self.failure:
            raise ToolError(self.failure)
