"""From what a module asks for to files of the firmware tree.

Declared names, ladders of them, globs and rules of `sysgraft.firmware.rules` become files here; a
name that no tree has stays, without a file.
"""

from __future__ import annotations

import re
from fnmatch import translate
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.firmware.rules import tables
from sysgraft.firmware.tree_view import is_glob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sysgraft.firmware.index import License
    from sysgraft.firmware.kernel_view import KernelView
    from sysgraft.firmware.plan_document import Confidence, Evidence
    from sysgraft.firmware.rules.model import Rule
    from sysgraft.firmware.tree_view import Found, TreeView

_LADDERS = [(each, re.compile(each.name)) for each in tables.LADDERS]


class Ask(NamedTuple):
    """A name that is asked for.

    Attributes:
        name: as the driver has it, never a glob where a file was found.
        module: that asks; empty where nobody knows.
        evidence: see `sysgraft.firmware.plan_document`.
        confidence: likewise.
        source: likewise.
        found: the file; None if no tree has it.
    """

    name: str
    module: str
    evidence: Evidence
    confidence: Confidence
    source: str
    found: Found | None


class Names:
    """What the modules of a kernel ask for.

    Args:
        kernel: the kernel.
        tree: the firmware there is.
        licenses: what WHENCE says; its drivers are tried for modules that nothing else is known of.
    """

    def __init__(self, kernel: KernelView, tree: TreeView, licenses: Iterable[License]) -> None:
        self._kernel = kernel
        self._tree = tree
        self._undeclared: dict[str, list[Rule]] = {}
        for rule in tables.MODULE_RULES:
            for module in rule.modules:
                self._undeclared.setdefault(module, []).append(rule)
        self._whence: dict[str, list[str]] = {}
        for each in licenses:
            for driver in each.drivers:
                self._whence.setdefault(driver.replace("-", "_"), []).extend(each.paths)
        self._by_module: dict[str, tuple[Ask, ...]] = {}
        self._by_rule: dict[tuple[str, frozenset[str]], tuple[Ask, ...]] = {}

    def of_module(self, name: str) -> tuple[Ask, ...]:
        """Everything a module may ask for, for whatever device."""
        if name not in self._by_module:
            asks = [*self._declared(name), *self._ruled(name)]
            self._by_module[name] = tuple(asks or self._from_whence(name))
        return self._by_module[name]

    def shared(self, name: str) -> tuple[Ask, ...]:
        """What a module asks for on behalf of the system and not of a device."""
        rules = [rule for rule in self._undeclared.get(name, ()) if rule.shared]
        return self.of_module(name) if rules else ()

    def observed(self, name: str, module: str) -> Ask:
        """A name that a machine loaded."""
        found = self._tree.ask(name, self._kernel.release)
        return Ask(name, module, "observed", "certain", "", found)

    def given(self, pattern: str, source: str, confidence: Confidence = "high") -> list[Ask]:
        """A name, or a glob over files, that something other than a module gives."""
        names = self._expanded(pattern) or (() if is_glob(pattern) else (pattern,))
        return [self._ask(name, "", "rule", confidence, source) for name in names]

    def of_rule(self, rule: Rule, family: frozenset[str]) -> tuple[Ask, ...]:
        """What a rule asks for on behalf of the modules of a family it speaks for."""
        modules = [module for module in rule.modules if module in family]
        key = (rule.what, frozenset(modules))
        if key not in self._by_rule:
            self._by_rule[key] = tuple(self._applied(rule, modules))
        return self._by_rule[key]

    def _declared(self, name: str) -> Iterator[Ask]:
        for asked in self._kernel.modules[name].firmware:
            if not is_glob(asked):
                yield self._ask(asked, name, "declared", "medium", "")
                continue
            names = self._expanded(asked)
            for each in names or (asked,):
                yield self._ask(each, name, "declared", "medium", "")

    def _ask(
        self, name: str, module: str, evidence: Evidence, confidence: Confidence, source: str
    ) -> Ask:
        """A name, or the highest one below it that exists where a driver counts down."""
        found = self._tree.ask(name, self._kernel.release)
        if found is None and module:
            for lower, ladder_source in _lower(module, name):
                found = self._tree.ask(lower, self._kernel.release)
                if found is not None:
                    return Ask(lower, module, "rule", confidence, ladder_source, found)
        return Ask(name, module, evidence, confidence, source, found)

    def _ruled(self, name: str) -> Iterator[Ask]:
        for rule in self._undeclared.get(name, ()):
            yield from self._applied(rule, [name])

    def _from_whence(self, name: str) -> Iterator[Ask]:
        for path in self._whence.get(name, ()):
            yield self._ask(path, name, "whence", "low", "WHENCE")

    def _applied(self, rule: Rule, modules: list[str]) -> Iterator[Ask]:
        for asks in rule.asks:
            yield from self._first(asks.split("|"), rule, modules)

    def _first(self, alternatives: list[str], rule: Rule, modules: list[str]) -> list[Ask]:
        """Asks of the first alternative that has a file, else of the first that has a name."""
        missed: list[Ask] = []
        for alternative in alternatives:
            asks = list(self._alternative(alternative, rule, modules))
            if any(ask.found for ask in asks):
                return asks
            missed = missed or asks
        return missed

    def _alternative(self, text: str, rule: Rule, modules: list[str]) -> Iterator[Ask]:
        if text.startswith("+"):
            for name in self._expanded(text[1:]):
                yield self._ask(name, modules[0], "rule", rule.confidence, rule.source)
            return
        matches = re.compile(translate(text)).fullmatch
        for module in modules:
            for asked in self._kernel.modules[module].firmware:
                names = self._expanded(asked) if is_glob(asked) else (asked,)
                for name in filter(matches, names):
                    yield self._ask(name, module, "rule", rule.confidence, rule.source)

    def _expanded(self, pattern: str) -> tuple[str, ...]:
        return self._tree.expand(pattern, self._kernel.release)


def _lower(module: str, name: str) -> Iterator[tuple[str, str]]:
    """Names a driver tries below `name`, and where that is known from."""
    for ladder, expression in _LADDERS:
        match = expression.fullmatch(name)
        if ladder.module == module and match:
            start, end = match.span(1)
            for number in range(int(match[1]) - 1, ladder.lowest - 1, -1):
                yield f"{name[:start]}{number}{name[end:]}", ladder.source
