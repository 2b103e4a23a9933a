"""A kernel's modules as modprobe sees them: which a device wants, and what each brings along."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from sysgraft.firmware.closure import closure
from sysgraft.formats.alias_table import AliasTable
from sysgraft.formats.modules_index import underscored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.firmware.index import Kernel, Module


class KernelView:
    """A kernel of an index.

    Args:
        kernel: the kernel.

    Attributes:
        release: of the kernel.
        modules: by name; of several files with one name those outside of ``kernel/`` count, as
            depmod has it (``updates`` before the rest).
    """

    def __init__(self, kernel: Kernel) -> None:
        self.release = kernel.release
        self.modules: dict[str, Module] = {}
        for module in kernel.modules:
            known = self.modules.get(module.name)
            if known is None or known.path.startswith("kernel/") or not known.path:
                self.modules[module.name] = module
        own = ((p, m.name) for m in self.modules.values() for p in m.aliases)
        self._aliases = AliasTable([*own, *kernel.aliases])
        self._needed = {m.name: m.depends for m in self.modules.values()}
        self._add(self._needed, kernel.depends)
        soft = {m.name: m.soft + m.weak for m in self.modules.values()}
        self._add(soft, kernel.soft)
        self._add(soft, kernel.weak)
        self._along = {
            name: self._needed[name] + self._named(names) if names else self._needed[name]
            for name, names in soft.items()
        }
        self._families: dict[str, frozenset[str]] = {}

    @staticmethod
    def _add(to: dict[str, tuple[str, ...]], more: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        for name, names in more:
            if name in to:
                to[name] += names

    def _named(self, names: Iterable[str]) -> tuple[str, ...]:
        """Modules that softdep and weakdep mean: by their names, or by an alias."""
        found = ((name,) if name in self.modules else self._aliases.look_up(name) for name in names)
        return tuple(chain.from_iterable(found))

    def wanted_by(self, modalias: str) -> tuple[str, ...]:
        """Names of the modules whose aliases match, built-in ones among them."""
        return tuple(name for name in self._aliases.look_up(modalias) if name in self.modules)

    def needed(self, name: str) -> frozenset[str]:
        """A module and what has to be loaded before it."""
        return frozenset(closure((name,), self._needed))

    def family(self, name: str) -> frozenset[str]:
        """A module and all that is loaded along with it, softly and weakly too."""
        name = underscored(name)
        if name not in self._families:
            reached = closure((name,), self._along) if name in self.modules else set()
            self._families[name] = frozenset(each for each in reached if each in self.modules)
        return self._families[name]
