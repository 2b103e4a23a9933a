"""Which files an archive was made of, when all there is of it is a digest.

The digest of an archive hides its files: one byte, one name or one file more or less changes it
altogether. What probably happened is near to what was approved, though. So the archives that the
stub would have made of the approved files with one or two changes are computed, as far as their
contents are at hand, until one has that digest: files missing, added, renamed, replaced by other
versions, or in another order. Prefixes that they share are hashed once (`sysgraft.seal.hashing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Final

from sysgraft.measure.sidecars import KINDS
from sysgraft.seal.archive_candidates import ENTRY_EVENTS, Packer
from sysgraft.seal.archive_trial import Budget, Trial
from sysgraft.seal.spelling import spellings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.measure.sidecars import Kind
    from sysgraft.seal.archive_candidates import Files
    from sysgraft.seal.known import AtHand

MAX_SUBSETS: Final = 12
"""Files of which every subset is tried; of more, those without one or two of them."""
MAX_ORDERS: Final = 5
"""Files of which every order is tried."""
_MAX_NAMES: Final = 64
"""Other names that are tried for a file, and likely ones for an added one."""

_KIND: Final = {kind.event: kind for kind in KINDS}
_ENTRY: Final = "Entry "


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search came to.

    Attributes:
        files: what the archive was made of; None if that was not found.
        tried: archives that were computed.
        complete: whether all archives with up to two changes were among them.
    """

    files: Files | None
    tried: int
    complete: bool


def kind_of(text: str) -> Kind | None:
    """The kind of archive that the stub's log calls so; None for systemd-boot's and others."""
    return _KIND.get(text)


def is_entry_archive(text: str) -> bool:
    """Whether it is one of systemd-boot's archives, by what the log calls it.

    Their files are numbered together: each archive depends on all files that the entry lists.
    """
    return text.startswith(_ENTRY)


def search(
    targets: Mapping[str, bytes],
    bases: Sequence[Files],
    at_hand: AtHand,
    *,
    bank: str,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Look for the files of an archive, or of all archives of a boot entry.

    Args:
        targets: digests by what the log calls the archive, such as ``System extension initrd``:
            one of the stub's, or all of systemd-boot's.
        bases: what the search begins from, the closest first; for systemd-boot's archives all
            files that the entry lists.
        at_hand: contents to try.
        bank: of the digests.
        budget: what it may cost, of which it takes what it does; None for all that one may.
        progress: told of the bytes hashed.
    """
    kind = kind_of(next(iter(targets)))
    if kind is None and not ENTRY_EVENTS.issuperset(targets):
        return Outcome(None, 0, complete=False)
    packer = Packer(kind, at_hand)
    trial = Trial(packer, targets, bank, budget=budget or Budget(), progress=progress)
    near = Neighbours(packer, at_hand)
    found: Files | None = None
    for round_ in _rounds([*bases, *near.everything()], near):
        found = trial.run(round_)
        if found is not None or trial.is_exhausted:
            break
    if found is None:
        found = trial.run_dear()
    complete = not (trial.is_exhausted or trial.is_cut)
    return Outcome(found, trial.count, complete=complete)


# --- Which archives ------------------------------------------------------------------------------


def _rounds(bases: Sequence[Files], near: Neighbours) -> Iterator[Iterable[Files]]:
    """The nearest first: as approved, one change, another order, many missing, two changes."""
    yield bases
    yield (base[:place] + base[place + 1 :] for base in bases for place in range(len(base)))
    yield (each for base in bases for each in near.of(base, likely=True))
    yield (each for base in bases for each in near.of(base))
    yield (each for base in bases for each in _orders(base))
    yield (each for base in bases for each in _subsets(base))
    yield _twice(bases, near, likely=True)
    yield _twice(bases, near, likely=False)


def _twice(bases: Sequence[Files], near: Neighbours, *, likely: bool) -> Iterator[Files]:
    for base in bases:
        for once in near.of(base, likely=True):
            yield from near.of(once, likely=likely)
    if not likely:
        for base in bases:
            for once in near.of(base):
                yield from near.of(once)


def _orders(base: Files) -> Iterator[Files]:
    return permutations(base) if len(base) <= MAX_ORDERS else iter(())


def _subsets(base: Files) -> Iterator[Files]:
    most = len(base) if len(base) <= MAX_SUBSETS else 2
    for count in range(2, most + 1):
        for gone in combinations(base, count):
            yield tuple(each for each in base if each not in gone)


class Neighbours:
    """The sets of files that are one change away from another one."""

    def __init__(self, packer: Packer, at_hand: AtHand) -> None:
        self._packer = packer
        self._at_hand = at_hand
        self._names = tuple(name for name in sorted(at_hand.named) if packer.takes(name))

    def of(self, base: Files, *, likely: bool = False) -> Iterator[Files]:
        """All of them; or only the likely ones: no file at random under any name."""
        names = {name for name, _ in base}
        for place, (name, content) in enumerate(base):
            yield base[:place] + base[place + 1 :]
            for other in self._versions(name, likely=likely):
                if other != content:
                    yield self._sorted((*base[:place], (name, other), *base[place + 1 :]))
            for spelled in self._spellings(name, base):
                if spelled not in names:
                    yield self._sorted((*base[:place], (spelled, content), *base[place + 1 :]))
        for name, content in self._additions(likely=likely):
            if name not in names:
                yield from self._packer.with_one_more(base, name, content)

    def everything(self) -> Iterator[Files]:
        """All known files together, where the stub decides their order and they are not many."""
        if self._packer.is_sorted and len(self._names) <= _MAX_NAMES:
            named = self._at_hand.named
            yield self._sorted(tuple((name, named[name][0]) for name in self._names))

    def _sorted(self, files: Files) -> Files:
        return self._packer.in_order(files)

    def _versions(self, name: str, *, likely: bool) -> Iterator[bytes]:
        """Contents for a name: those that lie under it somewhere, then any."""
        yield from self._at_hand.named.get(name, ())
        if not likely:
            for other in self._names:
                yield from self._at_hand.named[other]

    def _spellings(self, name: str, base: Files) -> Iterator[str]:
        names = [*(each for each, _ in base), *self._names]
        found = (each for each in spellings(name, names) if self._packer.takes(each))
        yield from dict.fromkeys(each for each, _ in zip(found, range(_MAX_NAMES), strict=False))

    def _additions(self, *, likely: bool) -> Iterator[tuple[str, bytes]]:
        for name in self._names:
            for content in self._at_hand.named[name]:
                yield name, content
        if not likely:
            for name in self._names:
                for content in self._at_hand.named[name]:
                    for spelled in self._spellings(name, ()):
                        yield spelled, content
