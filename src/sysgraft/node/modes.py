"""What a node does with an image that is not as it should be, and what systemd then makes of it.

``enforced`` skips it, ``permissive`` links it and warns as far as this systemd can merge it, and
``disabled`` links everything unseen. What a systemd can merge is not this module's to say: the
image policy of each mode is held against `sysgraft.image.policy_assess`, which knows the releases.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.base.systemd import LATEST, OLDEST
from sysgraft.errors import UsageError
from sysgraft.formats import image_policy_algebra, policy_builtin
from sysgraft.formats.extension_release import Kind
from sysgraft.image.policy import Found
from sysgraft.image.policy_assess import Facts, Signature, assess
from sysgraft.node.settings import Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class State(StrEnum):
    """What an image is."""

    GOOD = "good"  # signed by somebody trusted, whole, for this host
    UNSIGNED = "unsigned"  # no signature at all
    UNTRUSTED = "untrusted"  # a sound signature by nobody who is trusted
    BAD_SIGNATURE = "bad-signature"  # a signature that is none of its root hash
    REVOKED = "revoked"  # its signer was revoked
    DAMAGED = "damaged"  # its bytes are not what the root hash stands for
    MISNAMED = "misnamed"  # no release file for its name: the whole merge would end
    FOREIGN = "foreign"  # for another architecture, distribution or version
    DENIED = "denied"  # on the list of the configuration
    REFUSED = "refused"  # the administrator's image policy does not let it in
    UNREADABLE = "unreadable"  # no image, or one that cannot be read


class Fate(StrEnum):
    """What becomes of it."""

    MERGED = "merged"
    MERGED_WITH_WARNING = "merged, with a warning"
    SKIPPED = "skipped"
    ENDS_THE_MERGE = "ends the merge of all"


_LOOSE: Final = {
    Kind.SYSEXT: "root=verity+signed+unprotected+absent:usr=verity+signed+unprotected+absent",
    Kind.CONFEXT: "root=verity+signed+unprotected+absent",
}
"""With it systemd takes images without a signature, and since 259 passes over bad ones."""


def policy(mode: Mode, kind: Kind, *, unsigned: bool, own: Sequence[str] = ()) -> str:
    """The image policy for systemd-sysext or systemd-confext.

    Args:
        mode: of the node.
        kind: system or configuration extensions.
        unsigned: whether images without a signature are wanted in mode enforced.
        own: policies that the administrator has set; never weakened.

    Raises:
        UsageError: together they allow nothing at all.
    """
    loose = unsigned or mode is not Mode.ENFORCED
    text = _LOOSE[kind] if loose else f"@{kind}-strict"
    result = policy_builtin.parse_or_builtin(text)
    for each in own:
        try:
            result = image_policy_algebra.intersect(result, policy_builtin.parse_or_builtin(each))
        except UsageError as error:
            error.hint = f"the node's policy is {text}, the administrator's {each}"
            raise
    return str(result)


def fate(
    mode: Mode, state: State, release: int, *, unsigned: bool = False, image_policy: str = ""
) -> Fate:
    """What becomes of an image under a mode, on a release of systemd.

    Args:
        mode: of the node.
        state: of the image.
        release: of systemd.
        unsigned: whether images without a signature are wanted in mode enforced.
        image_policy: in force; empty for that of the mode alone.
    """
    if state is State.GOOD:
        return Fate.MERGED
    merges = state in _SIGNATURES and _merges(state, release, image_policy or _LOOSE[Kind.SYSEXT])
    if mode is Mode.ENFORCED:
        is_wanted = unsigned and state is State.UNSIGNED and merges
        return Fate.MERGED if is_wanted else Fate.SKIPPED
    if state in (State.DENIED, State.FOREIGN):
        return Fate.SKIPPED
    if merges:
        return Fate.MERGED_WITH_WARNING
    return Fate.SKIPPED if mode is Mode.PERMISSIVE else Fate.ENDS_THE_MERGE


_SIGNATURES: Final = {
    # A signer that was revoked is none that systemd knows to be revoked.
    State.REVOKED: Signature.OK,
    State.UNSIGNED: None,
    State.UNTRUSTED: Signature.UNKNOWN,
    State.BAD_SIGNATURE: Signature.BAD,
}
"""States that are about signatures alone, and what systemd sees of each."""


def _merges(state: State, release: int, image_policy: str) -> bool:
    """Whether systemd merges a whole image in such a state under a policy."""
    signature = _SIGNATURES[state]
    designators = ("root", "root-verity", "root-verity-sig")[: 2 if signature is None else 3]
    found = {each: Found(read_only=True) for each in designators}
    facts = Facts(found, signature or Signature.UNKNOWN)
    return assess(
        policy_builtin.parse_or_builtin(image_policy), facts, systemd_version=release
    ).accepts


class Row(NamedTuple):
    """One line of the table of modes.

    Attributes:
        mode: of the node.
        releases: of systemd, the first and the last.
        fates: by the state of the image.
    """

    mode: Mode
    releases: tuple[int, int]
    fates: tuple[tuple[State, Fate], ...]


def table() -> Iterator[Row]:
    """Every mode, with the releases that do the same in one line."""
    for mode in Mode:
        rows: list[Row] = []
        for release in range(OLDEST, LATEST + 1):
            fates = tuple((state, fate(mode, state, release)) for state in State)
            if rows and rows[-1].fates == fates:
                rows[-1] = rows[-1]._replace(releases=(rows[-1].releases[0], release))
            else:
                rows.append(Row(mode, (release, release), fates))
        yield from rows
