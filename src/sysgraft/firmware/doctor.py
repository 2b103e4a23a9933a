"""Which device lacks which firmware, where that is at hand, and what to do about it.

Joins an inventory with what is at hand (`sysgraft.firmware.shelves`), and holds what the kernel
says it loaded to the files that are there. It changes nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sysgraft.errors import FormatError, InputError
from sysgraft.firmware.search import Reach
from sysgraft.firmware.verdicts import Verdict, judge
from sysgraft.formats import firmware_file
from sysgraft.formats.allowance import Allowance, Limits
from sysgraft.formats.compression import Compression, Decompressor
from sysgraft.formats.stream import CHUNK, BlobSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.base.tree import Inode
    from sysgraft.firmware.inventory import Loaded, Machine
    from sysgraft.firmware.search import Located, Place
    from sysgraft.firmware.shelves import Shelf
    from sysgraft.firmware.verdicts import Need

Action = Literal["reprobe", "install", "build", "repair", "find"]
"""What helps: probing again, installing an extension, making one, making files usable, looking."""
Match = Literal["match", "differs", "unknown"]

FIRMWARE_MAX: Final = 1 << 30
"""Bytes of one file's content; the largest in linux-firmware has some 60 MB."""
# Good firmware of nothing but zeros, such as empty slots, is small.
_LIMITS: Final = Limits(output=FIRMWARE_MAX, free=64 << 20, ratio=200)
_COMPRESSIONS: Final = {b".zst": Compression.ZSTD, b".xz": Compression.XZ}


class Answer(NamedTuple):
    """What there is of a name.

    Attributes:
        located: files at hand.
        package: that has the file, as metainfo files tell; empty where none does.
    """

    located: Located
    package: str


class Finding(NamedTuple):
    """Something a device lacks.

    Attributes:
        need: what.
        answers: for each of its names.
        action: what to do.
    """

    need: Need
    answers: tuple[Answer, ...]
    action: Action

    @property
    def place(self) -> Place | None:
        """The file that would be taken: of the first name that is at hand."""
        return next((each.located.taken for each in self.answers if each.located.taken), None)


class Attested(NamedTuple):
    """A file the kernel says it loaded, held to what is at hand.

    Attributes:
        loaded: what it says.
        match: whether the file it would load now has that content.
        place: the file with that content, or else the one it would load now.
        problem: why nobody knows; empty otherwise.
    """

    loaded: Loaded
    match: Match
    place: Place | None
    problem: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, and what is not.

    Attributes:
        findings: what devices lack.
        passed: missed files that do not matter.
        attested: files that were loaded, with a digest.
        notes: what limits the diagnosis.
    """

    findings: tuple[Finding, ...]
    passed: tuple[Need, ...]
    attested: tuple[Attested, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings and all(each.match != "differs" for each in self.attested)


def diagnose_firmware(machine: Machine, shelves: Sequence[Shelf] = ()) -> Diagnosis:
    """Tell what the devices of a machine lack, and where that is.

    Args:
        machine: an inventory, with what its log tells.
        shelves: firmware at hand, in the order of layers, the lowest first: the machine's own,
            then the extensions it could have.
    """
    work = _Diagnosing(machine, shelves)
    needs = judge(machine)
    return Diagnosis(
        tuple(work.finding(need) for need in needs if need.verdict is Verdict.MISSING),
        tuple(need for need in needs if need.verdict is not Verdict.MISSING),
        tuple(work.attested()),
        tuple(_notes(machine)),
    )


class _Diagnosing:
    def __init__(self, machine: Machine, shelves: Sequence[Shelf]) -> None:
        self._machine = machine
        self._reach = Reach(shelves, machine.kernel)
        self._packages = {name: pkg for each in shelves for name, pkg in each.packages.items()}
        # An inventory may name one file a million times.
        self._digests: dict[Inode | None, str] = {}

    def finding(self, need: Need) -> Finding:
        answers = tuple(
            Answer(self._reach.find(name), self._packages.get(name, "")) for name in need.names
        )
        return Finding(need, answers, _action(answers))

    def attested(self) -> Iterator[Attested]:
        for loaded in self._machine.loaded:
            if loaded.sha256:
                yield self._attest(loaded)

    def _attest(self, loaded: Loaded) -> Attested:
        located = self._reach.find(loaded.name)
        if located.taken is None:
            return Attested(loaded, "unknown", None, "no file of that name is at hand")
        problem = ""
        for place in (located.taken, *located.others):
            try:
                same = self._digest(place) == loaded.sha256
            except (FormatError, InputError) as error:
                problem = problem or f"{place.path} of {place.shelf.label}: {error.message}"
                continue
            if same:
                return Attested(loaded, "match" if place is located.taken else "differs", place, "")
        if problem:
            return Attested(loaded, "unknown", None, problem)
        return Attested(loaded, "differs", located.taken, "")

    def _digest(self, place: Place) -> str:
        """As `_digest_of`; each file is read once."""
        if place.inode not in self._digests:
            self._digests[place.inode] = _digest_of(place)
        return self._digests[place.inode]


def _action(answers: Sequence[Answer]) -> Action:
    taken = next((each.located.taken for each in answers if each.located.taken), None)
    if taken is None:
        return "repair" if any(each.located.unusable for each in answers) else "find"
    actions: dict[str, Action] = {"host": "reprobe", "extension": "install", "folder": "build"}
    return actions[taken.shelf.kind]


def _digest_of(place: Place) -> str:
    """SHA-256 of what a driver gets of a file: uncompressed, as the kernel counts it.

    Raises:
        FormatError: it cannot be decompressed, or grows beyond `FIRMWARE_MAX`.
        InputError: it cannot be read.
    """
    content = place.inode.content if place.inode else None
    if content is None:
        raise InputError("not a regular file")
    suffix = firmware_file.SUFFIXES[firmware_file.split(place.path.encode())[1]]
    source: BlobSource | Decompressor = BlobSource(content)
    if suffix:
        source = Decompressor(source, _COMPRESSIONS[suffix], Allowance(_LIMITS))
    state = hashlib.sha256()
    while data := source.read(CHUNK):
        state.update(data)
    return state.hexdigest()


def _notes(machine: Machine) -> Iterator[str]:
    if machine.firmware_path:
        yield (
            f"firmware_class.path is {machine.firmware_path}: what is there comes first, and was "
            "not looked at"
        )
    if "kmsg" not in machine.sources:
        yield "the inventory was made without a log: nobody knows what was missed"
