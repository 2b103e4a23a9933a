"""Indexes of kernel modules: extensions that hide each other's, and modules that are in none.

``modprobe`` finds modules through ``modules.dep.bin`` and its companions in the kernel's folder. A
merge shows one of each, that of the uppermost layer: it has to know the modules of all layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.formats import modules_dep
from sysgraft.formats.extension_release import Kind
from sysgraft.image.lint.finding import found
from sysgraft.image.lint.kernels import folder_of, is_module, split_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Scene
    from sysgraft.image.lint.view import Seen

_DEP: Final = b"modules.dep"
_MADE: Final = frozenset(
    name + suffix
    for name in (
        *(_DEP, b"modules.alias", b"modules.symbols", b"modules.builtin.alias"),
        *(b"modules.softdep", b"modules.weakdep", b"modules.devname"),
    )
    for suffix in (b"", b".bin")
)
"""What depmod(8) writes; ``modules.order`` and the other ``modules.builtin`` are its input."""


def check(scene: Scene) -> Iterator[Finding]:
    """For each kernel, whether its index knows all modules that will be seen."""
    kernels: dict[bytes, dict[bytes, Seen]] = {}
    for path, seen in scene.views[Kind.SYSEXT].seen.items():
        split = split_path(path)
        if split is not None and not seen.inode.is_dir:
            kernels.setdefault(split[0], {})[split[1]] = seen
    for release, files in kernels.items():
        if any(seen.owner is not None for seen in files.values()):
            yield from _judge(scene, release, files)


def _judge(scene: Scene, release: bytes, files: dict[bytes, Seen]) -> Iterator[Finding]:
    modules = {path: seen for path, seen in files.items() if is_module(path)}
    index = files.get(_DEP)
    listed = _listed(scene, release, index)
    if listed is None:
        return
    name = release.decode("utf-8", "backslashreplace")
    missing = {path: seen for path, seen in modules.items() if path not in listed}
    yield from _mixed(release, files)
    if index is not None and index.owner is not None:
        yield from _hidden(index.owner.file, release, missing)
        if scene.host is None:
            problem = f"its index of modules hides the base's, if the base has the kernel {name}"
            for path, seen in files.items():
                if path in _MADE and seen.owner is not None:
                    place = folder_of(release, path)
                    yield found("modules-index", problem, seen.owner.file, path=place)
    elif b"depmod" not in scene.commands:
        for path, seen in missing.items():
            if seen.owner is not None:
                problem = (
                    f"modprobe does not find modules that are in no index of the kernel {name}"
                )
                yield found(
                    "modules-unindexed", problem, seen.owner.file, path=folder_of(release, path)
                )


def _mixed(release: bytes, files: dict[bytes, Seen]) -> Iterator[Finding]:
    """An index in text whose binary form, which modprobe reads, is of another layer."""
    text, binary = files.get(_DEP), files.get(_DEP + b".bin")
    if text is None or binary is None or text.owner is binary.owner:
        return
    images = [each.owner.file for each in (text, binary) if each.owner is not None]
    problem = "modules.dep and modules.dep.bin, which modprobe reads, are of different layers"
    yield found("modules-index", problem, *images, path=folder_of(release, _DEP))


def _hidden(index: str, release: bytes, missing: dict[bytes, Seen]) -> Iterator[Finding]:
    """Modules that the visible index, an extension's, does not know."""
    for path, seen in missing.items():
        owner = seen.owner.file if seen.owner else "the base"
        images = dict.fromkeys((index, seen.owner.file)) if seen.owner else (index,)
        problem = f"the index of modules in {index} is the one seen, and lacks modules of {owner}"
        yield found("modules-hidden", problem, *images, path=folder_of(release, path))


def _listed(scene: Scene, release: bytes, index: Seen | None) -> frozenset[bytes] | None:
    """The modules an index knows; None if it cannot be read."""
    if index is None:
        return frozenset()
    owner = index.owner.file if index.owner else ""
    path = folder_of(release, _DEP)
    data = scene.contents.read(owner, path, index.inode, limit=modules_dep.MAX_SIZE)
    return None if data is None else modules_dep.listed(data)
