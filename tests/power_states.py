"""The disks that a power cut could leave, made of what was written and when it was flushed.

A state is not copied: it is the first image, with other sectors here and there. A disk keeps what
it had finished before the last flush; of what came later each sector is there or not, whatever the
order. FUA writes are there as soon as they are finished. What it does not imagine: a write that is
torn within a sector, a disk that loses what it has flushed, and two flushes that overlap.
"""

from __future__ import annotations

import mmap
import os
import random
from hashlib import blake2b
from itertools import chain, pairwise, product
from typing import TYPE_CHECKING, Final, NamedTuple

from power_log import SECTOR, Event, Flush, Mark, Write
from sysgraft.base.blob import SubBlob, check_range
from sysgraft.formats.esp import find_esp

if TYPE_CHECKING:
    from collections.abc import Iterator, KeysView, Sequence
    from pathlib import Path

    from sysgraft.base.blob import Blob

# Up to so many sectors a write is taken apart sector by sector, one after the other.
_SMALL: Final = 8
# Of that many pieces, evenly chosen, each one is tried alone, missing, and as the last one.
_MOST: Final = 96
_CHUNK: Final = 1 << 20


def copy_sparse(source: int, target: int, start: int, size: int) -> None:
    """Copy a part of a file, without its holes."""
    os.ftruncate(target, size)
    place, end = start, start + size
    while place < end:
        try:
            place = os.lseek(source, place, os.SEEK_DATA)
        except OSError:  # nothing but holes
            return
        behind = min(os.lseek(source, place, os.SEEK_HOLE), end)
        while place < behind:
            data = os.pread(source, min(_CHUNK, behind - place), place)
            os.pwrite(target, data, place - start)
            place += len(data)


# --- Parts ---------------------------------------------------------------------------------------


class Part(NamedTuple):
    """Events between two marks: ``events[first:behind]``."""

    name: str
    first: int
    behind: int


def split_by_marker(events: Sequence[Event]) -> dict[str, Part]:
    """The parts that marks begin, by name; what comes before the first one is ``""``."""
    marks = [(at, each.name) for at, each in enumerate(events) if isinstance(each, Mark)]
    starts = [(0, ""), *((at + 1, name) for at, name in marks)]
    ends = [*(at for at, _ in marks), len(events)]
    parts = {name: Part(name, first, end) for (first, name), end in zip(starts, ends, strict=True)}
    if len(parts) != len(starts):
        raise ValueError("two marks have the same name")
    return parts


# --- States --------------------------------------------------------------------------------------


class _Piece(NamedTuple):
    """A sector that was written.

    Attributes:
        event: which write it belongs to.
        sector: where it is.
        data: what is written.
        token: stands for sector and data.
    """

    event: int
    sector: int
    data: bytes
    token: int


def _token(sector: int, data: bytes) -> int:
    digest = blake2b(data, digest_size=16, salt=sector.to_bytes(16, "little")).digest()
    return int.from_bytes(digest, "little")


class _Disk:
    """A disk's first content, and all that was written to it later.

    Attributes:
        path: the image.
        base: its bytes.
        pieces: what each write wrote, by the number of the event.
        keys: for each event, what stands for the whole disk before it; one more for the end.
    """

    def __init__(self, path: Path, events: Sequence[Event]) -> None:
        with open(path, "rb") as file:
            self.base = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.path = path
        self.pieces: dict[int, list[_Piece]] = {}
        self.keys = [0]
        self._history: dict[int, list[_Piece]] = {}
        for number, event in enumerate(events):
            pieces = list(_pieces(number, event)) if isinstance(event, Write) else []
            self.pieces[number] = pieces
            self.keys.append(self.keys[-1])
            for piece in pieces:
                self.keys[-1] ^= self.token(piece.sector, number) ^ piece.token
                self._history.setdefault(piece.sector, []).append(piece)

    def written(self, sector: int, before: int) -> _Piece | None:
        """What was last written to a sector before an event."""
        history = self._history.get(sector, ())
        return next((each for each in reversed(history) if each.event < before), None)

    def token(self, sector: int, before: int) -> int:
        """Stands for what is in a sector before an event."""
        piece = self.written(sector, before)
        if piece is not None:
            return piece.token
        return _token(sector, self.base[sector * SECTOR : (sector + 1) * SECTOR])

    def sectors(self) -> KeysView[int]:
        """All that were ever written."""
        return self._history.keys()


def _pieces(number: int, write: Write) -> Iterator[_Piece]:
    for at in range(0, len(write.data), SECTOR):
        sector, data = write.sector + at // SECTOR, write.data[at : at + SECTOR]
        yield _Piece(number, sector, data, _token(sector, data))


class State:
    """A disk as a power cut leaves it: a blob that is not copied.

    Attributes:
        label: how it came about.
        key: equal for equal disks.
    """

    __slots__ = ("_changes", "_disk", "_durable", "key", "label")

    def __init__(
        self, disk: _Disk, durable: int, changes: dict[int, bytes], *, label: str, key: int
    ) -> None:
        self._disk = disk
        self._durable = durable
        self._changes = changes
        self.label = label
        self.key = key

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._disk.base)

    def read_at(self, offset: int, length: int) -> bytes:
        """See `Blob.read_at`."""
        check_range(self, offset, length)
        first, behind = offset // SECTOR, -(-(offset + length) // SECTOR)
        data = bytearray(self._disk.base[first * SECTOR : behind * SECTOR])
        for sector in range(first, behind):
            changed = self._changed(sector)
            if changed is not None:
                at = (sector - first) * SECTOR
                data[at : at + SECTOR] = changed
        start = offset - first * SECTOR
        return bytes(data[start : start + length])

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `Blob.readinto_at`."""
        view[:] = self.read_at(offset, len(view))

    @property
    def volume(self) -> Blob:
        """Its EFI system partition."""
        return find_esp(self)

    def write_volume_to(self, path: Path) -> None:
        """Write its EFI system partition alone to a file with holes."""
        volume = self.volume
        assert isinstance(volume, SubBlob)
        self.write_to(path, offset=volume._start, size=volume.size)

    def _changed(self, sector: int) -> bytes | None:
        found = self._changes.get(sector)
        if found is None:
            piece = self._disk.written(sector, self._durable)
            found = piece.data if piece else None
        return found

    def write_to(self, path: Path, *, offset: int = 0, size: int | None = None) -> None:
        """Write it, or a part of it, to a file with holes."""
        size = self.size - offset if size is None else size
        check_range(self, offset, size)
        with open(self._disk.path, "rb") as source, open(path, "wb") as target:
            copy_sparse(source.fileno(), target.fileno(), offset, size)
            for sector in self._disk.sectors():
                data, place = self._changed(sector), sector * SECTOR - offset
                if data is not None and 0 <= place < size:
                    os.pwrite(target.fileno(), data, place)


class Recording:
    """What was written to a disk, and when it was flushed.

    Args:
        initial: the image as it was before.
        events: what was done, in the order in which the disk finished it.

    Attributes:
        events: likewise.
        parts: by name, see `split_by_marker`.
    """

    def __init__(self, initial: Path, events: Sequence[Event]) -> None:
        self.events = tuple(events)
        self.parts = split_by_marker(self.events)
        self._disk = _Disk(initial, self.events)

    def state_before(self, part: str) -> State:
        """The disk at the beginning of a part, everything written."""
        return self._state(self.parts[part].first, f"before {part}")

    def state_after(self, part: str) -> State:
        """The disk at the end of a part, everything written."""
        return self._state(self.parts[part].behind, f"after {part}")

    def states(self, part: str, *, sample: int = 64, seed: int = 0) -> Iterator[State]:
        """What power cuts during a part could leave, each disk once.

        Args:
            part: its name.
            sample: so many combinations of what is not flushed are tried at random, for each flush.
            seed: of the random numbers.
        """
        seen: set[int] = set()
        rng = random.Random(f"{part} {seed}")
        for number, (first, behind) in enumerate(self.epochs(part)):
            for state in self._epoch(first, behind, rng, sample):
                if state.key not in seen:
                    seen.add(state.key)
                    state.label = f"{part} {number}: {state.label}"
                    yield state

    def epochs(self, part: str) -> list[tuple[int, int]]:
        """Events between which nothing is flushed.

        What was not flushed at the end of an earlier part belongs to the first ones.
        """
        _, first, behind = self.parts[part]
        flushes = [at for at, event in enumerate(self.events[:behind]) if isinstance(event, Flush)]
        before = [at for at in flushes if at < first][-1:] or [0]
        borders = [*before, *(at for at in flushes if at >= first), behind]
        return list(pairwise(borders))

    def _state(self, durable: int, label: str) -> State:
        return State(self._disk, durable, {}, label=label, key=self._disk.keys[durable])

    def _epoch(self, first: int, behind: int, rng: random.Random, sample: int) -> Iterator[State]:
        key = self._disk.keys[first]
        fua = [
            piece
            for event in range(first, behind)
            if isinstance(write := self.events[event], Write) and write.fua
            for piece in self._disk.pieces[event]
        ]
        for label, chosen, cut in _choices(self._units(first, behind), rng, sample):
            kept = {piece.sector: piece for piece in _with(chosen, fua, cut)}
            changed = key
            for sector, piece in kept.items():
                changed ^= self._disk.token(sector, first) ^ piece.token
            changes = {sector: piece.data for sector, piece in kept.items()}
            yield State(self._disk, first, changes, label=label, key=changed)

    def _units(self, first: int, behind: int) -> list[_Unit]:
        """What is written or not: sectors, or a large write as a whole."""
        units: list[_Unit] = []
        for event in range(first, behind):
            pieces = self._disk.pieces[event]
            if len(pieces) > _SMALL:
                units.append(tuple(pieces))
            else:
                units.extend((piece,) for piece in pieces)
        return units


_Unit = tuple[_Piece, ...]
# How it came about, what is written, and before which event the power failed.
_Choice = tuple[str, list[_Piece], int]


def _with(chosen: list[_Piece], fua: list[_Piece], cut: int) -> list[_Piece]:
    """What is written beside what had to be, in order."""
    forced = [piece for piece in fua if piece.event < cut]
    return sorted({*chosen, *forced}, key=lambda piece: piece.event) if forced else chosen


def _choices(units: list[_Unit], rng: random.Random, sample: int) -> Iterator[_Choice]:
    yield "nothing", [], 0
    if not units:
        return
    end = units[-1][-1].event + 1
    if 1 << min(len(units), 32) <= sample:
        for mask in product((False, True), repeat=len(units)):
            chosen = [unit for unit, taken in zip(units, mask, strict=True) if taken]
            yield f"{sum(mask)} of {len(units)}", list(chain(*chosen)), end
        return
    yield from _systematic(units, end)
    for number in range(sample):
        yield f"random {number}", _random(units, rng), end


def _systematic(units: list[_Unit], end: int) -> Iterator[_Choice]:
    """Everything; each one alone, missing, and as the last one."""
    yield "everything", list(chain(*units)), end
    step = max(1, -(-len(units) // _MOST))
    for at in range(0, len(units), step):
        unit = units[at]
        name = f"{unit[0].sector}+{len(unit)}"
        yield f"only {name}", [*unit], unit[0].event
        yield f"all but {name}", list(chain(*units[:at], *units[at + 1 :])), end
        yield f"up to {name}", list(chain(*units[: at + 1])), unit[0].event


def _random(units: list[_Unit], rng: random.Random) -> list[_Piece]:
    """Some of it; now and then large writes are torn, too."""
    share, torn = rng.random(), rng.random() < 0.5
    chosen: list[_Piece] = []
    for unit in units:
        if torn and rng.random() < 0.5:
            chosen += (piece for piece in unit if rng.random() < share)
        elif rng.random() < share:
            chosen += unit
    return chosen
