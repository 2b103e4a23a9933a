"""What goes onto a medium, and what the medium is like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from sysgraft.build.uki.budget import Budget
from sysgraft.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sysgraft.sign.pair import SigningPair

Layout: TypeAlias = Literal["generic", "kairos"]
LAYOUTS: Final[tuple[Layout, ...]] = ("generic", "kairos")
Enrolment: TypeAlias = Literal["off", "manual", "if-safe", "force"]
ENROLMENTS: Final[tuple[Enrolment, ...]] = ("off", "manual", "if-safe", "force")
"""What ``secure-boot-enroll`` takes (loader.conf(5))."""
DEFAULT_TIMEOUT: Final = "5"
MAX_TRIES: Final = 99

# ``timeout`` and ``console-mode`` of loader.conf(5).
_TIMEOUT: Final = re.compile(r"[0-9]{1,5}|menu-force|menu-hidden|menu-disabled")
_CONSOLE_MODE: Final = re.compile(r"[0-9]{1,3}|auto|max|keep")
# The name of an entry is that of files; the stub passes over what is not ASCII, and a ``+``
# begins a boot counter.
_NAME: Final = re.compile(r"[A-Za-z0-9_.~^@#%-]{1,200}")


class BootImage(NamedTuple):
    """A UKI and the name of its boot entry."""

    name: str
    path: str


class Extra(NamedTuple):
    """A file that goes beside a UKI: of the entry of that name, or of every one."""

    entry: str
    path: str


class PartitionFile(NamedTuple):
    """A partition beside the EFI system partition.

    Attributes:
        role: or its type's name or UUID.
        path: the file with what it holds.
        uuid: which one it is; None makes one of the seed. Partitions with dm-verity have the one
            that their root hash says.
    """

    role: str
    path: str
    uuid: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaOptions:
    """What goes onto a medium.

    Attributes:
        images: the UKIs, each with the name of its boot entry.
        layout: ``generic`` has them in ``EFI/Linux``, where systemd-boot finds them itself;
            ``kairos`` in ``EFI/kairos``, each with an entry of text.
        extras: what goes beside them.
        shared: what goes where the stubs of all of them look.
        carried: extension images, or folders with some, for an installer to find.
        boot_loader: systemd-boot; empty for that which systemd has installed on this machine.
        signing: who signs the boot loader; None if it is signed or need not be.
        timeout: seconds that the menu is shown, or a word of loader.conf(5).
        default: name of the entry that is started; empty for the boot loader's own choice.
        console_mode: as loader.conf(5) has it; empty for the boot loader's own choice.
        tries: how often each entry may fail; None for no count.
        title: what the entries of text are called, with their name behind it.
        keys: folder with PK, KEK, db (and dbx) to be enrolled, as ``.auth``; empty for none.
        enrolment: when systemd-boot enrols them.
        allow_unverified: go on although something would not start with these keys.
        warn_size: bytes of a UKI that are worth a warning.
        time: of every file, in seconds since 1970.
        seed: what identifiers are made of; None makes one of the names and sizes of all files and
            partitions.
    """

    images: Sequence[BootImage] = ()
    layout: Layout = "generic"
    extras: Sequence[Extra] = ()
    shared: Sequence[str] = ()
    carried: Sequence[str] = ()
    boot_loader: str = ""
    signing: SigningPair | None = None
    timeout: str = DEFAULT_TIMEOUT
    default: str = ""
    console_mode: str = ""
    tries: int | None = None
    title: str = ""
    keys: str = ""
    enrolment: Enrolment = "if-safe"
    allow_unverified: bool = False
    warn_size: int = Budget().warn_size
    time: int = 0
    seed: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskOptions:
    """What a disk image is like.

    Attributes:
        size: bytes of the image; None for as few as possible.
        esp_size: bytes of the EFI system partition; None for as few as possible, or, on an image
            of a given size, for what the others leave.
        sector_size: 512 or 4096.
        partitions: further partitions, in order.
        replace: whether an existing file may be replaced.
    """

    size: int | None = None
    esp_size: int | None = None
    sector_size: int = 512
    partitions: Sequence[PartitionFile] = ()
    replace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IsoOptions:
    """What an ISO image is like.

    Attributes:
        volume_id: what it is called.
        overlay: a folder whose files it has too; empty for none.
        replace: whether an existing file may be replaced.
    """

    volume_id: str = "SYSGRAFT"
    overlay: str = ""
    replace: bool = False


def check(options: MediaOptions) -> None:
    """Refuse what contradicts itself.

    Raises:
        UsageError: it does.
    """
    names = [each.name for each in options.images]
    if not names:
        raise UsageError("a medium without a UKI boots nothing", hint="give --uki")
    for name in names:
        if not _NAME.fullmatch(name) or name.endswith("."):
            raise UsageError(
                f"a boot entry cannot be called {name!r}",
                hint="name it with --uki NAME=FILE; of letters, digits and _.~^@#%-",
            )
        if name.lower().startswith(("auto-", ".")):
            raise UsageError(f"systemd-boot has entries like {name!r} of its own")
    for each in (*(extra.entry for extra in options.extras), options.default):
        if each and each not in names:
            raise UsageError(f"there is no boot entry {each!r}", hint=f"known: {', '.join(names)}")
    _check_words(options)


def _check_words(options: MediaOptions) -> None:
    if not _TIMEOUT.fullmatch(options.timeout):
        raise UsageError(f"systemd-boot knows no timeout {options.timeout!r}")
    if options.console_mode and not _CONSOLE_MODE.fullmatch(options.console_mode):
        raise UsageError(f"systemd-boot knows no console mode {options.console_mode!r}")
    if options.tries is not None and not 1 <= options.tries <= MAX_TRIES:
        raise UsageError(f"{options.tries} tries; 1 to {MAX_TRIES} are possible")
    if options.title and (
        not options.title.isprintable() or options.title != options.title.strip()
    ):
        raise UsageError(f"not a title for boot entries: {options.title!r}")
    if options.title and options.layout != "kairos":
        raise UsageError(
            "without entries of text a UKI's title is in the UKI itself",
            hint="a title goes with --layout kairos",
        )


def counted_name(name: str, tries: int | None, suffix: str) -> str:
    """The name of an entry's file, with its boot counter if it has one."""
    return f"{name}{suffix}" if tries is None else f"{name}+{tries}{suffix}"
