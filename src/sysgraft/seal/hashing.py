"""Hashes everything a prediction needs, on all cores, with every state of a hash used again.

Archives of several sets of files begin alike. What they have in common is hashed once: all archives
together are a tree of steps, a set is a path in it, and each node continues from a copy of its
parent's state. The nodes of one depth that continue with the same file are fed together, so that
the file is read once for all of them. Hashing large pieces releases the interpreter lock, so
threads are enough. The method and what it saves are described in docs/reference/shared-prefixes.md.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sysgraft.base.progress import NoProgress
from sysgraft.errors import LimitError
from sysgraft.formats.authenticode_digest import compute
from sysgraft.formats.stub_archive import TRAILER
from sysgraft.host.parallel import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from sysgraft.base.blob import Blob
    from sysgraft.base.progress import Progress
    from sysgraft.formats.authenticode_digest import Coverage
    from sysgraft.formats.stub_archive import Step

MAX_NODES: Final = 1 << 20
"""Steps of all archives that have no prefix in common: each is the state of a hash for every bank,
some 500 bytes."""
CHUNK: Final = 256 << 10
"""Bytes read at a time: what many states are fed in turn should stay in the processor's cache."""
# A core gets several portions of work, so that none is idle while another is busy for long.
_PORTIONS: Final = 4

Digests = dict[str, bytes]
"""By bank."""


@dataclass(slots=True)
class _Node:
    """A step behind all the steps that lead to it."""

    step: Step
    parent: _Node | None
    children: dict[tuple[bytes, Hashable], _Node] = field(default_factory=dict)
    states: dict[str, hashlib._Hash] = field(default_factory=dict)


class _Whole(NamedTuple):
    """One thing to be hashed by itself."""

    size: int
    work: Callable[[], None]


class Hashing:
    """Takes what is to be hashed, and then hashes it.

    Args:
        banks: names of the hash algorithms.
        progress: told of the bytes hashed, once for each bank.
    """

    def __init__(self, banks: Sequence[str], progress: Progress | None = None) -> None:
        self._banks = tuple(banks)
        self._progress = progress or NoProgress()
        self._wholes: list[_Whole] = []
        self._levels: list[list[_Node]] = []
        self._roots: dict[tuple[bytes, Hashable], _Node] = {}
        self._ends: list[tuple[_Node | None, bytes, Digests]] = []
        self._contents: dict[Hashable, Blob] = {}
        self._known: dict[Hashable, Digests] = {}
        self._held: list[Blob] = []
        self._count = 0

    @property
    def banks(self) -> tuple[str, ...]:
        """The names of the hash algorithms."""
        return self._banks

    def blob(self, blob: Blob, banks: Sequence[str] = (), *, key: Hashable = None) -> Digests:
        """Digests of all of `blob`, there once `run` is through; asked for twice, hashed once.

        Args:
            blob: what is hashed.
            banks: other algorithms than the usual ones.
            key: stands for the content, where several blobs have the same.
        """
        wanted = tuple(banks) or self._banks
        name = ("blob", id(blob) if key is None else key, wanted)
        found = self._known.get(name)
        if found is None:
            found = self._remember(name, blob, wanted)
            for bank in wanted:
                self._wholes.append(
                    _Whole(blob.size, lambda bank=bank: self._whole(blob, bank, found))  # type: ignore[misc]
                )
        return found

    def _remember(self, name: Hashable, blob: Blob, banks: Sequence[str]) -> Digests:
        """Digests to be filled; the blob is kept, so that no other one gets its ``id()``."""
        self._held.append(blob)
        found: Digests = dict.fromkeys(banks, b"")
        self._known[name] = found
        return found

    def executable(self, blob: Blob, covered: Coverage) -> Digests:
        """The digests that firmware measures of an executable; otherwise as `blob`."""
        name = ("executable", id(blob))
        known = self._known.get(name)
        if known is not None:
            return known
        found = self._remember(name, blob, self._banks)
        size = sum(length for _, length in covered.ranges)
        for bank in self._banks:
            self._wholes.append(
                _Whole(size, lambda bank=bank: self._executable(blob, covered, bank, found))  # type: ignore[misc]
            )
        return found

    def archive(
        self, steps: Iterable[Step], contents: Mapping[Any, Blob], tail: bytes = TRAILER
    ) -> Digests:
        """Digests of an archive, there once `run` is through.

        Args:
            steps: its parts.
            contents: what the keys of the steps stand for.
            tail: the bytes at its end.

        Raises:
            LimitError: all archives together have more than `MAX_NODES` steps.
        """
        node: _Node | None = None
        children = self._roots
        for depth, step in enumerate(steps):
            key = (step.head, step.key)
            found = children.get(key)
            if found is None:
                found = children[key] = self._new_node(step, node, depth)
                self._contents[step.key] = contents[step.key]
            node, children = found, found.children
        digests: Digests = {}
        self._ends.append((node, tail, digests))
        return digests

    def _new_node(self, step: Step, parent: _Node | None, depth: int) -> _Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise LimitError(f"more than {MAX_NODES} different beginnings of archives")
        if depth == len(self._levels):
            self._levels.append([])
        node = _Node(step, parent)
        self._levels[depth].append(node)
        return node

    @property
    def work(self) -> int:
        """Bytes that `run` will hash."""
        nodes = sum(node.step.size for level in self._levels for node in level)
        return sum(each.size for each in self._wholes) + nodes * len(self._banks)

    def run(self) -> None:
        """Hash all of it.

        Raises:
            InputError: a file cannot be read, or is shorter than it was.
        """
        self._progress.start("hashing", self.work)
        workers = cores()
        with ThreadPoolExecutor(workers) as pool:
            try:
                wholes = sorted(self._wholes, key=lambda each: each.size, reverse=True)
                waiting = [pool.submit(each.work) for each in wholes]
                for level in self._levels:
                    _settle(pool.submit(each) for each in self._portions(level, workers))
                _settle(waiting)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        for node, tail, digests in self._ends:
            digests.update(self._end(node, tail))
        self._wholes.clear()
        self._ends.clear()
        self._levels.clear()
        self._roots.clear()
        self._progress.finish()

    def _portions(self, level: Sequence[_Node], workers: int) -> list[Callable[[], None]]:
        """The work of one depth in pieces of about the same size, the largest first."""
        groups: dict[Hashable, list[tuple[_Node, str]]] = {}
        for node in level:
            for bank in self._banks:
                groups.setdefault(node.step.key, []).append((node, bank))
        total = sum(node.step.size for node in level) * len(self._banks)
        most = total // (workers * _PORTIONS) + 1
        found: list[tuple[int, Callable[[], None]]] = []
        for members in groups.values():
            size = members[0][0].step.size
            each = max(1, min(len(members), most // max(size, 1)))
            for start in range(0, len(members), each):
                part = members[start : start + each]
                found.append((size * len(part), lambda part=part: self._feed(part)))  # type: ignore[misc]
        return [work for _, work in sorted(found, key=lambda each: each[0], reverse=True)]

    def _feed(self, members: Sequence[tuple[_Node, str]]) -> None:
        """Continue the states of nodes that all go on with the same content."""
        states = [_state(node, bank) for node, bank in members]
        step = members[0][0].step
        blob = self._contents[step.key]
        view = memoryview(bytearray(min(CHUNK, step.size)))
        for start in range(0, step.size, CHUNK):
            piece = view[: min(CHUNK, step.size - start)]
            blob.readinto_at(start, piece)
            for state in states:
                state.update(piece)
            self._progress.advance(len(piece) * len(states))
        for (node, bank), state in zip(members, states, strict=True):
            state.update(step.padding)
            node.states[bank] = state

    def _end(self, node: _Node | None, tail: bytes) -> Digests:
        found = {}
        for bank in self._banks:
            state = node.states[bank].copy() if node else hashlib.new(bank)
            state.update(tail)
            found[bank] = state.digest()
        return found

    def _whole(self, blob: Blob, bank: str, found: Digests) -> None:
        state = hashlib.new(bank)
        view = memoryview(bytearray(min(CHUNK, blob.size)))
        for start in range(0, blob.size, CHUNK):
            piece = view[: min(CHUNK, blob.size - start)]
            blob.readinto_at(start, piece)
            state.update(piece)
            self._progress.advance(len(piece))
        found[bank] = state.digest()

    def _executable(self, blob: Blob, covered: Coverage, bank: str, found: Digests) -> None:
        found |= compute(blob, covered, [bank], advance=self._progress.advance)


def _state(node: _Node, bank: str) -> hashlib._Hash:
    """The parent's state, and the bytes before the content."""
    state = node.parent.states[bank].copy() if node.parent else hashlib.new(bank)
    state.update(node.step.head)
    return state


def _settle(futures: Iterable[Future[None]]) -> None:
    """Wait for all of them; raises what one of them raised."""
    for future in list(futures):
        future.result()
