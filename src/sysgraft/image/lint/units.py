"""Units in extensions: who starts them, since nobody has read them at boot.

PID 1 has read all units, and decided what the boot starts, before extensions are merged. After a
reload ``WantedBy=`` and ``.wants`` links come too late, as the target is on its way already; only
``Upholds=`` (systemd 249 and newer) is acted upon at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.image.lint.commands import UNITS
from sysgraft.image.lint.finding import found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sysgraft.formats.unit_file import Unit
    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Scene, Subject

RELOAD_SINCE: Final = 254
"""The systemd that began to know ``EXTENSION_RELOAD_MANAGER``."""

_STARTABLE: Final = (
    b".service",
    b".socket",
    b".timer",
    b".path",
    b".mount",
    b".automount",
    b".target",
)
_INSTALL: Final = ("WantedBy", "RequiredBy")
_LINKS: Final = (b".wants", b".requires")
# What is started by a unit of the same name: systemd.socket(5), .timer(5), .path(5).
_STARTERS: Final = (".socket", ".timer", ".path")


def check(scene: Scene) -> Iterator[Finding]:
    """Units that nobody starts, and those that PID 1 does not hear of."""
    upheld = _upheld(scene)
    for subject in scene.subjects:
        yield from _never_started(subject, scene.units[subject.file], upheld)
        yield from _not_reloaded(subject, scene.release)


def _upheld(scene: Scene) -> frozenset[str]:
    """The units that some drop-in, unit or ``.upholds`` folder of the set upholds."""
    names: set[str] = set()
    for subject in scene.subjects:
        for unit in scene.units[subject.file].values():
            names.update(unit.words("Unit", "Upholds"))
        for path, _ in subject.below(UNITS[subject.kind]):
            folder, _, name = path.rpartition(b"/")
            if folder.endswith(b".upholds"):
                names.add(name.decode("utf-8", "replace"))
    return frozenset(names)


def _never_started(
    subject: Subject, units: Mapping[bytes, Unit], upheld: frozenset[str]
) -> Iterator[Finding]:
    folder = UNITS[subject.kind]
    wanted = {
        path: name
        for path, unit in units.items()
        if (name := path.decode("utf-8", "replace")) and _is_installed(path, unit)
    }
    for path, _ in subject.below(folder):
        below = path[len(folder) + 1 :]
        if below.rpartition(b"/")[0].endswith(_LINKS):
            wanted[below] = below.rpartition(b"/")[2].decode("utf-8", "replace")
    for path, name in wanted.items():
        if not _is_started(name, upheld):
            problem = (
                "no Upholds= in the set starts them: what wants them was read before the merge"
            )
            yield found("unit-never-starts", problem, subject.file, path=folder + b"/" + path)


def _is_installed(path: bytes, unit: Unit) -> bool:
    """Whether a unit file, not a drop-in, asks to be enabled."""
    if b"/" in path or not path.endswith(_STARTABLE):
        return False
    return any(unit.words("Install", key) for key in _INSTALL)


def _is_started(name: str, upheld: frozenset[str]) -> bool:
    stem, _, _ = name.rpartition(".")
    template, at, _ = stem.partition("@")
    if name in upheld or (
        name.endswith(".service") and any(stem + each in upheld for each in _STARTERS)
    ):
        return True
    return bool(at) and any(each.startswith(f"{template}@") for each in upheld)


def _not_reloaded(subject: Subject, release: int) -> Iterator[Finding]:
    folder = UNITS[subject.kind]
    units = [
        path for path, inode in subject.below(folder) if not inode.is_dir and not inode.is_whiteout
    ]
    if not units or (subject.release is not None and subject.release.reloads_manager):
        return
    problem = "PID 1 does not hear of its units: EXTENSION_RELOAD_MANAGER=1 is missing"
    if release < RELOAD_SINCE:
        problem = f"systemd {release} does not hear of its units; {RELOAD_SINCE} can"
    for path in units:
        yield found("no-manager-reload", problem, subject.file, path=path)
