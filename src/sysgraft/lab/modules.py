"""Which files of a kernel's module folder some modules need: ``modules.dep`` followed to its end.

Lines are ``PATH: PATH…``, each path relative to the folder, the needed ones directly or not behind
the colon (kmod's depmod(8)); a module's name is its file's without suffixes, and ``-`` and ``_``
are the same in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable


def needed(dependencies: str, builtin: str, names: Iterable[str]) -> list[str]:
    """The paths of modules and of all they need, in the order they can be loaded.

    Args:
        dependencies: the text of ``modules.dep``.
        builtin: the text of ``modules.builtin``: such modules need no file.
        names: the modules.

    Raises:
        InputError: the kernel has no such module.
    """
    lines = (line.partition(":") for line in dependencies.splitlines() if line)
    behind = {path: rest.split() for path, _, rest in lines}
    paths = {_name(path): path for path in behind}
    inside = {_name(path) for path in builtin.splitlines()}
    found: dict[str, None] = {}
    for name in names:
        plain = name.replace("-", "_")
        if plain in inside:
            continue
        if plain not in paths:
            raise InputError(f"the kernel has no module {name}")
        # Behind the colon the most basic one is last.
        found |= dict.fromkeys((*reversed(behind[paths[plain]]), paths[plain]))
    return list(found)


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition(".ko")[0].replace("-", "_")
