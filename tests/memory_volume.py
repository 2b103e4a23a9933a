"""A partition in memory, for what reads changing partitions."""

from __future__ import annotations

from dataclasses import dataclass, field

from sysgraft.base.blob import BytesBlob
from sysgraft.measure.sidecars import Entry


@dataclass
class Memory:
    """A partition in memory."""

    files: dict[str, bytes]
    name: str = "memory"
    opened: list[str] = field(default_factory=list)

    def entries(self, folder: str) -> tuple[Entry, ...]:
        start = f"{folder}/" if folder else ""
        inside = [each.removeprefix(start) for each in self.files if each.startswith(start)]
        return tuple(sorted({Entry(each.partition("/")[0], "/" in each) for each in inside}))

    def find(self, path: str) -> str | None:
        return path if path in self.files else None

    def open(self, path: str) -> BytesBlob:
        self.opened.append(path)
        return BytesBlob(self.files[path])

    def label(self, path: str) -> str:
        return f"{self.name}:{path}"
