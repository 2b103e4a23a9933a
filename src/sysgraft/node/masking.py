"""What others have put where systemd looks: held to the same rules, or at least no harm to all.

What lies in ``/var/lib/extensions`` is merged by systemd beside what this node activates; one bad
image there would take everything along, and a folder there is signed by nobody. An empty folder of
its name in ``/run`` comes earlier in systemd's search, and stands for "no such extension"
(systemd-sysext(8)). What lies in ``/etc/extensions`` comes before ``/run`` and cannot be masked,
nor what others have put into ``/run`` itself: it is told. What is part of the system, below
``/usr/lib``, is left alone. Names are cut as ``image_discover`` of that release does
(``src/shared/discover-image.c``); of several things of one name in one place whichever comes first
in the folder counts, which nobody can tell, so all are looked at.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import SysgraftError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.boot_state import BootState
from sysgraft.host.places import below, make_plain_folder, real_path
from sysgraft.image import names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from sysgraft.node.node import Node

SEARCHED: Final = {
    Kind.SYSEXT: ("/etc/extensions", "/run/extensions", "/var/lib/extensions"),
    Kind.CONFEXT: (
        "/run/confexts",
        "/var/lib/confexts",
        "/usr/local/lib/confexts",
        "/usr/lib/confexts",
    ),
}
"""Where systemd 254 and newer look; of a name the first counts (systemd-sysext(8))."""
_UNTIL_253: Final = ("/usr/local/lib/extensions", "/usr/lib/extensions")
"""Where older releases look for system extensions as well."""
_VERSIONS_SINCE: Final = 256
"""Since then a folder ``NAME.v`` has the versions of an image."""
_STACK: Final = ".mstack"
"""Ends the name of a folder with layers, to releases that know them."""
_STACK_SINCE: Final = 260
COLLECTIONS: Final = (".v", _STACK)
"""Ends of names of folders that count for what is in them."""
STATE: Final = "masks"
"""What this boot remembers of its masks."""
LINKS: Final = {Kind.SYSEXT: "/run/extensions", Kind.CONFEXT: "/run/confexts"}
"""Where systemd looks for images that are gone with this boot."""


class Other(NamedTuple):
    """Something of others that must not be merged.

    Attributes:
        kind: of extensions.
        path: where it lies.
        reason: why it must not.
        masked: whether it is kept out; what lies in ``/etc`` cannot be.
    """

    kind: Kind
    path: str
    reason: str
    masked: bool


class Found(NamedTuple):
    """Something that lies where systemd looks, and counts there.

    Attributes:
        names: of the image; more than one where nobody can tell.
        path: where it is.
        problem: why it ends the discovery of all; empty if it does not.
    """

    names: tuple[str, ...]
    path: str
    problem: str = ""


def searched(kind: Kind, release: int) -> tuple[str, ...]:
    """Where a release of systemd looks, what counts first."""
    is_old = kind is Kind.SYSEXT and release < 254
    return (*SEARCHED[kind], *(_UNTIL_253 if is_old else ()))


def found(node: Node, kind: Kind, release: int) -> Iterator[Found]:
    """What systemd may take: of each name everything in the first place that has one of it."""
    settled: set[str] = set()
    for place in searched(kind, release):
        folder = below(node.root, place)
        here: set[str] = set()
        for file in _listed(folder):
            path = os.path.join(folder, file)
            try:
                mode = os.stat(real_path(node.root, path)).st_mode
            except FileNotFoundError:
                continue
            except OSError as error:
                yield Found((), path, f"systemd looks no further: {error.strerror or error}")
                continue
            called = _names(file, kind, release, mode)
            new = tuple(each for each in called if each not in settled)
            if new:
                yield Found(new, path)
            if len(called) == 1 and not file.endswith(COLLECTIONS):
                here.update(called)
        settled |= here


def _names(file: str, kind: Kind, release: int, mode: int) -> tuple[str, ...]:
    if stat.S_ISBLK(mode):
        return (file,)
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return ()
    return names_of(file, kind, release, is_folder=stat.S_ISDIR(mode))


def names_of(file: str, kind: Kind, release: int, *, is_folder: bool) -> tuple[str, ...]:
    """The names that systemd may give to a file or folder; none where it takes it for no image."""
    if not is_folder:
        called = [file.removesuffix(".raw")] if file.endswith(".raw") else []
    elif release >= _VERSIONS_SINCE and file.endswith(".v"):
        called = [file.removesuffix(".v").removesuffix(".raw")]
    elif release >= _STACK_SINCE:
        called = [file, file.removesuffix(_STACK)]
    else:
        called = [file]
    cut = (names.without_class(each, kind, systemd_version=release) for each in called)
    return tuple(dict.fromkeys(cut))


def found_by_systemd(node: Node, kind: Kind, release: int) -> dict[str, str]:
    """The images that systemd finds: paths by name."""
    by_name: dict[str, str] = {}
    for each in found(node, kind, release):
        for name in each.names:
            by_name.setdefault(name, each.path)
    return by_name


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def mask_others(
    node: Node,
    others: Iterable[Found],
    problem_of: Callable[[str], str],
    *,
    kind: Kind,
    release: int,
    mask: bool = True,
) -> Iterator[Other]:
    """Keep out what others have put where systemd looks and that must not be merged.

    Args:
        node: the system.
        others: what was found there.
        problem_of: asked about each path; why it must not be merged, empty if it may be.
        kind: of extensions.
        release: of systemd.
        mask: whether it is kept out, or only told.
    """
    for each in others:
        if is_mask(each.path):
            continue
        try:
            reason = each.problem or problem_of(each.path)
        except (SysgraftError, OSError) as error:
            reason = str(error)
        if reason:
            masks = [_mask_name(name, kind, release) for name in each.names]
            done = [mask and _mask(node, kind, name, each.path) for name in masks]
            yield Other(kind, each.path, reason, bool(done) and all(done))


def others_in(node: Node, kind: Kind, release: int, ours: Collection[str]) -> tuple[Found, ...]:
    """What others have put where systemd looks.

    Args:
        node: the system.
        kind: of extensions.
        release: of systemd.
        ours: paths of this boot's links.
    """
    system = below(node.root, "/usr/lib/")
    everything = found(node, kind, release)
    return tuple(e for e in everything if e.path not in ours and not e.path.startswith(system))


def is_mask(path: str) -> bool:
    """Whether it is an empty folder: somebody's own mask."""
    return os.path.isdir(path) and not _listed(path)


def _mask_name(name: str, kind: Kind, release: int) -> str:
    """A folder's name that systemd takes for this one: it cuts one suffix, and no other behind."""
    is_cut = name.endswith((*COLLECTIONS, f".{kind}")) and release >= names.CLASS_SUFFIX_SINCE
    return f"{name}.{kind}" if is_cut else name


def _mask(node: Node, kind: Kind, name: str, path: str) -> bool:
    """Whether it could be done."""
    own = below(node.root, LINKS[kind])
    if path.startswith((below(node.root, "/etc/"), f"{own}/")):
        return False
    state = BootState(STATE, node.root)
    place = os.path.join(own, name)
    try:
        make_plain_folder(node.root, own)
        state.write({STATE: [*state.texts(STATE), place]})
        os.mkdir(place)
    except FileExistsError:
        # Another thing of that name was there before.
        return not os.path.islink(place) and is_mask(place)
    except (SysgraftError, OSError):
        return False
    return True


def unmask(node: Node) -> None:
    """Remove the masks of an earlier run, and no others."""
    state = BootState(STATE, node.root)
    masks = state.texts(STATE)
    for path in masks:
        with suppress(OSError):
            os.rmdir(path)
    if masks:
        state.write({STATE: []})
