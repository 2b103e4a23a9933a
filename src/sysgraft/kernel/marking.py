"""Which of some kernels a name or a pattern means, and which need one another's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.kernel import loader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sysgraft.kernel.listing import Kernel


def meant(kernels: Sequence[Kernel], pattern: str, *, whole: bool = True) -> tuple[Kernel, ...]:
    """What a variable means: the one of that name, else the newest that a pattern fits.

    Args:
        kernels: the newest version first.
        pattern: name or pattern; empty for nothing.
        whole: whether it is to be a name with its suffix; else all of a name without one.
    """
    wanted = pattern.casefold()
    exact = tuple(each for each in kernels if each.identifier.casefold() == wanted)
    if exact:
        return exact
    if not whole:
        return tuple(each for each in kernels if each.name.casefold() == wanted)
    return tuple(each for each in kernels if loader.is_meant(pattern, each.identifier))[:1]


def shared(kernels: Sequence[Kernel]) -> Iterator[Kernel]:
    """Each with the entries that need a file of it; what runs or is next by them is so itself."""
    needed: dict[str, list[Kernel]] = {}
    for each in kernels:
        for path in each.files:
            needed.setdefault(path, []).append(each)
    for each in kernels:
        others = {o.identifier: o for path in each.files for o in needed[path]}
        users = [other for other in others.values() if other.name != each.name]
        yield each._replace(
            booted=each.booted or any(other.booted for other in users),
            default=each.default or any(other.default for other in users),
            once=each.once or any(other.once for other in users),
            users=tuple(other.identifier for other in users),
        )
