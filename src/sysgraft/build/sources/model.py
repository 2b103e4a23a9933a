"""What all sources have in common: options, entries, layers and the `Source` protocol.

A source gives layers, a layer gives entries in the order they apply. Paths of entries are clean
(`sysgraft.formats.archive_path.clean_path`); nothing is merged, moved or selected yet.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol

from sysgraft.base.progress import NoProgress
from sysgraft.base.tree import Inode, is_below, printable
from sysgraft.errors import InputError, LimitError
from sysgraft.formats.allowance import Allowance

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.host.spool import Spool

MAX_NOTES: Final = 50
"""Sentences in one report: nobody reads more."""

MAX_EXAMPLES: Final = 3
"""Paths named in a message or report beside a count."""

MAX_XATTR_BYTES: Final = 64 << 20
"""Extended attributes of all archives' entries, `XATTR_COST` each included: one of usual length
for each of 500,000 files."""

XATTR_COST: Final = 64
"""What an attribute counts beside its name and value: about what it takes in memory."""

TreeKind = Literal["sysext", "confext", "root"]
LayerChoice = Literal["last", "all"]
WhiteoutRule = Literal["error", "drop", "keep"]
OwnerRule = Literal["root", "keep"]
TimeRule = Literal["epoch", "keep"]


@dataclass(frozen=True, slots=True)
class Options:
    """How sources become a tree.

    Attributes:
        kind: which hierarchy is kept: ``/usr`` for a sysext, ``/etc`` for a confext, all for a
            root file system.
        layers: of an image, the last layer only or all of them.
        since: another image, as a source argument; only what an image adds to that is taken.
        whiteouts: what becomes of deletions of files that no source holds.
        owner: ``root`` gives everything to root, ``keep`` keeps owners; None keeps those of
            archives and gives a folder's files to root.
        include_paths: further path prefixes that are kept.
        excludes: patterns of paths that are left out (see `sysgraft.build.path_rules`).
        source_date_epoch: seconds since the epoch. A folder's files get it as their time (0 if
            None), the times of archives are kept below it.
        folder_times: ``keep`` keeps the times of a folder's files as those of archives.
        architecture: which of several images of one name is meant; any accepted spelling.
        insecure_registries: hosts that need not prove who they are, see
            `sysgraft.transport.pools.Pools`.
        catalogs: files or addresses that tell what ``catalog:`` sources stand for.
    """

    kind: TreeKind = "sysext"
    layers: LayerChoice = "last"
    since: str | None = None
    whiteouts: WhiteoutRule = "error"
    owner: OwnerRule | None = None
    include_paths: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    source_date_epoch: int | None = None
    folder_times: TimeRule = "epoch"
    architecture: str | None = None
    insecure_registries: tuple[str, ...] = ()
    catalogs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something the sources hold that the tree does not.

    Attributes:
        reason: ``layers`` (lower layers of an image), ``outside`` (not in the kept hierarchy),
            ``excluded`` (by a pattern) or ``whiteouts`` (dropped deletions).
        files: how many, all but directories.
        directories: how many.
        size: bytes of the regular files' contents.
        examples: the first paths, printable.
    """

    reason: Literal["layers", "outside", "excluded", "whiteouts"]
    files: int = 0
    directories: int = 0
    size: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a layer.

    Attributes:
        path: clean and relative; empty for the layer's root.
        inode: what lies there; None for a hard link.
        link: the path a hard link shares its inode with.
    """

    path: bytes
    inode: Inode | None
    link: bytes = b""


@dataclass(frozen=True, slots=True)
class Layer:
    """Entries that lie over everything before them.

    Attributes:
        name: for messages.
        entries: in order.
        whiteout_names: whether names ``.wh.…`` are deletions, as in container images.
        is_partial: whether layers below this one exist that are not read.
    """

    name: str
    entries: Sequence[Entry]
    whiteout_names: bool = False
    is_partial: bool = False


class XattrBudget:
    """What the extended attributes of a tree may take.

    A compressed archive of some kilobytes can set a megabyte of them for each of its entries.

    Attributes:
        left: bytes.
    """

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_XATTR_BYTES

    def spend(self, name: bytes, value: bytes) -> None:
        """One more attribute; raises `LimitError` when there is nothing left."""
        self.left -= len(name) + len(value) + XATTR_COST
        if self.left < 0:
            raise LimitError(
                f"the extended attributes exceed {MAX_XATTR_BYTES} bytes, {XATTR_COST} for each"
                " included",
            )


@dataclass(slots=True)
class Workspace:
    """What the sources of one tree share.

    Attributes:
        options: how the tree is made.
        spool: where data goes that cannot be read from its file later.
        progress: told of long reading.
        kept_prefixes: first path components whose contents may be needed.
        allowance: what all of them together may decompress to.
        xattrs: what the extended attributes of archives may still take.
        notes: sentences for the report.
        left_out: what the sources themselves leave out.
        release: what extension images among them say of the hosts they are for.
    """

    options: Options
    spool: Spool
    kept_prefixes: tuple[bytes, ...]
    progress: Progress = field(default_factory=NoProgress)
    allowance: Allowance = field(default_factory=Allowance)
    xattrs: XattrBudget = field(default_factory=XattrBudget)
    notes: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    release: dict[str, str] = field(default_factory=dict)
    _read: set[Hashable] = field(default_factory=set)

    def is_first_reading(self, part: Hashable) -> bool:
        """Whether `part` of a source was not asked about before."""
        is_new = part not in self._read
        self._read.add(part)
        return is_new

    def note(self, sentence: str) -> None:
        """Add a sentence to the report, once; archives may give endless reasons for one."""
        if len(self.notes) < MAX_NOTES and sentence not in self.notes:
            self.notes.append(sentence)

    def needs_content(self, path: bytes) -> bool:
        """Whether the file at `path` may end up in the tree."""
        return any(is_below(path, prefix) for prefix in self.kept_prefixes)


# Namespaces and names of extended attributes that mean the same on another machine.
_KEPT_XATTRS: Final = (b"user.", b"system.posix_acl_", b"security.capability")
# Where a download came from: freedesktop.org, "Guidelines for extended attributes".
_ORIGIN: Final = b"user.xdg."
_SELINUX: Final = b"security.selinux"


def carried_xattrs(names: Iterable[bytes], workspace: Workspace) -> list[bytes]:
    """Those of `names` that go into the tree, sorted; a note tells of the others.

    Left are labels and marks of the machine the files come from (SELinux, IMA, overlayfs), and the
    addresses that browsers and downloaders note down: an image must not tell of those.
    """
    kept = []
    for name in sorted(names):
        if name.startswith(_KEPT_XATTRS) and not name.startswith(_ORIGIN):
            kept.append(name)
        elif name == _SELINUX:
            workspace.note(SELINUX_NOTE)
        else:
            workspace.note(f"extended attributes {printable(name)} are not carried over")
    return kept


SELINUX_NOTE: Final = "SELinux labels are not carried over: the target system has its own"
"""Said once for all sources."""


class Source(Protocol):
    """An opened source."""

    @property
    def description(self) -> str:
        """What it is, for the report."""

    @property
    def architecture(self) -> str | None:
        """What it says it is for, systemd's spelling; None if it says nothing."""

    def layers(self) -> Iterator[Layer]:
        """Its layers, the lowest first; each is verified before it is given.

        Raises:
            InputError: it cannot be read or breaks its format's rules.
        """


class AbsentContent:
    """The content of a file outside the kept hierarchy: its size is known, its bytes are not."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        """Refuse: whoever asks has kept a file that was not to be kept."""
        raise InputError(f"{length} bytes at {offset} of a file that was passed over are needed")

    def readinto_at(self, offset: int, view: memoryview) -> None:
        """See `read_at`."""
        self.read_at(offset, len(view))


def examples_of(paths: Sequence[bytes]) -> str:
    """The first of `paths` for a message, and how many more there are."""
    named = ", ".join(printable(path) for path in paths[:MAX_EXAMPLES])
    more = len(paths) - MAX_EXAMPLES
    return f"{named} and {more} more" if more > 0 else named


LINK_MODE: Final = stat.S_IFLNK | 0o777
"""Mode of every symbolic link, as on Linux: other systems and archivers store others."""


def new_directory(options: Options) -> Inode:
    """A directory that no source describes: 0755, root's, as old as the epoch given."""
    return Inode(mode=stat.S_IFDIR | 0o755, mtime=options.source_date_epoch or 0)
