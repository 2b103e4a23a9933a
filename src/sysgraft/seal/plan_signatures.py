"""Which signatures an initrd finds in one state of a partition.

Those in the image itself, then files beside it and in ``loader/extensions`` (`sysgraft.seal.early`
collects them), then what the caller has elsewhere. A file that cannot be read brings nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError
from sysgraft.formats import bls, pcrsig
from sysgraft.seal.check import find_problem
from sysgraft.seal.plan_entries import SIGNATURE_FOLDER, is_signature_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.seal.check import Binding
    from sysgraft.seal.plan_values import Start
    from sysgraft.seal.transition import PartitionFile, StateVolume

UNSIGNED: Final = "no signature is there for these values"


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a policy is signed.

    Attributes:
        problem: why it is not; empty if it is.
        source: the file that has the signature.
    """

    problem: str
    source: str = ""


class Document:
    """A signature file, its entries by policy.

    Args:
        label: how to name it in a message.
        content: what it has.
        size: bytes of the file.
        problem: why it brings nothing.
    """

    def __init__(
        self, label: str, content: pcrsig.Signatures, size: int = 0, problem: str = ""
    ) -> None:
        self.label = label
        self.size = size
        self.problem = problem
        self._entries: dict[tuple[str, bytes], list[pcrsig.Entry]] = {}
        for bank, entries in content.items():
            for entry in entries:
                self._entries.setdefault((bank, entry.policy), []).append(entry)

    def entries(self, bank: str, policy: bytes) -> Sequence[pcrsig.Entry]:
        """What it has for a policy."""
        return self._entries.get((bank, policy), ())


def read(label: str, data: bytes) -> Document:
    """Read a signature file; one that is none brings nothing."""
    try:
        return Document(label, pcrsig.parse(data) if data else {}, len(data))
    except FormatError as error:
        return Document(label, {}, problem=error.message)


class Documents:
    """All signature files there are, each read once.

    Args:
        given: by name, what is there in every state.
    """

    def __init__(self, given: Mapping[str, pcrsig.Signatures]) -> None:
        self._given = [Document(*each) for each in given.items()]
        self._known: dict[str, Document] = {}
        self._answers: dict[tuple[Binding, bytes, tuple[str, ...]], Answer] = {}
        self._too_large: set[str] = set()

    @property
    def notes(self) -> Iterator[str]:
        """About files that cannot be read."""
        for each in self._known.values():
            if each.problem:
                yield f"{each.label} brings no signatures: {each.problem}"
        for image in sorted(self._too_large):
            yield (
                f"signatures for {image} come to more than {pcrsig.MAX_SIZE} bytes in some "
                "state: then the initrd finds those in the image only"
            )

    def there(self, start: Start, volumes: Sequence[StateVolume]) -> tuple[Document, ...]:
        """What is there for an image; of several states, everything that is there in one.

        In one state, more than systemd reads is nothing at all, but for what is in the image.
        """
        label, data = start.signatures
        if label not in self._known:
            self._known[label] = read(label, data)
        found = {label: self._known[label]}
        for volume in volumes:
            for file in _files(volume, start.image):
                found[file.label] = self._read(file)
        documents = (*found.values(), *self._given)
        if len(volumes) == 1 and sum(each.size for each in documents) > pcrsig.MAX_SIZE:
            self._too_large.add(start.image)
            return documents[:1]
        return documents

    def _read(self, file: PartitionFile) -> Document:
        if file.label not in self._known:
            size = min(file.blob.size, pcrsig.MAX_SIZE + 1)
            self._known[file.label] = read(file.label, file.blob.read_at(0, size))
        return self._known[file.label]

    def answer(self, binding: Binding, policy: bytes, documents: Sequence[Document]) -> Answer:
        """Whether one of the documents opens what is bound."""
        key = binding, policy, tuple(each.label for each in documents)
        if key not in self._answers:
            self._answers[key] = _answer(binding, policy, documents)
        return self._answers[key]


def _answer(binding: Binding, policy: bytes, documents: Sequence[Document]) -> Answer:
    if binding.problems:
        return Answer("; ".join(binding.problems))
    last = ""
    everything = [entry for each in documents for entry in each.entries(binding.bank, policy)]
    if everything:
        last = find_problem(everything, binding, policy)
    if last or not everything:
        return Answer(last or UNSIGNED)
    return Answer("", next(_sources(binding, policy, documents), ""))


def _sources(binding: Binding, policy: bytes, documents: Sequence[Document]) -> Iterator[str]:
    for each in documents:
        entries = each.entries(binding.bank, policy)
        if entries and not find_problem(entries, binding, policy):
            yield each.label


def _files(volume: StateVolume, image: str) -> Iterator[PartitionFile]:
    """Signature files beside an image and for all images, in the order of their names."""
    for folder in (bls.extra_folder(image), SIGNATURE_FOLDER):
        for each in volume.entries(folder):
            file = volume.file(f"{folder}/{each.name}")
            if not each.is_folder and file is not None and is_signature_name(each.name):
                yield file
