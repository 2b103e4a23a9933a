"""Under which terms files may be passed on, and which packages say they are for a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.firmware.plan_document import Terms
from sysgraft.formats import firmware_file
from sysgraft.formats.alias_table import AliasTable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sysgraft.firmware.index import Index
    from sysgraft.firmware.needs import Hardware
    from sysgraft.firmware.plan_document import File

_FIRMWARE = "usr/lib/firmware"


class TermsOf:
    """What an index says of terms: WHENCE where there is one, else the package a file is from."""

    def __init__(self, index: Index) -> None:
        self._packages = index.packages
        self._trees = {entry.path: entry.tree for entry in index.entries}
        self._table: AliasTable | None = None
        self._text: dict[str, str] = {}
        self._files: dict[str, tuple[str, ...]] = {}
        self._package: dict[str, str] = {}
        for package in index.packages:
            for name in package.firmware:
                self._text[name] = self._package[name] = package.name
                if package.copyright:
                    self._files[name] = (package.copyright,)
        for each in index.licenses:
            files = tuple(f"{_FIRMWARE}/{name}" for name in each.files)
            for path in each.paths:
                self._text[path] = each.text
                self._files[path] = files

    def of(self, path: str) -> str:
        """What is said of a file; empty for nothing."""
        return self._text.get(path) or self._text.get(_name(path), "")

    def files(self, files: Iterable[File]) -> tuple[Terms, ...]:
        """Files with the terms of files, sorted."""
        found: dict[str, int] = {}
        for file in files:
            for path in self._files.get(file.path) or self._files.get(_name(file.path), ()):
                tree = self._trees.get(path.removeprefix(f"{_FIRMWARE}/"), file.tree)
                found.setdefault(path, tree)
        return tuple(Terms(path, found[path]) for path in sorted(found))

    def packages_for(self, modalias: str) -> tuple[str, ...]:
        """Packages that say they are for a device."""
        if self._table is None:
            pairs = ((pattern, each.name) for each in self._packages for pattern in each.modaliases)
            self._table = AliasTable(pairs)
        return self._table.look_up(modalias)

    def confirms(self, path: str, modalias: str) -> str:
        """The package that has a file and says it is for a device; empty if there is none."""
        package = self._package.get(path) or self._package.get(_name(path), "")
        return package if package in self.packages_for(modalias) else ""

    def notes(self, devices: Iterable[Hardware], served: Collection[str]) -> Iterator[str]:
        """Devices no module asks anything for, although a package says it is for them."""
        found: dict[str, list[str]] = {}
        for device in devices:
            if device.modalias not in served:
                for package in self.packages_for(device.modalias):
                    found.setdefault(package, []).append(device.modalias)
        for package, modaliases in sorted(found.items()):
            yield (
                f"{package} says it is for {modaliases[0]}, no module of the kernel asks for it"
                + (f" (and {len(modaliases) - 1} more)" if len(modaliases) > 1 else "")
            )


def _name(path: str) -> str:
    return firmware_file.split_text(path)[0]
