"""Which files beside an image the stub packs, in what order, and what PCR each archive goes to.

Beside an image means its own folder, ``NAME.efi.extra.d``, and the folders of the EFI system
partition that serve all images, ``loader/credentials`` and ``loader/extensions`` (systemd-stub(7);
``src/boot/stub.c``, ``src/boot/cpio.c``). Rules differ between releases of the stub. Addons are the
matter of `sysgraft.measure.addons`; how an archive looks, that of `sysgraft.formats.stub_archive`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sysgraft.formats.stub_archive import Folder

if TYPE_CHECKING:
    from collections.abc import Iterable

Place = Literal["own", "credentials", "extensions"]
"""A folder the stub looks into: the image's own, or one below ``loader``."""

MAX_NAME: Final = 255
"""Characters of a name; longer ones are passed over (``src/boot/cpio.c``, pack_cpio)."""

_CONFEXT: Final = ".confext.raw"
_CONFEXT_SINCE: Final = 256
_SECRET: Final = (0o500, 0o400)
_OPEN: Final = (0o555, 0o444)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of archive.

    Attributes:
        name: what it is called here.
        place: the folder its files lie in.
        suffix: what their names end with.
        folder: where they go in the initrd.
        pcr: where the archive is measured.
        event: what the event log says of it.
        since: the first release of the stub that packs it, 252 for older too.
    """

    name: str
    place: Place
    suffix: str
    folder: Folder
    pcr: int
    event: str
    since: int


KINDS: Final = (
    Kind(
        "credentials",
        "own",
        ".cred",
        Folder(".extra/credentials", *_SECRET),
        12,
        "Credentials initrd",
        252,
    ),
    Kind(
        "global credentials",
        "credentials",
        ".cred",
        Folder(".extra/global_credentials", *_SECRET),
        12,
        "Global credentials initrd",
        252,
    ),
    Kind(
        "sysext",
        "own",
        ".raw",
        Folder(".extra/sysext", *_OPEN),
        13,
        "System extension initrd",
        252,
    ),
    Kind(
        "global sysext",
        "extensions",
        ".raw",
        Folder(".extra/global_sysext", *_OPEN),
        13,
        "Global system extension initrd",
        258,
    ),
    Kind(
        "confext",
        "own",
        _CONFEXT,
        Folder(".extra/confext", *_OPEN),
        12,
        "Configuration extension initrd",
        _CONFEXT_SINCE,
    ),
    Kind(
        "global confext",
        "extensions",
        _CONFEXT,
        Folder(".extra/global_confext", *_OPEN),
        12,
        "Global configuration extension initrd",
        258,
    ),
)
"""All of them, in the order in which they are measured and handed to the kernel."""


class Skipped(NamedTuple):
    """A file that looks like a sidecar and is none to this stub.

    Attributes:
        name: of the file.
        reason: why it is passed over.
    """

    name: str
    reason: str


class Entry(NamedTuple):
    """What a folder holds under a name."""

    name: str
    is_folder: bool = False


class Chosen(NamedTuple):
    """The files of one archive.

    Attributes:
        kind: which one.
        names: in the order in which they are packed.
    """

    kind: Kind
    names: tuple[str, ...]


def choose(place: Place, entries: Iterable[Entry], version: int) -> tuple[Chosen, ...]:
    """The archives the stub makes of the files of one folder, in the order it packs them.

    Args:
        place: which folder it is.
        entries: what it holds, in any order.
        version: release of the stub.
    """
    good = [each.name for each in entries if not problem(each)]
    found = (
        Chosen(kind, in_order(name for name in good if _belongs(name, kind, version)))
        for kind in KINDS
        if kind.place == place and kind.since <= version
    )
    return tuple(each for each in found if each.names)


def skipped(place: Place, entries: Iterable[Entry], version: int) -> tuple[Skipped, ...]:
    """The files of a folder that have a sidecar's suffix and are passed over, by name."""
    found = []
    for each in sorted(entries):
        if not any(_has_suffix(each.name, kind.suffix) for kind in KINDS if kind.place == place):
            continue
        reason = problem(each)
        if not reason and not choose(place, [each], version):
            reason = f"the stub of systemd {version} does not look for it here"
        if reason:
            found.append(Skipped(each.name, reason))
    return tuple(found)


def problem(entry: Entry) -> str:
    """Why the stub passes a file over whatever it is called; empty if it does not."""
    if entry.name.startswith("."):
        return "its name begins with a dot"
    if entry.is_folder:
        return "it is a folder"
    if not entry.name.isascii():
        return "its name is not ASCII"
    if len(entry.name) > MAX_NAME:
        return f"its name has more than {MAX_NAME} characters"
    return ""


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names as the stub sorts them: by character, upper case before lower case."""
    return tuple(sorted(names))


def _belongs(name: str, kind: Kind, version: int) -> bool:
    if not _has_suffix(name, kind.suffix):
        return False
    # Before there were configuration extensions, their images counted as system extensions.
    is_confext = version >= _CONFEXT_SINCE and _has_suffix(name, _CONFEXT)
    return kind.suffix == _CONFEXT or not is_confext


def _has_suffix(name: str, suffix: str) -> bool:
    return name.lower().endswith(suffix)
