"""Plan which firmware machines need: each file with who needs it and on what evidence."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import InputError, UsageError
from sysgraft.firmware import early
from sysgraft.firmware.kernel_view import KernelView
from sysgraft.firmware.names import Names
from sysgraft.firmware.needs import Needs, fleet
from sysgraft.firmware.plan_document import (
    File,
    Link,
    Plan,
    Reason,
    Totals,
    Unresolved,
)
from sysgraft.firmware.rules.optional import optional_note
from sysgraft.firmware.terms import TermsOf
from sysgraft.firmware.tree_view import TreeView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.firmware.index import Entry, Index, Kernel
    from sysgraft.firmware.inventory import Machine
    from sysgraft.firmware.needs import Fleet, Need
    from sysgraft.firmware.plan_document import Level, When

MAX_REASONS: Final = 64
"""Reasons that are given for a file; a fleet may have thousands of devices for one."""
MAX_NOTED: Final = 40
"""Modules that are named in one note."""

_EVIDENCE: Final = ("observed", "rule", "declared", "metainfo", "whence")  # the surest first


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """How to plan.

    Attributes:
        level: see `sysgraft.firmware.plan_document.Level`.
        name: of the class of machines.
        modaliases: of further devices.
        early: kinds of `sysgraft.firmware.early.KINDS` that are needed before the merge.
    """

    level: Level = "driver"
    name: str = ""
    modaliases: Sequence[str] = ()
    early: frozenset[str] = early.DEFAULT


class Planner:
    """An index made ready: what takes time is done once.

    Args:
        index: what there is.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._tree = TreeView(index.entries)
        self._kernels = {kernel.release: KernelView(kernel) for kernel in index.kernels}
        self._names = {
            release: Names(view, self._tree, index.licenses)
            for release, view in self._kernels.items()
        }
        self._terms = TermsOf(index)
        files = [entry for entry in index.entries if not entry.target]
        self._all = (len(files), sum(entry.size for entry in files))

    def plan(
        self,
        machines: Sequence[Machine],
        options: PlanOptions | None = None,
        *,
        files: Sequence[str] = (),
    ) -> Plan:
        """Make a plan.

        Args:
            machines: one, or a fleet that gets one set of firmware.
            options: how.
            files: what the machines' inventories are called, for messages.

        Raises:
            UsageError: there is neither a machine nor a modalias.
            InputError: a machine's architecture is none of the index' kernels'.
            LimitError: a modalias is too long.
        """
        options = options or PlanOptions()
        if not machines and not options.modaliases:
            raise UsageError(
                "nothing to plan for", hint="give inventories (firmware scan) or modaliases"
            )
        kernels = self._kernels_for(machines, files)
        hardware = fleet(machines, options.modaliases)
        draft = _Draft(options)
        for kernel in kernels:
            names = self._names[kernel.release]
            needs = Needs(self._kernels[kernel.release], names, options.level)
            for need in needs.of(hardware):
                draft.add(need)
            draft.whole.update(needs.whole)
        return self._document(draft, kernels, machines, hardware)

    def _kernels_for(self, machines: Sequence[Machine], files: Sequence[str]) -> list[Kernel]:
        """The kernels of the machines' architecture."""
        if not self._index.kernels:
            raise InputError(
                "the index has no kernel", hint="make it with --kernel-tree: firmware index"
            )
        wanted = {machine.architecture for machine in machines if machine.architecture}
        known = {kernel.architecture for kernel in self._index.kernels if kernel.architecture}
        for number, machine in enumerate(machines):
            if known and machine.architecture and machine.architecture not in known:
                raise InputError(
                    f"the machine is {machine.architecture}, the index has a kernel for "
                    f"{' and '.join(sorted(known))} only",
                    file=files[number] if number < len(files) else "",
                    hint="index the kernel that machine boots",
                )
        return [
            kernel
            for kernel in self._index.kernels
            if not wanted or not kernel.architecture or kernel.architecture in wanted
        ]

    def _document(
        self,
        draft: _Draft,
        kernels: Sequence[Kernel],
        machines: Sequence[Machine],
        hardware: Fleet,
    ) -> Plan:
        files = tuple(self._file(draft, path) for path in sorted(draft.files))
        architectures = {kernel.architecture for kernel in kernels}
        return Plan(
            name=draft.options.name,
            level=draft.options.level,
            architecture=architectures.pop() if len(architectures) == 1 else "",
            kernels=tuple(kernel.release for kernel in kernels),
            machines=len(machines),
            files=files,
            links=tuple(draft.link(path) for path in sorted(draft.links)),
            licenses=self._terms.files(files),
            unresolved=tuple(draft.unresolved()),
            notes=tuple(self._notes(draft, hardware)),
            totals=self._totals(files),
        )

    def _file(self, draft: _Draft, path: str) -> File:
        entry = draft.files[path]
        self._confirm(draft, path)
        why = draft.early.get(path, "")
        return File(
            path=path,
            size=entry.size,
            when="early" if why else "late",
            reasons=draft.reasons_for(path),
            early=why,
            sha256=entry.sha256.hex(),
            license=self._terms.of(path),
            tree=entry.tree,
        )

    def _confirm(self, draft: _Draft, path: str) -> None:
        """Packages that say a file is for a device that asks for it."""
        for name, device in draft.asked_for(path):
            package = self._terms.confirms(path, device)
            if package:
                draft.confirm(path, Reason(name, "metainfo", "low", "", device, package))

    def _totals(self, files: Iterable[File]) -> Totals:
        sizes: dict[When, list[int]] = {"early": [], "late": []}
        for file in files:
            sizes[file.when].append(file.size)
        early_, late = sizes["early"], sizes["late"]
        return Totals(
            files=len(early_) + len(late),
            size=sum(early_) + sum(late),
            early_files=len(early_),
            early_size=sum(early_),
            late_files=len(late),
            late_size=sum(late),
            all_files=self._all[0],
            all_size=self._all[1],
        )

    def _notes(self, draft: _Draft, hardware: Fleet) -> Iterable[str]:
        if draft.options.level == "device" and draft.whole:
            names = sorted(draft.whole)
            rest = f" and {len(names) - MAX_NOTED} more" if len(names) > MAX_NOTED else ""
            yield (
                "neither a rule nor an observation for their devices, taken whole: "
                f"{', '.join(names[:MAX_NOTED])}{rest}"
            )
        if draft.more_reasons:
            yield f"files with more than {MAX_REASONS} reasons: {draft.more_reasons}"
        yield from self._terms.notes(hardware.devices, draft.devices)
        for kernel in self._index.kernels:
            yield from (f"kernel {kernel.release}: {each}" for each in kernel.problems)


class _Draft:
    """A plan in the making."""

    def __init__(self, options: PlanOptions) -> None:
        self.options = options
        self.files: dict[str, Entry] = {}
        self.links: dict[str, Entry] = {}
        self.early: dict[str, str] = {}
        self.whole: dict[str, str] = {}
        self.devices: set[str] = set()
        self.more_reasons = 0
        self._reasons: dict[str, dict[Reason, None]] = defaultdict(dict)
        self._missing: dict[str, dict[str, str]] = defaultdict(dict)

    def add(self, need: Need) -> None:
        """Take a need in."""
        ask = need.ask
        self.devices.add(need.device)
        if ask.found is None:
            self._missing[ask.name][ask.module] = ask.evidence
            return
        path = ask.found.entry.path
        self.files[path] = ask.found.entry
        why = early.reason(need.kind, self.options.early)
        for each in (path, *(link.path for link in ask.found.links)):
            if why:
                self.early.setdefault(each, why)
        self.links.update((link.path, link) for link in ask.found.links)
        self._reasons[path][_reason(need)] = None

    def asked_for(self, path: str) -> list[tuple[str, str]]:
        """Names a file is asked for by, each with a device that does."""
        pairs = {(reason.name, reason.device): None for reason in self._reasons[path]}
        return [pair for pair in pairs if pair[1]]

    def confirm(self, path: str, reason: Reason) -> None:
        """Take a further reason in for a file of the plan."""
        self._reasons[path][reason] = None

    def reasons_for(self, path: str) -> tuple[Reason, ...]:
        """The reasons of a file, the surest first."""
        found = sorted(self._reasons[path], key=_rank)
        self.more_reasons += len(found) > MAX_REASONS
        return tuple(found[:MAX_REASONS])

    def link(self, path: str) -> Link:
        """A link, as the document has it."""
        entry = self.links[path]
        return Link(path, entry.target, "early" if path in self.early else "late", entry.tree)

    def unresolved(self) -> Iterable[Unresolved]:
        """Names without a file, sorted."""
        for name in sorted(self._missing):
            modules: Mapping[str, str] = self._missing[name]
            evidence = min(modules.values(), key=_EVIDENCE.index)
            yield _unresolved(name, tuple(sorted(filter(None, modules))), evidence)


def _unresolved(name: str, modules: tuple[str, ...], evidence: str) -> Unresolved:
    note = optional_note(name)
    return Unresolved(
        name=name,
        modules=modules,
        evidence=evidence,  # type: ignore[arg-type]  # it came from an ask
        optional=bool(note),
        note=note,
    )


def _reason(need: Need) -> Reason:
    ask = need.ask
    return Reason(ask.name, ask.evidence, ask.confidence, ask.module, need.device, ask.source)


def _rank(reason: Reason) -> tuple[int, str, str, str]:
    return _EVIDENCE.index(reason.evidence), reason.module, reason.device, reason.name
