"""What ``systemd-sysext`` makes of an image: refused, or used with how much protection.

`assess` follows an image to its activation, where versions differ most. It follows
``src/shared/dissect-image.c`` of v252 to v262; ``docs/security/what-systemd-enforces.md`` is the
same as a table. The signature's state comes from the caller. Kernel settings and environment
variables that turn checks off are not known here, nor are root hashes in extended attributes or
files beside the image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sysgraft.base import systemd
from sysgraft.errors import UnsupportedError
from sysgraft.formats.image_policy_flags import (
    DATA_OF,
    POLICIES_SINCE,
    PROTECTED,
    SIGNATURE_OF,
    USE,
    VERITY_OF,
    Flag,
)
from sysgraft.image.policy import LUKS_FSTYPE, evaluate, in_use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.formats.image_policy import ImagePolicy
    from sysgraft.image.policy import Found

# systemd that began to …
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


def assess(
    policy: ImagePolicy | None,
    facts: Facts,
    *,
    systemd_version: int = systemd.LATEST,
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
    return _activate(policy, facts, in_use(policy, facts.found), systemd_version)


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
