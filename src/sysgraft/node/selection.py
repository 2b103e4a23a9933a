"""What a person means by a name: an extension, a file, a glob over either; never a part of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.errors import InputError, UsageError
from sysgraft.node.layout import COMMON, Role, is_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.node.node import Node
    from sysgraft.node.store import Store, Stored

_SPECIAL: Final = frozenset("*?[")


class Selected(NamedTuple):
    """A file of a store that is meant.

    Attributes:
        store: where it is kept.
        stored: the file.
    """

    store: Store
    stored: Stored


def select(node: Node, pattern: str, *, kinds: Sequence[str] = ()) -> tuple[Selected, ...]:
    """The installed files that a name or glob means.

    Args:
        node: the system.
        pattern: an extension's name, a file's name, or a glob over either.
        kinds: of stores; empty for all.

    Raises:
        UsageError: it is no name or glob.
        InputError: nothing that is installed has such a name.
    """
    from sysgraft.node.mapping import problem_of  # noqa: PLC0415  `node list` selects nothing

    problem = problem_of(pattern)
    if problem:
        raise UsageError(f"{pattern!r} is no name or pattern: {problem}")
    everything = [
        Selected(store, stored)
        for store in node.stores
        if not kinds or store.kind in kinds
        for stored in store.files()
    ]
    found = [each for each in everything if _means(pattern, each.stored)]
    if not found:
        raise _nothing(node, pattern, [each.stored for each in everything], kinds)
    return tuple(found)


def _means(pattern: str, stored: Stored) -> bool:
    from sysgraft.node.mapping import matches  # noqa: PLC0415  see above

    return matches(pattern, stored.name) or matches(pattern, stored.file)


def _nothing(node: Node, pattern: str, known: Sequence[Stored], kinds: Sequence[str]) -> InputError:
    import difflib  # noqa: PLC0415  only for a mistyped name

    store = next(each for each in node.stores if not kinds or each.kind in kinds)
    names = sorted({each.name for each in known})
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
    listed = ", ".join(near or names[:8]) or "nothing"
    what = "matches" if _SPECIAL & set(pattern) else "is called"
    verb = "did you mean" if near else "installed is"
    return InputError(
        f"no installed extension {what} {pattern}", file=store.folder, hint=f"{verb}: {listed}"
    )


def profiles_of(
    *, active: bool, passive: bool, recovery: bool, common: bool, entries: Sequence[str]
) -> tuple[str, ...]:
    """The folders of links that options name.

    Raises:
        UsageError: a name can be none of a boot entry.
    """
    wanted = {Role.ACTIVE: active, Role.PASSIVE: passive, Role.RECOVERY: recovery, COMMON: common}
    for entry in entries:
        if not is_entry(entry):
            raise UsageError(f"{entry!r} is no name of a boot entry")
    found = [str(name) for name, is_wanted in wanted.items() if is_wanted]
    return tuple(dict.fromkeys([*found, *entries]))


def require_profiles(profiles: Sequence[str]) -> None:
    """Refuse to guess which boot entries are meant.

    Raises:
        UsageError: none was named.
    """
    if not profiles:
        raise UsageError(
            "for which boot entries?",
            hint="give --active, --passive, --recovery, --common or --entry NAME",
        )
