"""Where files lie: inside what is merged or not; and extensions with nothing in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.base.tree import is_below, printable
from sysgraft.errors import UsageError
from sysgraft.formats.extension_release import Kind, split_path
from sysgraft.image.lint.finding import found
from sysgraft.image.lint.scene import HIERARCHIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Scene, Subject

_KAIROS: Final = ("bin", "share", "lib", "include", "src", "sbin")

PROFILES: Final[Mapping[str, tuple[bytes, ...]]] = {
    "default": HIERARCHIES[Kind.SYSEXT],
    # SYSTEMD_SYSEXT_HIERARCHIES of Kairos: up to v4.2, and since.
    "kairos-4.2": tuple(
        f"{usr}/{each}".encode() for usr in ("usr/local", "usr") for each in _KAIROS
    ),
    "kairos": tuple(f"usr/{each}".encode() for each in _KAIROS),
}
"""Targets by name, and what they merge of system extensions."""


def hierarchies(text: str) -> tuple[bytes, ...]:
    """The folders of a profile, or of a list like that of ``SYSTEMD_SYSEXT_HIERARCHIES``.

    Raises:
        UsageError: neither a profile nor absolute paths joined with colons.
    """
    if text in PROFILES:
        return PROFILES[text]
    paths = [path.rstrip("/") for path in text.split(":")]
    if all(path.startswith("/") and _is_clean(path) for path in paths):
        return tuple(path[1:].encode("utf-8", "surrogateescape") for path in paths)
    raise UsageError(
        f"no hierarchies: {text!r}",
        hint=f"there are {', '.join(PROFILES)}; else give paths as in /usr:/opt",
    )


def _is_clean(path: str) -> bool:
    return all(part not in ("", ".", "..") for part in path[1:].split("/"))


def check(scene: Scene) -> Iterator[Finding]:
    """Files outside of what is merged, and extensions of nothing."""
    for subject in scene.subjects:
        if subject.choice is not None:
            yield from _outside(subject, scene.merged_of(subject.kind))
            yield from _empty(subject)


def _outside(subject: Subject, merged: tuple[bytes, ...]) -> Iterator[Finding]:
    for path, inode in subject.tree.items():
        if inode.is_dir or split_path(path) or any(is_below(path, each) for each in merged):
            continue
        top = b"/".join(path.split(b"/")[:-1][:2]) or path
        problem = f"what is in /{printable(top)} is not merged of a {subject.kind}"
        yield found("outside-hierarchies", problem, subject.file, path=path)


def _empty(subject: Subject) -> Iterator[Finding]:
    if all(inode.is_dir or split_path(path) for path, inode in subject.tree.items()):
        problem = "there is nothing in it but what it says of itself"
        yield found("empty", problem, subject.file)
