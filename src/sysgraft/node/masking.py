"""What others have put where systemd looks: held to the same rules, or at least no harm to all.

What lies in ``/var/lib/extensions`` is merged by systemd beside what this node activates; one bad
image there would take everything along, and a folder there is signed by nobody. An empty folder of
its name in ``/run`` comes earlier in systemd's search, and stands for "no such extension"
(systemd-sysext(8)). What lies in ``/etc/extensions`` comes before ``/run`` and cannot be masked: it
is told. What is part of the system, below ``/usr/lib``, is left alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import SysgraftError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.boot_state import BootState
from sysgraft.host.places import below, make_plain_folder
from sysgraft.image import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def found_by_systemd(node: Node, kind: Kind) -> dict[str, str]:
    """The images that systemd finds: paths by name."""
    found: dict[str, str] = {}
    for place in SEARCHED[kind]:
        folder = below(node.root, place)
        for file in _listed(folder):
            if not file.startswith("."):
                found.setdefault(names.image_name(file), os.path.join(folder, file))
    return found


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def others_files(node: Node, kind: Kind) -> bool:
    """Whether anything lies where systemd looks beside the folder of this boot's links."""
    places = (below(node.root, each) for each in SEARCHED[kind] if each != LINKS[kind])
    return any(_listed(each) for each in places)


def mask_others(
    node: Node, kind: Kind, problem_of: Callable[[str], str], *, mask: bool = True
) -> Iterator[Other]:
    """Keep out what others have put where systemd looks and that must not be merged.

    Args:
        node: the system.
        kind: of extensions.
        problem_of: asked about each path; why it must not be merged, empty if it may be.
        mask: whether it is kept out, or only told.
    """
    own = below(node.root, LINKS[kind])
    system = below(node.root, "/usr/lib/")
    for name, path in found_by_systemd(node, kind).items():
        if os.path.dirname(path) == own or path.startswith(system) or _is_mask(path):
            continue
        try:
            reason = problem_of(path)
        except (SysgraftError, OSError) as error:
            reason = str(error)
        if reason:
            yield Other(kind, path, reason, mask and _mask(node, own, name, path))


def _is_mask(path: str) -> bool:
    """Whether it is an empty folder: somebody's own mask."""
    return os.path.isdir(path) and not _listed(path)


def _mask(node: Node, own: str, name: str, path: str) -> bool:
    """Whether it could be done."""
    if path.startswith(below(node.root, "/etc/")):
        return False
    state = BootState(STATE, node.root)
    place = os.path.join(own, name)
    try:
        make_plain_folder(node.root, own)
        state.write({"masks": [*_masks(state), place]})
        os.mkdir(place)
    except FileExistsError:
        return False
    except (SysgraftError, OSError):
        return False
    return True


def unmask(node: Node) -> None:
    """Remove the masks of an earlier run, and no others."""
    state = BootState(STATE, node.root)
    masks = _masks(state)
    for path in masks:
        with suppress(OSError):
            os.rmdir(path)
    if masks:
        state.write({"masks": []})


def _masks(state: BootState) -> list[str]:
    found = state.read().get("masks", [])
    return [str(each) for each in found] if isinstance(found, list) else []
