"""What takes the room in an initrd: kernel modules, firmware, libraries, programs, units.

The kinds go by a file's place and name alone. A file whose path comes again counts once, with its
last content, which is the one the kernel keeps. Sizes are those of the unpacked files, since how
much of a compressed archive is due to one of them cannot be told.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import in_file
from sysgraft.formats import initrd, pe
from sysgraft.formats.allowance import Allowance
from sysgraft.host.files import OpenFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sysgraft.base.blob import Blob
    from sysgraft.formats.initrd import Entry, Part

KINDS: Final = (
    "kernel modules",
    "firmware",
    "shared libraries",
    "programs",
    "systemd units",
    "other",
)
"""What files are told apart by, in the order of the report."""

MAX_LARGEST: Final = 10
"""How many of the largest files are named."""

# Of a path below the root, where /usr may be merged or not; the first that fits counts.
_PLACES: Final = (
    (re.compile(rb"(usr/)?lib/modules/"), "kernel modules"),
    (re.compile(rb"(usr/)?lib/firmware/|kernel/x86/microcode/"), "firmware"),
    (re.compile(rb"(usr/)?lib(32|64|x32)?/(.*/)?[^/]+\.so(\.[0-9.]+)?$"), "shared libraries"),
    (re.compile(rb"((usr/)?lib|etc|run)/systemd/(system|user)(\.[a-z]+)?/"), "systemd units"),
    (re.compile(rb"(usr/(local/)?)?s?bin/|init$"), "programs"),
)
_EXECUTABLE: Final = 0o111


class Share(NamedTuple):
    """The files of one kind.

    Attributes:
        kind: which, one of `KINDS`.
        files: how many.
        size: bytes of them, unpacked.
    """

    kind: str
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class InitrdSizes:
    """How large an initrd is, and of what.

    Attributes:
        size: bytes of it.
        unpacked: bytes of its files, which are memory once it is unpacked.
        parts: its archives, without their entries.
        shares: by kind; kinds without files are left out.
        largest: the largest files and their sizes.
    """

    size: int
    unpacked: int
    parts: tuple[Part, ...]
    shares: tuple[Share, ...]
    largest: tuple[tuple[str, int], ...]


def initrd_sizes(path: str | os.PathLike[str]) -> InitrdSizes:
    """What takes the room in an initrd that is a file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    with in_file(os.fspath(path)), OpenFile(path) as blob:
        return sizes_of(blob, Allowance())


def uki_initrd_sizes(path: str | os.PathLike[str]) -> tuple[InitrdSizes, ...]:
    """What takes the room in the initrds of a UKI, in their order; a profile may have its own.

    Raises:
        InputError: it cannot be read, is no executable, or an initrd in it cannot be read.
    """
    with in_file(os.fspath(path)), OpenFile(path) as blob:
        allowance = Allowance()
        found = [one for one in pe.parse(blob).sections if one.name == ".initrd"]
        return tuple(sizes_of(_content(blob, one), allowance) for one in found)


def _content(blob: Blob, section: pe.Section) -> Blob:
    """What the file holds of a section, without the padding of the file or of memory."""
    size = min(section.virtual_size, section.raw_size)
    return pe.section_blob(blob, replace(section, virtual_size=size, raw_size=size))


def sizes_of(blob: Blob, allowance: Allowance) -> InitrdSizes:
    """What takes the room in an initrd.

    Args:
        blob: the initrd.
        allowance: how much may be decompressed.

    Raises:
        FormatError: it is none; also by its subclasses.
    """
    files: dict[bytes, Entry] = {}
    parts = []
    for part in initrd.parts(blob, allowance):
        parts.append(replace(part, entries=()))
        for entry in part.entries:
            files.pop(entry.path, None)
            if entry.is_file:
                files[entry.path] = entry
    largest = sorted(files.values(), key=lambda entry: (-entry.size, entry.path))[:MAX_LARGEST]
    return InitrdSizes(
        size=blob.size,
        unpacked=sum(entry.size for entry in files.values()),
        parts=tuple(parts),
        shares=_shares(files.values()),
        largest=tuple(
            (entry.path.decode("utf-8", "backslashreplace"), entry.size) for entry in largest
        ),
    )


def _shares(files: Iterable[Entry]) -> tuple[Share, ...]:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for entry in files:
        kind = kind_of(entry)
        counts[kind] += 1
        sizes[kind] += entry.size
    return tuple(Share(kind, counts[kind], sizes[kind]) for kind in KINDS if counts[kind])


def kind_of(entry: Entry) -> str:
    """Which of `KINDS` a file is of."""
    for place, kind in _PLACES:
        if place.match(entry.path):
            return kind
    below_lib = entry.path.startswith((b"usr/lib", b"lib"))
    return "programs" if below_lib and entry.mode & _EXECUTABLE else "other"
