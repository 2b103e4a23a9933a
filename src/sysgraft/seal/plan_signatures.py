"""Which signatures an initrd finds in one state of a partition.

Those in the image itself, then files beside it and in ``loader/extensions``, then what the caller
has elsewhere. The files are collected by a script (`sysgraft.seal.early`) that takes no entry of
another form than `sysgraft.formats.pcrsig_early` knows, and nothing beside an image that it does
not know. A file that cannot be read brings nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.base.systemd import LATEST
from sysgraft.errors import FormatError
from sysgraft.formats import bls, pcrsig, pcrsig_early
from sysgraft.seal.check import NO_KEY, find_problem
from sysgraft.seal.plan_entries import SIGNATURE_FOLDER, is_signature_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.seal.binding import Binding
    from sysgraft.seal.plan_start import Start
    from sysgraft.seal.transition import PartitionFile, StateVolume

UNSIGNED: Final = "no signature is there for these values"
_AROUND: Final = 128
"""Bytes of what the script writes around the entries of all banks, and more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a policy is signed.

    Attributes:
        problem: why it is not; empty if it is.
        source: the file that has the signature.
        is_unknown: whether it may be, but nobody can tell from files.
    """

    problem: str
    source: str = ""
    is_unknown: bool = False


class Document:
    """A signature file, its entries by policy.

    Args:
        label: how to name it in a message.
        content: what it has.
        size: bytes of what is taken of it, in what the script writes.
        note: why it brings nothing, or not all it has.
        left_out: how many entries the script in the initrd does not take.
    """

    def __init__(
        self,
        label: str,
        content: pcrsig.Signatures,
        size: int = 0,
        *,
        note: str = "",
        left_out: int = 0,
    ) -> None:
        self.label = label
        self.size = size
        self.note = note
        self.left_out = left_out
        self._entries: dict[tuple[str, bytes], list[pcrsig.Entry]] = {}
        for bank, entries in content.items():
            for entry in entries:
                self._entries.setdefault((bank, entry.policy), []).append(entry)

    def entries(self, bank: str, policy: bytes) -> Sequence[pcrsig.Entry]:
        """What it has for a policy."""
        return self._entries.get((bank, policy), ())


def read_embedded(label: str, data: bytes) -> Document:
    """Read the signatures of an image; what is none brings nothing."""
    # One that is too large for the script stays as it is, as one with entries of another form.
    left_out = pcrsig_early.left_out(data) or int(len(data) > pcrsig.MAX_SIZE)
    try:
        content = pcrsig.parse(data) if data else {}
    except FormatError as error:
        return Document(label, {}, note=_nothing(label, error), left_out=left_out)
    return Document(label, content, pcrsig_early.room(data), left_out=left_out)


def read_beside(label: str, data: bytes) -> Document:
    """Read a signature file as the script in the initrd does."""
    if len(data) > pcrsig.MAX_SIZE:
        return Document(label, {}, note=f"{label} brings no signatures: it is too large")
    content = pcrsig_early.taken(data)
    try:
        all_of_it = sum(map(len, pcrsig.parse(data).values()))
    except FormatError as error:
        if not content:
            return Document(label, {}, note=_nothing(label, error))
        all_of_it = 0
    count = sum(map(len, content.values()))
    left_out = max(all_of_it - count, pcrsig_early.left_out(data))
    note = f"the script in the initrd does not take {_entries(left_out)} of {label}"
    size = pcrsig_early.room(data)
    return Document(label, content, size, note=note if left_out else "", left_out=left_out)


def _nothing(label: str, error: FormatError) -> str:
    return f"{label} brings no signatures: {error.message}"


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"


class Documents:
    """All signature files there are, each read once.

    Args:
        given: by name, what is there in every state.
    """

    def __init__(self, given: Mapping[str, pcrsig.Signatures]) -> None:
        self._given = [Document(*each) for each in given.items()]
        self._known: dict[str, Document] = {}
        self._answers: dict[tuple[Binding, bytes, int, tuple[str, ...]], Answer] = {}
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> Iterator[str]:
        """About what is not read."""
        yield from (each.note for each in self._known.values() if each.note)
        yield from self._notes

    def there(self, start: Start, volumes: Sequence[StateVolume]) -> tuple[Document, ...]:
        """What is there for an image; of several states, everything that is there in one.

        In one state, more than the script writes is nothing at all, but for what is in the image;
        and so is all beside an image whose own signatures it would not take wholly.
        """
        label, data = start.signatures
        if label not in self._known:
            self._known[label] = read_embedded(label, data)
        own = self._known[label]
        found = {
            file.label: self._read(file)
            for volume in volumes
            for file in self._files(volume, start)
        }
        if found and own.left_out:
            self._note(
                f"{label} has entries of a form that the script in the initrd does not take:"
                " it takes nothing from files either"
            )
            found = {}
        documents = (own, *found.values(), *self._given)
        written = _AROUND + sum(each.size for each in documents)
        if len(volumes) == 1 and found and written > pcrsig.MAX_SIZE:
            self._note(
                f"signatures for {start.image} come to more than {pcrsig.MAX_SIZE} bytes in "
                "some state: then the initrd finds those in the image only"
            )
            return documents[:1]
        return documents

    def _note(self, text: str) -> None:
        self._notes[text] = None

    def _files(self, volume: StateVolume, start: Start) -> Iterator[PartitionFile]:
        """Signature files beside an image and for all images, in the order of their names."""
        folder = bls.extra_folder(start.image, version=start.version or LATEST)
        beside = tuple(_signature_files(volume, folder))
        if start.is_image_known:
            yield from beside
        elif beside:
            self._note(
                f"the script in the initrd does not learn that {start.image} was started: "
                f"of its signatures it finds only those in {SIGNATURE_FOLDER}"
            )
        yield from _signature_files(volume, SIGNATURE_FOLDER)

    def _read(self, file: PartitionFile) -> Document:
        if file.label not in self._known:
            size = min(file.blob.size, pcrsig.MAX_SIZE + 1)
            self._known[file.label] = read_beside(file.label, file.blob.read_at(0, size))
        return self._known[file.label]

    def answer(
        self, binding: Binding, policy: bytes, documents: Sequence[Document], *, release: int
    ) -> Answer:
        """Whether one of the documents opens what is bound, to that release of systemd."""
        key = binding, policy, release, tuple(each.label for each in documents)
        if key not in self._answers:
            self._answers[key] = _answer(binding, policy, documents, release)
        return self._answers[key]


def _answer(binding: Binding, policy: bytes, documents: Sequence[Document], release: int) -> Answer:
    if binding.problems:
        return Answer("; ".join(binding.problems))
    last = ""
    everything = [entry for each in documents for entry in each.entries(binding.bank, policy)]
    if everything:
        last = find_problem(everything, binding, policy, release=release)
    if last or not everything:
        return Answer(last or UNSIGNED)
    source = next(_sources(binding, policy, documents, release), "")
    if binding.key is None or binding.skipped:
        return Answer("; ".join(binding.skipped) or NO_KEY, source, is_unknown=True)
    return Answer("", source)


def _sources(
    binding: Binding, policy: bytes, documents: Sequence[Document], release: int
) -> Iterator[str]:
    for each in documents:
        entries = each.entries(binding.bank, policy)
        if entries and not find_problem(entries, binding, policy, release=release):
            yield each.label


def _signature_files(volume: StateVolume, folder: str) -> Iterator[PartitionFile]:
    for each in volume.entries(folder):
        file = volume.file(f"{folder}/{each.name}")
        if not each.is_folder and file is not None and is_signature_name(each.name):
            yield file
