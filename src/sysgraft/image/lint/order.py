"""Extensions that are hard to tell apart: by their names, by the order of their layers."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final

from sysgraft.base import version
from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint.finding import found
from sysgraft.image.merge_order import merge_orders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Scene, Subject

# A version behind a name: systemd's own separators, or a hyphen where it cannot be a plain number.
_VERSION: Final = re.compile(r"[_+]v?\d.*|-v?\d+\.\d.*")


def check(scene: Scene) -> Iterator[Finding]:
    """Versions of one extension, names that are equal as versions, and two orders."""
    for kind in Kind:
        subjects = scene.of(kind)
        yield from _versions(subjects)
        yield from _undecided(subjects)
        yield from _two_orders(subjects, kind, scene.release)


def _versions(subjects: tuple[Subject, ...]) -> Iterator[Finding]:
    groups: dict[str, list[Subject]] = {}
    for each in subjects:
        groups.setdefault(_VERSION.sub("", each.name), []).append(each)
    for name, group in groups.items():
        if len(group) > 1:
            problem = f"versions of {name}, merged together: {group[-1].file} lies over the others"
            yield found("several-versions", problem, *(each.file for each in group))


def _undecided(subjects: tuple[Subject, ...]) -> Iterator[Finding]:
    for _, equal in groupby(subjects, key=lambda each: version.key(each.name)):
        group = [each.file for each in equal]
        if len(group) > 1:
            problem = "their names are equal as versions: which lies higher can change at each boot"
            yield found("undecided-order", problem, *group)


def _two_orders(subjects: tuple[Subject, ...], kind: Kind, release: int) -> Iterator[Finding]:
    files = {each.file.rpartition("/")[2]: each.file for each in subjects}
    for order in merge_orders(tuple(files), kind=kind, release=release) if files else ():
        if not order.is_same:
            listed = " ".join(files[name] for name in order.packed)
            problem = f"the stub packs and measures them in another order: {listed}"
            yield found("orders-differ", problem, *(files[each.file] for each in order.merged))
