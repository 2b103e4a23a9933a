"""The checks an extension image has to pass, and what became of each.

A check that was required and could not be made is not a pass. A check nobody asked for (there
was no host to match, no list of revocations) is skipped without harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from sysgraft.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Status: TypeAlias = Literal["ok", "fail", "skipped"]

# In the order they are reported. What each one proves is in docs/reference/checks.md.
CHECKS: Final = (
    "gpt",
    "root-hash-link",
    "verity-tree",
    "signature",
    "trust",
    "revocation",
    "name",
    "extension-release",
    "host-match",
    "image-policy",
)
# Required only when the caller gives what they compare with.
ON_REQUEST: Final = frozenset({"revocation", "host-match"})


class Check(NamedTuple):
    """The outcome of one check.

    Attributes:
        name: one of `CHECKS`.
        status: what became of it.
        reason: one sentence for the person who has to act.
        required: whether anything but "ok" makes the image fail.
    """

    name: str
    status: Status
    reason: str
    required: bool = True

    @property
    def passes(self) -> bool:
        """Whether the image may still be good after this check."""
        return self.status == "ok" or (self.status == "skipped" and not self.required)


def ok(name: str, reason: str) -> Check:
    """A check that was made and holds."""
    return Check(name, "ok", reason)


def fail(name: str, reason: str) -> Check:
    """A check that was made and does not hold."""
    return Check(name, "fail", reason)


def skipped(name: str, reason: str, *, required: bool = True) -> Check:
    """A check that was not made."""
    return Check(name, "skipped", reason, required)


def check_names(names: Iterable[str], known: Sequence[str]) -> None:
    """Raise `UsageError` unless every name is that of a check."""
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UsageError(f"no check {unknown[0]!r}", hint=f"there are: {', '.join(known)}")
