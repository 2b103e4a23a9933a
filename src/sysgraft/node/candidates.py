"""Which images this boot is about: those the stub has brought, and those enabled for its entry.

Of one extension, in whatever versions, the more particular image counts: the boot entry's own,
then its role's, the map's, and what is for all, beside which what the stub brought stands; so an
upgrade can be tried on one entry. Of several in one place the newest counts: an upgrade that a
power cut interrupts leaves the links of both versions, which are not to be merged both.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError
from sysgraft.formats.extension_release import Kind
from sysgraft.host.places import below
from sysgraft.image.names import kind_of
from sysgraft.node.layout import COMMON
from sysgraft.node.mapping import extensions_for
from sysgraft.node.store import extension_name
from sysgraft.node.versions import split_name, version_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.node.node import Node
    from sysgraft.node.store import Flaw

STUB: Final = "stub"
"""The profile of images that systemd-stub has brought."""
MAP: Final = "map"
"""The profile of images that the map of the configuration gives to this entry."""

_BROUGHT: Final = (
    ("/.extra/sysext", Kind.SYSEXT),
    ("/.extra/global_sysext", Kind.SYSEXT),
    ("/.extra/confext", Kind.CONFEXT),
    ("/.extra/global_confext", Kind.CONFEXT),
    ("/run/sysgraft/extra/sysext", Kind.SYSEXT),
    ("/run/sysgraft/extra/global_sysext", Kind.SYSEXT),
    ("/run/sysgraft/extra/confext", Kind.CONFEXT),
    ("/run/sysgraft/extra/global_confext", Kind.CONFEXT),
)
BROUGHT: Final = tuple(place for place, _ in _BROUGHT)
"""Where systemd-stub puts them (systemd-stub(7)), and where an initrd that is left saves them."""


class Candidate(NamedTuple):
    """An image that this boot may get.

    Attributes:
        kind: system or configuration extension.
        file: its name.
        path: where it is.
        profile: why it is looked at: a folder of links, `STUB` or `MAP`.
        remembered_in: the store with the list of what was found whole; empty for none.
    """

    kind: Kind
    file: str
    path: str
    profile: str
    remembered_in: str = ""

    @property
    def name(self) -> str:
        """The extension's."""
        return extension_name(self.file)

    @property
    def family(self) -> tuple[Kind, str]:
        """What only one image of a boot can be: an extension, whatever its version."""
        return self.kind, split_name(self.name)[0]


def candidates(node: Node, notes: list[str]) -> tuple[Candidate, ...]:
    """The images of this boot, each file once, the most particular and newest first.

    Args:
        node: the system.
        notes: gets what could not be read.
    """
    found: list[Candidate] = [*_brought(node)]
    for kind in Kind:
        try:
            found += _enabled(node, kind, notes)
        except (InputError, OSError) as error:
            notes.append(f"nothing of the store counts: {error}")
    once = {(each.kind, each.path): each for each in reversed(found)}
    ordered = [each for each in found if once.pop((each.kind, each.path), None) is not None]
    return _preferred(ordered)


def _brought(node: Node) -> Iterator[Candidate]:
    for place, kind in _BROUGHT:
        folder = below(node.root, place)
        try:
            files = sorted(os.listdir(folder))
        except OSError:
            continue
        for file in files:
            path = os.path.join(folder, file)
            if file.endswith(".raw") and os.path.isfile(path) and not os.path.islink(path):
                # Stubs before 256 have configuration extensions among the others.
                yield Candidate(kind_of(file) or kind, file, path, STUB)


def _enabled(node: Node, kind: Kind, notes: list[str]) -> Iterator[Candidate]:
    store = node.store(kind)
    flaws: list[Flaw] = []
    for profile in node.boot.profiles:
        if profile == COMMON:
            for file in _mapped(node, [each.file for each in store.files()]):
                yield Candidate(kind, file, store.path(file), MAP, store.folder)
        try:
            for file in store.enabled(profile, flaws):
                yield Candidate(kind, file, store.path(file), profile, store.folder)
        except (InputError, OSError) as error:
            notes.append(f"nothing that is enabled for {profile} counts: {error}")
    notes += [f"{flaw.path}: {flaw.reason}" for flaw in flaws]


def _mapped(node: Node, files: Sequence[str]) -> list[str]:
    """The files that the map gives to this entry."""
    if not node.settings.rules:
        return []
    by_name = {extension_name(file): file for file in files}
    given = extensions_for(node.boot.profiles, list(by_name), node.settings.rules)
    return [by_name[name] for name in given]


def _preferred(found: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """In the order in which they are tried: of one place the newest version first."""
    # Whoever can write to the ESP must not put an older version before a newer one: what the stub
    # has brought stands beside what is for all.
    profiles = [each.profile for each in found if each.profile not in (STUB, COMMON)]
    places = {each: number for number, each in enumerate(dict.fromkeys(profiles))}
    newest = sorted(found, key=lambda each: version_key(each.name), reverse=True)
    return tuple(sorted(newest, key=lambda each: places.get(each.profile, len(places))))
