"""What a systemd makes of an image under a policy: refused, or used with how much protection.

`evaluate` compares the partitions an image has with what a policy allows: all that
``systemd-dissect --validate`` looks at. `assess` follows the image further, to the activation by
``systemd-sysext``, where versions differ most. Both follow ``src/shared/dissect-image.c`` of v252
to v262; ``docs/security/what-systemd-enforces.md`` is the same as a table. The signature's state
comes from the caller. Kernel settings and environment variables that turn checks off are not known
here, nor are root hashes in extended attributes or files beside the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sysgraft.base.version import LATEST_SYSTEMD
from sysgraft.errors import UnsupportedError
from sysgraft.formats.image_policy import (
    DATA_OF,
    DESIGNATORS,
    FSTYPES,
    FSTYPES_SINCE,
    GROWFS,
    IGNORE,
    LUKS,
    NOTHING,
    POLICIES_SINCE,
    PROTECTED,
    READ_ONLY,
    SIGNATURE_OF,
    USE,
    VERITY_OF,
    Flag,
    ImagePolicy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LUKS_FSTYPE: Final = "crypto_LUKS"

# systemd that began to …
ALTERNATIVES_SINCE: Final = 258  # … take a signed partition for verity and unprotected as well
GUESSED_ROOT_HASH_SINCE: Final = 258  # … form a root hash from the partitions' UUIDs
USR_SIGNATURE_SINCE: Final = 258  # … load the signature of a usr partition without being asked
FALL_BACK_SINCE: Final = 259  # … go on without a good signature where the policy has "verity"


class Signature(StrEnum):
    """What checking an image's root-hash signature gave."""

    OK = "ok"  # good, and by a trusted certificate
    BAD = "bad"  # it does not fit the root hash, or is damaged
    UNKNOWN = "unknown"  # the signer is not trusted, or nothing is


class Protection(StrEnum):
    """What stands between the files of an image in use and a change to them."""

    SIGNED = "signed"  # dm-verity with a root hash whose signature was checked
    VERITY = "verity"  # dm-verity with a root hash the image itself supplied: no proof of origin
    ENCRYPTED = "encrypted"  # LUKS
    NONE = "none"  # read as they are


@dataclass(frozen=True, slots=True)
class Found:
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


@dataclass(frozen=True, slots=True)
class Violation:
    """One partition, there or missing, that the policy does not allow; and why."""

    designator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
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


@dataclass(frozen=True, slots=True)
class Facts:
    """An image, as far as policies look at it.

    Attributes:
        found: its partitions by designator.
        signature: the state of its signature; of no meaning without a signature partition.
    """

    found: Mapping[str, Found]
    signature: Signature = Signature.UNKNOWN


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one systemd does with an image.

    Attributes:
        accepts: whether it would use the image.
        protection: how it would; NONE where it does not.
        reason: one sentence.
        warnings: what it lets through although the policy may be read otherwise.
    """

    accepts: bool
    protection: Protection
    reason: str
    warnings: tuple[str, ...] = ()


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
    used = frozenset(d for d in found if not _is_ignored(policy, d))
    return Verdict(
        tuple(
            Violation(designator, reason)
            for designator in DESIGNATORS
            for reason in _problems(policy, designator, found, used)
        )
    )


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


def assess(
    policy: ImagePolicy | None,
    facts: Facts,
    *,
    systemd_version: int = LATEST_SYSTEMD,
) -> Assessment:
    """What ``systemd-sysext`` of a version does with an image.

    Args:
        policy: the policy in force; versions before 254 have none and do not look at it.
        facts: the image.
        systemd_version: 252 or newer.
    """
    arrangement = _arrangement_problem(frozenset(facts.found))
    if arrangement:
        return _refused(arrangement)
    if systemd_version < POLICIES_SINCE or policy is None:
        result = _activate(None, facts, frozenset(facts.found), systemd_version)
        note = f"systemd {systemd_version} knows no image policies and does not apply this one"
        return result if policy is None else replace(result, warnings=(note, *result.warnings))
    try:
        policy = policy.at(systemd_version)
    except UnsupportedError as error:
        return _refused(error.message)
    verdict = evaluate(policy, facts.found)
    if not verdict.ok:
        return _refused(verdict.reason)
    used = frozenset(d for d in facts.found if not _is_ignored(policy, d))
    return _activate(policy, facts, used, systemd_version)


def _arrangement_problem(found: frozenset[str]) -> str:
    """What systemd refuses under any policy, or an empty string."""
    for designator in sorted(found & DATA_OF.keys()):
        if DATA_OF[designator] not in found:
            return f"there is {designator}, but no {DATA_OF[designator]} partition"
    if not found & VERITY_OF.keys():
        return "there is no root or usr partition"
    for data, signature in SIGNATURE_OF.items():
        if signature in found and VERITY_OF[data] not in found:
            return f"there is {signature}, but no {VERITY_OF[data]} partition"
    if "root-verity" in found and "usr" in found:
        return "a root partition with verity and a usr partition exclude each other"
    return ""


def _activate(
    policy: ImagePolicy | None, facts: Facts, used: frozenset[str], version: int
) -> Assessment:
    """What becomes of an image whose partitions are allowed: the worst of root and usr."""
    results = []
    for data in (d for d in VERITY_OF if d in used):
        allowed = (policy.allowed(data) if policy else USE) & PROTECTED
        results.append(_activate_one(data, allowed, facts, used, version))
    if not results:
        return _refused("the policy ignores every partition an extension can be in")
    return max(results, key=lambda result: (not result.accepts, _WEAKNESS[result.protection]))


_WEAKNESS: Final = {protection: rank for rank, protection in enumerate(Protection)}


def _activate_one(
    data: str, allowed: Flag, facts: Facts, used: frozenset[str], version: int
) -> Assessment:
    """Follow do_crypt_activate_verity() for one data partition."""
    verity = VERITY_OF[data] in used
    signed = verity and _signature_is_loaded(data, used, version)
    has_root_hash = signed or (verity and version >= GUESSED_ROOT_HASH_SINCE)
    if not has_root_hash or (version >= FALL_BACK_SINCE and not allowed):
        return _unverified(facts.found, data, version)
    if signed and (version < FALL_BACK_SINCE or allowed == Flag.SIGNED):
        return _with_signature(facts.signature)
    if version >= FALL_BACK_SINCE and Flag.VERITY not in allowed:
        return _refused("there is no signature, and the policy does not allow verity without one")
    if signed and Flag.SIGNED in allowed and facts.signature is Signature.OK:
        return _with_signature(facts.signature)
    looked_at = signed and Flag.SIGNED in allowed
    return _past_signature(facts.signature) if looked_at else _without_signature()


def _signature_is_loaded(data: str, used: frozenset[str], version: int) -> bool:
    return SIGNATURE_OF[data] in used and (data == "root" or version >= USR_SIGNATURE_SINCE)


def _with_signature(signature: Signature) -> Assessment:
    """A signature that is there has to be good."""
    if signature is Signature.OK:
        return _accepted(Protection.SIGNED, "the root hash is signed by a trusted certificate")
    return _refused(f"the signature is {signature}, and one that is there has to be good")


def _past_signature(signature: Signature) -> Assessment:
    reason = f"the signature is {signature}, and the policy allows verity without one"
    warning = "a bad or unknown signature is let through: the policy has 'verity'"
    return _accepted(Protection.VERITY, reason, warning)


def _without_signature() -> Assessment:
    reason = "the root hash comes from the image itself, no signature is looked at"
    return _accepted(Protection.VERITY, reason, "an unsigned image is let through")


def _unverified(found: Mapping[str, Found], data: str, version: int) -> Assessment:
    if found[data].fstype == LUKS_FSTYPE:
        return _accepted(Protection.ENCRYPTED, f"{data} is encrypted, and not under dm-verity")
    reason = f"{data} has no dm-verity, its files are used as they are"
    if VERITY_OF[data] in found:
        reason = f"systemd {version} does not use the hash partition of {data} here"
    return _accepted(Protection.NONE, reason, "changed files are not noticed: no dm-verity")


def _accepted(protection: Protection, reason: str, *warnings: str) -> Assessment:
    return Assessment(accepts=True, protection=protection, reason=reason, warnings=warnings)


def _refused(reason: str) -> Assessment:
    return Assessment(accepts=False, protection=Protection.NONE, reason=reason)
