"""Hashes archives by the thousand until some have the wanted digests, within stated limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sysgraft.seal.hashing import Hashing

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.formats.stub_archive import Step
    from sysgraft.seal.archive_candidates import Files, Packer
    from sysgraft.seal.hashing import Digests

MAX_CANDIDATES: Final = 20_000
"""Archives of all searches together; those of boot entries take twice the time, and count twice."""
MAX_WORK: Final = 8 << 30
"""Bytes that are hashed at most; what archives of one search have in common counts once."""
MAX_EFFORT: Final = 1 << 20
"""Files of all sets that are looked at, those included of which a content is not at hand."""
_DEAR: Final = 64 << 20
"""Bytes that make an archive wait until all cheaper ones were tried."""
_BATCH: Final = 1000
_BATCH_STEPS: Final = 1 << 18


@dataclass(slots=True)
class Budget:
    """What searches may still cost.

    Attributes:
        candidates: archives.
        work: bytes to hash.
        effort: files to look at.
    """

    candidates: int = field(default_factory=lambda: MAX_CANDIDATES)
    work: int = field(default_factory=lambda: MAX_WORK)
    effort: int = field(default_factory=lambda: MAX_EFFORT)

    def take(self, parts: int) -> Budget:
        """One of so many equal parts, taken away from it."""
        part = Budget(self.candidates // parts, self.work // parts, self.effort // parts)
        self._add(part, -1)
        return part

    def put_back(self, part: Budget) -> None:
        """Add what is left of a part."""
        self._add(part, 1)

    def _add(self, part: Budget, sign: int) -> None:
        self.candidates += sign * part.candidates
        self.work += sign * part.work
        self.effort += sign * part.effort


class Trial:
    """Computes archives until some have the digests, or the limits are reached.

    Large files must not use up the limits before the cheap archives were tried: dear ones wait
    until `run_dear`.

    Attributes:
        count: archives that were hashed.
        is_exhausted: whether there were too many to look at more.
        is_cut: whether some were left out.
    """

    def __init__(
        self,
        packer: Packer,
        targets: Mapping[str, bytes],
        bank: str,
        *,
        budget: Budget,
        progress: Progress | None,
    ) -> None:
        self._packer = packer
        self._targets = targets
        self._bank = bank
        self._budget = budget
        self._progress = progress
        self._seen: set[Files] = set()
        self._dear: list[Files] = []
        self.count = 0
        self.is_exhausted = False
        self.is_cut = False

    def run(self, candidates: Iterable[Files]) -> Files | None:
        """The first of them that has the digests, dear ones left aside."""
        return self._run(self._packable(candidates), dear_too=False)

    def run_dear(self) -> Files | None:
        """The first that has the digests of those that were left aside."""
        waiting, self._dear = self._dear, []
        candidates = ((files, self._packer.archives(files)) for files in waiting)
        return self._run(candidates, dear_too=True)

    def _run(
        self, candidates: Iterable[tuple[Files, dict[str, tuple[Step, ...]]]], *, dear_too: bool
    ) -> Files | None:
        batch: list[tuple[Files, dict[str, tuple[Step, ...]]]] = []
        tree = _Tree()
        for files, archives in candidates:
            cost = sum(map(tree.cost, archives.values()))
            if cost > _DEAR and not dear_too:
                self._dear.append(files)
                continue
            if cost > self._budget.work:
                self.is_cut = True
                continue
            self._budget.work -= cost
            self.count += len(archives)
            for steps in archives.values():
                tree.add(steps)
            batch.append((files, archives))
            if len(batch) == _BATCH or tree.size > _BATCH_STEPS:
                found = self._hash(batch)
                if found is not None:
                    return found
                batch, tree = [], _Tree()
        return self._hash(batch)

    def _packable(
        self, candidates: Iterable[Files]
    ) -> Iterator[tuple[Files, dict[str, tuple[Step, ...]]]]:
        """Those that give archives of the wanted kinds, until there are too many."""
        for files in self._new(candidates):
            archives = self._packer.archives(files)
            price = len(archives) * self._packer.price
            if price > self._budget.candidates:
                self.is_exhausted = True
                return
            # Those of other kinds have cost as much.
            self._budget.candidates -= price
            if archives.keys() == self._targets.keys():
                yield files, archives

    def _new(self, candidates: Iterable[Files]) -> Iterator[Files]:
        """Those that were not tried before, until it becomes too many to look at."""
        for files in candidates:
            self._budget.effort -= len(files) + 1
            if self._budget.effort < 0:
                self._budget.effort = 0
                self.is_exhausted = True
                return
            if files not in self._seen:
                self._seen.add(files)
                yield files

    def _hash(self, batch: Sequence[tuple[Files, dict[str, tuple[Step, ...]]]]) -> Files | None:
        hashing = Hashing((self._bank,), self._progress)
        waiting: list[tuple[Files, list[tuple[bytes, Digests]]]] = []
        for files, archives in batch:
            made = []
            for text, steps in archives.items():
                blobs = {step.key: self._packer.blob(key_of(step)) for step in steps}
                made.append((self._targets[text], hashing.archive(steps, blobs)))
            waiting.append((files, made))
        if waiting:
            hashing.run()
        for files, made in waiting:
            if all(digests[self._bank] == wanted for wanted, digests in made):
                return files
        return None


def key_of(step: Step) -> bytes:
    """The SHA-256 of a step's content."""
    assert isinstance(step.key, bytes)  # noqa: S101  for the type checker
    return step.key


class _Tree:
    """Tells how many bytes an archive adds to those that `Hashing` has to go through anyway."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, bytes, Hashable], int] = {}

    @property
    def size(self) -> int:
        """How many steps there are."""
        return len(self._nodes)

    def cost(self, steps: Sequence[Step]) -> int:
        """The bytes that an archive would add."""
        work, node = 0, 0
        for step in steps:
            node = self._nodes.get((node, step.head, step.key), -1)
            work += step.size + len(step.head) if node < 0 else 0
        return work

    def add(self, steps: Sequence[Step]) -> None:
        """Add an archive."""
        node = 0
        for step in steps:
            node = self._nodes.setdefault((node, step.head, step.key), len(self._nodes) + 1)
