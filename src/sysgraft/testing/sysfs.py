"""A machine's files without a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.host.sysfs import ATTRIBUTE_MAX, MAX_LINKS

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeSysfs:
    """Files held in memory; implements `sysgraft.host.sysfs.Sysfs`.

    Args:
        files: contents by path, without a leading slash; folders are there with their files.
        links: targets by path, relative to the link's folder, or absolute.
        source: what messages call them.
    """

    def __init__(
        self,
        files: Mapping[str, bytes | str],
        links: Mapping[str, str] | None = None,
        source: str = "fake sysfs",
    ) -> None:
        self._files = {
            path: data.encode() if isinstance(data, str) else data for path, data in files.items()
        }
        self._links = dict(links or {})
        self._source = source
        self._folders = {""}
        for path in (*self._files, *self._links):
            parts = path.split("/")
            self._folders |= {"/".join(parts[:depth]) for depth in range(len(parts))}

    @property
    def source(self) -> str:
        """What messages call them."""
        return self._source

    def names(self, path: str) -> list[str]:
        """See `Sysfs.names`."""
        place = self._reach(path)
        if place is None or place not in self._folders:
            return []
        lead = f"{place}/" if place else ""
        below = (*self._files, *self._links, *self._folders)
        found = {
            p[len(lead) :].partition("/")[0] for p in below if p.startswith(lead) and p != place
        }
        return sorted(found - {""})

    def read(self, path: str, limit: int = ATTRIBUTE_MAX) -> bytes | None:
        """See `Sysfs.read`."""
        place = self._reach(path)
        data = None if place is None else self._files.get(place)
        return None if data is None else data[:limit]

    def resolve(self, path: str) -> str | None:
        """See `Sysfs.resolve`."""
        place = self._reach(path)
        return place if place in self._folders or place in self._files else None

    def _reach(self, path: str) -> str | None:
        reached: list[str] = []
        names = path.split("/")[::-1]
        links = 0
        while names:
            name = names.pop()
            if name == "..":
                del reached[-1:]
            elif name not in ("", "."):
                target = self._links.get("/".join([*reached, name]))
                if target is None:
                    reached.append(name)
                    continue
                links += 1
                if links > MAX_LINKS:
                    return None
                reached = [] if target.startswith("/") else reached
                names += target.split("/")[::-1]
        return "/".join(reached)
