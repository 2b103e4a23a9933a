"""The text files depmod writes into a kernel's folder: aliases and dependencies of its modules.

depmod(8), modules.dep(5) and modprobe.d(5): ``modules.alias``, ``modules.dep``,
``modules.softdep``, ``modules.weakdep`` (kmod ≥ 33), ``modules.builtin``, and
``modules.builtin.modinfo`` of the kernel's own build (``scripts/Makefile.vmlinux_o``). The binary
twins that modprobe reads are made from the same lines and not read here.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import LimitError
from sysgraft.formats.modinfo import module_name

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SIZE: Final = 64 << 20
"""Bytes of one of these files; Debian's largest, ``modules.alias``, has 1.4 MB."""


class SoftDependency(NamedTuple):
    """Modules that are loaded along with another if they are there.

    Attributes:
        before: loaded first.
        after: loaded behind it.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]


def aliases(data: bytes) -> tuple[tuple[str, str], ...]:
    """Patterns and modules of ``modules.alias``, in the order of the file.

    Raises:
        LimitError: more than `MAX_SIZE` bytes, as all readers here.
    """
    found = (words for words in _lines(data) if len(words) == 3 and words[0] == "alias")
    return tuple((pattern, underscored(module)) for _, pattern, module in found)


def dependencies(data: bytes) -> dict[str, tuple[str, ...]]:
    """Names of the modules that each needs, all of them and not only its neighbours."""
    found: dict[str, tuple[str, ...]] = {}
    named = cache(name_of)  # the same few modules are needed by many
    for line in _text(data).splitlines():
        path, colon, needed = line.partition(":")
        name = named(path.strip())
        if colon and name:
            found[name] = tuple(filter(None, map(named, needed.split())))
    return found


def soft_dependencies(data: bytes) -> dict[str, SoftDependency]:
    """What ``modules.softdep`` says of each module."""
    found: dict[str, SoftDependency] = {}
    for words in _lines(data):
        if len(words) > 2 and words[0] == "softdep":
            name = underscored(words[1])
            known = found.get(name, SoftDependency((), ()))
            more = soft_dependency(" ".join(words[2:]))
            found[name] = SoftDependency(known.before + more.before, known.after + more.after)
    return found


def soft_dependency(text: str) -> SoftDependency:
    """What a module's own ``softdep`` says; names before ``pre:`` and ``post:`` are not used."""
    lists: dict[str, list[str]] = {"pre:": [], "post:": []}
    chosen: list[str] | None = None
    for word in text.split():
        if word in lists:
            chosen = lists[word]
        elif chosen is not None:
            chosen.append(underscored(word))
    return SoftDependency(tuple(lists["pre:"]), tuple(lists["post:"]))


def weak_dependencies(data: bytes) -> dict[str, tuple[str, ...]]:
    """What ``modules.weakdep`` says of each module: what it may load itself, later."""
    found: dict[str, tuple[str, ...]] = {}
    for words in _lines(data):
        if len(words) > 2 and words[0] == "weakdep":
            name = underscored(words[1])
            found[name] = found.get(name, ()) + tuple(map(underscored, words[2:]))
    return found


def built_in(data: bytes) -> tuple[str, ...]:
    """Names of ``modules.builtin``, in the order of the file."""
    return tuple(filter(None, (name_of(line.strip()) for line in _text(data).splitlines())))


def built_in_info(data: bytes) -> dict[str, tuple[tuple[str, str], ...]]:
    """Fields that built-in modules have of themselves: ``NAME.KEY=VALUE``, each ended by NUL."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in _text(data).split("\0"):
        left, equals, value = line.partition("=")
        name, dot, key = left.partition(".")
        if equals and dot:
            found.setdefault(underscored(name), []).append((key, value))
    return {name: tuple(fields) for name, fields in found.items()}


def underscored(name: str) -> str:
    """A module's name in the one spelling in which names are compared."""
    return name.replace("-", "_")


def name_of(path: str) -> str:
    """The name of the module in a file; empty for a file that is none."""
    name = module_name(path.rpartition("/")[2].encode())
    return name.decode() if name else ""


def _lines(data: bytes) -> Iterator[list[str]]:
    return (line.split() for line in _text(data).splitlines() if not line.startswith("#"))


def _text(data: bytes) -> str:
    if len(data) > MAX_SIZE:
        raise LimitError(f"an index of modules of {len(data)} bytes, the limit is {MAX_SIZE}")
    return data.decode("utf-8", "backslashreplace")
