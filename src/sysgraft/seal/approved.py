"""What was approved: documents of ``sysgraft pcr predict --json``, or a prediction made now.

A document (``sysgraft.pcr.predict/1``) is untrusted input: it says which events to expect and which
files they come of, and no path in it is ever opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sysgraft.errors import FormatError, LimitError, in_file
from sysgraft.formats.eventlog_records import EVENT_TYPES, PCR_COUNT
from sysgraft.formats.pcr_values import SIZES
from sysgraft.formats.strict_json import as_hex, as_list, as_number, as_object, as_text, load
from sysgraft.host.small import read_small
from sysgraft.measure.events import USERSPACE, Component, Event
from sysgraft.measure.pcr import BANKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.seal.file_set import UsedFile
    from sysgraft.seal.prediction import Predicted, Prediction

SCHEMA: Final = "sysgraft.pcr.predict/1"
MAX_SIZE: Final = 44 << 20
"""Bytes of a document: two thousand sets of files fit."""
MAX_ITEMS: Final = 1_000_000
"""Objects, lists and commas of a document: a set has some five hundred."""
MAX_SETS: Final = 1 << 14
MAX_EVENTS: Final = 4096
"""Events of one set: some thirty, and one for each addon."""
MAX_FILES: Final = 8192
"""Files of one set, those that all sets have in common included."""
MAX_DOCUMENTS: Final = 64
MAX_ALL_EVENTS: Final = 1 << 18
"""Events of all documents together."""
MAX_PLACES: Final = 1 << 22
"""Files of all sets together, those that they have in common counted for each."""
_MAX_RELEASE: Final = 10_000
_MAX_FILE_SIZE: Final = 1 << 63

_COMPONENTS: Final[Mapping[str, Component]] = MappingProxyType(
    {
        "firmware": "firmware",
        "program": "program",
        "section": "section",
        "profile": "profile",
        "cmdline": "cmdline",
        "archive": "archive",
        "addon": "addon",
        "kernel": "kernel",
        "phase": "phase",
        "separator": "separator",
        "variable": "variable",
    }
)
_TYPES: Final = MappingProxyType({name: number for number, name in EVENT_TYPES.items()})


@dataclass(frozen=True, slots=True)
class ApprovedFile:
    """A file that a set of events rests on.

    Attributes:
        role: what it is to the boot, see `seal.assembly.UsedFile`.
        name: as the stub sees it.
        size: bytes.
        sha256: of its content; None for executables, whose digest is in their event.
    """

    role: str
    name: str
    size: int
    sha256: bytes | None


@dataclass(frozen=True, slots=True)
class ApprovedSet:
    """One set of files, and what booting with it measures.

    Attributes:
        name: for a person; empty if there is only one.
        origin: the document's path; empty for a prediction made now.
        events: until the kernel runs, in order.
        files: what they are made of, those that all sets have in common first.
    """

    name: str
    origin: str
    events: tuple[Event, ...]
    files: tuple[ApprovedFile, ...]

    @property
    def title(self) -> str:
        """How to call it in a message."""
        return " of ".join(filter(None, (self.name and f"set {self.name}", self.origin)))


@dataclass(frozen=True, slots=True)
class Approved:
    """All sets of one origin.

    Attributes:
        origin: the document's path; empty for a prediction made now.
        version: release of the stub.
        pcrs: which PCRs its events are about.
        banks: which digests they have.
        sets: in their order.
    """

    origin: str
    version: int
    pcrs: tuple[int, ...]
    banks: tuple[str, ...]
    sets: tuple[ApprovedSet, ...]


def of_prediction(prediction: Prediction) -> Approved:
    """What was predicted from files as they are now."""
    return Approved(
        "",
        prediction.version,
        prediction.pcrs,
        prediction.banks,
        tuple(_of_predicted(each, prediction) for each in prediction.sets),
    )


def _of_predicted(predicted: Predicted, prediction: Prediction) -> ApprovedSet:
    files = tuple(_of_used((*prediction.files, *predicted.files)))
    return ApprovedSet(predicted.name, "", predicted.events, files)


def _of_used(files: Iterable[UsedFile]) -> Iterable[ApprovedFile]:
    return (
        ApprovedFile(each.role, each.name, each.size, each.sha256.get("sha256")) for each in files
    )


_SMALLER: Final = "predict fewer sets, only the PCRs that matter (--pcr), or one phase (--phase :)"


# --- Documents -----------------------------------------------------------------------------------


def read_documents(paths: Sequence[str]) -> tuple[Approved, ...]:
    """The documents in several files.

    Raises:
        InputError: one cannot be read, or is none.
        LimitError: they are more than `MAX_DOCUMENTS`, or have more than `MAX_ALL_EVENTS` events or
            `MAX_PLACES` files together.
    """
    if len(paths) > MAX_DOCUMENTS:
        raise LimitError(f"{len(paths)} documents; the limit is {MAX_DOCUMENTS}")
    found: list[Approved] = []
    events = files = 0
    for path in paths:
        found.append(read_approved(path))
        events += sum(len(each.events) for each in found[-1].sets)
        files += sum(len(each.files) for each in found[-1].sets)
        if events > MAX_ALL_EVENTS or files > MAX_PLACES:
            raise LimitError("all predictions together are too large", file=path, hint=_SMALLER)
    return tuple(found)


def read_approved(path: str) -> Approved:
    """The document in a file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        data = read_small(path, MAX_SIZE, "prediction")
    except LimitError as error:
        error.hint = _SMALLER
        raise
    with in_file(path):
        return parse(data, path)


def parse(data: bytes, origin: str = "") -> Approved:
    """A document of ``sysgraft pcr predict --json``.

    Args:
        data: all of it.
        origin: how to call it in messages.

    Raises:
        LimitError: it is larger than `MAX_SIZE`, or has more than `MAX_ITEMS` items, `MAX_SETS`
            sets or `MAX_PLACES` files.
        FormatError: it is no such document.
    """
    if len(data) > MAX_SIZE:
        raise LimitError(f"a prediction of {len(data)} bytes; the limit is {MAX_SIZE}")
    document = as_object(_load(data), "the prediction")
    if document.get("schema") != SCHEMA:
        raise FormatError(
            f"not a document of {SCHEMA}", hint="sysgraft pcr predict --json writes one"
        )
    sets = as_list(document.get("sets"), "sets")
    if not 1 <= len(sets) <= MAX_SETS:
        raise LimitError(f"a prediction of {len(sets)} sets; it has 1 to {MAX_SETS}")
    banks = _banks(document.get("banks"))
    pcrs = tuple(
        as_number(each, "a PCR", below=PCR_COUNT) for each in as_list(document.get("pcrs"), "pcrs")
    )
    common = _files(document.get("files"))
    if len(common) * len(sets) > MAX_PLACES:
        raise LimitError(f"{len(sets)} sets with {len(common)} files in common; that is too many")
    return Approved(
        origin,
        as_number(document.get("stub"), "stub", below=_MAX_RELEASE),
        tuple(dict.fromkeys(pcrs)),
        banks,
        tuple(_set(as_object(each, "a set"), common, banks, origin) for each in sets),
    )


def _load(data: bytes) -> object:
    try:
        return load(data, "the prediction", most=MAX_ITEMS)
    except LimitError as error:
        error.hint = _SMALLER
        raise


def _banks(value: object) -> tuple[str, ...]:
    names = [as_text(each, "a bank") for each in as_list(value, "banks")]
    if not names or len(set(names)) != len(names) or any(name not in BANKS for name in names):
        raise FormatError(f"the banks are not some of {', '.join(BANKS)}")
    return tuple(names)


def _set(
    fields: Mapping[str, object],
    common: tuple[ApprovedFile, ...],
    banks: tuple[str, ...],
    origin: str,
) -> ApprovedSet:
    events = as_list(fields.get("events"), "events")
    if len(events) > MAX_EVENTS:
        raise LimitError(f"a set of {len(events)} events; the limit is {MAX_EVENTS}")
    return ApprovedSet(
        as_text(fields.get("name"), "name of a set"),
        origin,
        tuple(_event(as_object(each, "an event"), banks) for each in events),
        common + _files(fields.get("files")),
    )


def _files(value: object) -> tuple[ApprovedFile, ...]:
    listed = as_list(value, "files")
    if len(listed) > MAX_FILES:
        raise LimitError(f"{len(listed)} files of one set; the limit is {MAX_FILES}")
    return tuple(_file(as_object(each, "a file")) for each in listed)


def _file(fields: Mapping[str, object]) -> ApprovedFile:
    digest = fields.get("sha256")
    found = None if digest is None else as_hex(digest, "sha256 of a file")
    if found is not None and len(found) != SIZES["sha256"]:
        raise FormatError("the sha256 of a file is none")
    return ApprovedFile(
        as_text(fields.get("role"), "role of a file"),
        as_text(fields.get("name"), "name of a file"),
        as_number(fields.get("size"), "size of a file", below=_MAX_FILE_SIZE),
        found,
    )


def _event(fields: Mapping[str, object], banks: tuple[str, ...]) -> Event:
    component = fields.get("component")
    kind = fields.get("type")
    if not isinstance(component, str) or component not in _COMPONENTS:
        raise FormatError("the component of an event is unknown")
    if not (kind is None or (isinstance(kind, str) and kind in _TYPES)):
        raise FormatError("the type of an event is unknown")
    files = as_list(fields.get("files"), "files of an event")
    return Event(
        as_number(fields.get("pcr"), "PCR of an event", below=PCR_COUNT),
        _COMPONENTS[component],
        as_text(fields.get("name"), "name of an event"),
        _digests(as_object(fields.get("digests"), "digests of an event"), banks),
        USERSPACE if kind is None else _TYPES[kind],
        as_hex(fields.get("data"), "data of an event"),
        tuple(as_text(each, "file of an event") for each in files),
    )


def _digests(fields: Mapping[str, object], banks: tuple[str, ...]) -> Mapping[str, bytes]:
    found = {}
    for bank in banks:
        digest = as_hex(fields.get(bank), f"{bank} digest of an event")
        if len(digest) != SIZES[bank]:
            raise FormatError(f"the {bank} digest of an event has {len(digest)} bytes")
        found[bank] = digest
    return MappingProxyType(found)
