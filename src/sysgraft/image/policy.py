"""Which partitions of an image a policy does not allow.

`evaluate` compares the partitions an image has with the rules: all that ``systemd-dissect
--validate`` looks at. It follows ``src/shared/dissect-image.c`` of v254 to v262. Whether a
signature is good, and what becomes of an allowed image, is for `sysgraft.image.policy_assess`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sysgraft.formats.image_policy_flags import (
    DATA_OF,
    DESIGNATORS,
    FSTYPES,
    FSTYPES_SINCE,
    GROWFS,
    IGNORE,
    LUKS,
    NOTHING,
    PROTECTED,
    READ_ONLY,
    SIGNATURE_OF,
    USE,
    VERITY_OF,
    Flag,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sysgraft.formats.image_policy import ImagePolicy

LUKS_FSTYPE: Final = "crypto_LUKS"

# The systemd that began to take a signed partition for verity and unprotected as well.
ALTERNATIVES_SINCE: Final = 258


class Found(NamedTuple):
    """One partition of an image.

    Attributes:
        read_only: GPT attribute bit 60.
        growfs: GPT attribute bit 59.
        fstype: what it holds, `LUKS_FSTYPE` where it is encrypted, None where unknown.
        integrity: whether the encryption authenticates every sector.
    """

    read_only: bool = False
    growfs: bool = False
    fstype: str | None = None
    integrity: bool = False


class Violation(NamedTuple):
    """One partition, there or missing, that the policy does not allow; and why."""

    designator: str
    reason: str


class Verdict(NamedTuple):
    """Whether the partitions of an image are allowed: they are if nothing is listed."""

    violations: tuple[Violation, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the policy allows the image."""
        return not self.violations

    @property
    def reason(self) -> str:
        """All reasons in one line, an empty string where there is none."""
        return "; ".join(violation.reason for violation in self.violations)


def evaluate(
    policy: ImagePolicy,
    found: Mapping[str, Found],
    *,
    systemd_version: int | None = None,
) -> Verdict:
    """Which partitions of an image a policy does not allow.

    Args:
        policy: the policy.
        found: the image's partitions by designator.
        systemd_version: who judges; None stands for the policy's own version.

    Raises:
        UnsupportedError: that version has no such policies.
    """
    if systemd_version is not None:
        policy = policy.at(systemd_version)
    used = in_use(policy, found)
    return Verdict(
        tuple(
            Violation(designator, reason)
            for designator in DESIGNATORS
            for reason in _problems(policy, designator, found, used)
        )
    )


def in_use(policy: ImagePolicy, found: Iterable[str]) -> frozenset[str]:
    """The designators that count: all but those the policy passes over."""
    return frozenset(designator for designator in found if not _is_ignored(policy, designator))


def _is_ignored(policy: ImagePolicy, designator: str) -> bool:
    """Whether a partition is passed over: it may be unused, and not be used in any way."""
    use = policy.allowed(designator) & USE
    return Flag.UNUSED in use and not use & ~IGNORE


def _problems(
    policy: ImagePolicy, designator: str, found: Mapping[str, Found], used: frozenset[str]
) -> Iterator[str]:
    """The first thing wrong with one designator, if there is any."""
    allowed = policy.allowed(designator)
    if designator in found and designator not in used:
        return
    layout = _layout_flags(policy, designator, used)
    # Of hash and signature partitions the content is no file system, and not looked at.
    probed = designator in used - DATA_OF.keys()
    content = _content_flags(policy, found[designator]) if probed else layout
    if not (layout & allowed and content & allowed):
        wanted = policy.text_of(allowed & USE)
        have = _describe(designator, found, used)
        yield f"{designator} is {have}, the policy wants {wanted}"
    elif designator in used:
        yield from _attribute_problems(designator, allowed, found[designator])


def _layout_flags(policy: ImagePolicy, designator: str, used: frozenset[str]) -> Flag:
    """What the partition table shows of a partition: dissect_image()'s found_flags."""
    if designator not in used:
        return Flag.ABSENT
    protection = NOTHING
    if VERITY_OF.get(designator) in used:
        signed = SIGNATURE_OF[designator] in used
        protection = PROTECTED if signed else Flag.VERITY
    plain = LUKS | Flag.UNPROTECTED
    if policy.systemd_version >= ALTERNATIVES_SINCE:
        return plain | Flag.UNUSED | protection
    # Before, only the strongest counted.
    return Flag.SIGNED if Flag.SIGNED in protection else protection or plain


def _content_flags(policy: ImagePolicy, partition: Found) -> Flag:
    """What the content adds: dissected_image_probe_filesystems()'s found_flags."""
    modern = policy.systemd_version >= ALTERNATIVES_SINCE
    extra = Flag.UNUSED if modern else NOTHING
    if partition.fstype != LUKS_FSTYPE:
        return Flag.UNPROTECTED | PROTECTED | extra
    if policy.systemd_version >= FSTYPES_SINCE and partition.integrity:
        return Flag.ENCRYPTEDWITHINTEGRITY | extra
    return Flag.ENCRYPTED | extra


def _describe(designator: str, found: Mapping[str, Found], used: frozenset[str]) -> str:
    if designator not in found:
        return "absent"
    if found[designator].fstype == LUKS_FSTYPE:
        return "encrypted with integrity" if found[designator].integrity else "encrypted"
    if VERITY_OF.get(designator) not in used:
        return "present" if designator in DATA_OF else "unprotected"
    return "signed" if SIGNATURE_OF[designator] in used else "verity without a signature"


def _attribute_problems(designator: str, allowed: Flag, partition: Found) -> Iterator[str]:
    checks = (
        ("read-only", READ_ONLY, Flag.READ_ONLY_ON, partition.read_only),
        ("growfs", GROWFS, Flag.GROWFS_ON, partition.growfs),
    )
    for name, group, on, value in checks:
        if allowed & group == (group & ~on if value else on):
            state, other = ("on", "off") if value else ("off", "on")
            yield f"{designator} has the {name} attribute {state}, the policy wants it {other}"
    forced = _forced_fstype(allowed)
    if forced and partition.fstype not in (None, forced) and designator not in DATA_OF:
        yield f"{designator} holds {partition.fstype}, the policy wants {forced}"


def _forced_fstype(allowed: Flag) -> str | None:
    """The file system a policy insists on: it does so only where it names exactly one."""
    named = [flag for flag in Flag if flag in allowed & FSTYPES]
    return str(named[0].name).lower() if len(named) == 1 else None
