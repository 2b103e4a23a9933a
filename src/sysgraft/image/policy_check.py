"""The check `image-policy`: would a systemd's policy let this arrangement of partitions through?"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from sysgraft.formats import policy_builtin
from sysgraft.formats.extension_release import Kind
from sysgraft.formats.image_policy_flags import POLICIES_SINCE
from sysgraft.image.checks import Check, fail, ok
from sysgraft.image.policy import Found, evaluate
from sysgraft.image.policy_assess import Facts, Signature, assess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.formats.image_policy import ImagePolicy
    from sysgraft.image.dissect import Dissection
    from sysgraft.image.verify import VerifyOptions


def check_policy(
    found: Dissection,
    kind: Kind | None,
    options: VerifyOptions,
    *,
    made: Mapping[str, Check],
) -> tuple[Check, tuple[str, ...]]:
    """The check, and what that systemd would let through besides.

    Judged as if the signature were good: whether it is, `signature` and `trust` say. A version
    without image policies cannot enforce one; the arrangement is judged all the same.

    Args:
        found: the image's partitions.
        kind: chooses the default policy.
        options: the policy and the version that judges.
        made: the checks made before, those of the signature among them.
    """
    there = tuple(partitions(found).items())
    return _judged(policy_of(kind, options), there, _signature_state(made), options.systemd_version)


@lru_cache(maxsize=64)
def _judged(
    chosen: ImagePolicy, there: tuple[tuple[str, Found], ...], state: Signature, version: int
) -> tuple[Check, tuple[str, ...]]:
    """Most images of a system have the same partitions: the answer is found once."""
    facts = Facts(found=dict(there), signature=Signature.OK)
    verdict = evaluate(chosen, facts.found)
    result = assess(chosen, facts, systemd_version=version)
    as_it_is = assess(chosen, replace(facts, signature=state), systemd_version=version)
    notes = as_it_is.warnings if as_it_is.accepts else result.warnings
    if not verdict.ok:
        return fail("image-policy", verdict.reason), notes
    if not result.accepts:
        return fail("image-policy", f"systemd {version} refuses it: {result.reason}"), notes
    return ok("image-policy", f"allowed by {chosen}"), notes


def _signature_state(made: Mapping[str, Check]) -> Signature:
    """What systemd would find out about the signature."""
    if made["signature"].status == "fail":
        return Signature.BAD
    trusted = made["trust"].status == "ok"
    return Signature.OK if trusted else Signature.UNKNOWN


def policy_of(kind: Kind | None, options: VerifyOptions) -> ImagePolicy:
    """The policy to hold an image against.

    Raises:
        UsageError: the name of a built-in that does not exist.
        FormatError: text that is no policy.
    """
    version = max(options.systemd_version, POLICIES_SINCE)
    text = options.image_policy
    if text is None:
        text = "@confext-strict" if kind is Kind.CONFEXT else "@sysext-strict"
    return policy_builtin.parse_or_builtin(text, systemd_version=version)


def partitions(found: Dissection) -> dict[str, Found]:
    """What a policy sees of an image; a bare file system counts as its root partition."""
    if found.table is None:
        return {"root": Found(read_only=True, fstype=found.bare_fstype)}
    return {
        member.designator: Found(
            read_only=member.partition.read_only,
            growfs=member.partition.growfs,
            fstype=member.fstype,
        )
        for member in found.members
    }
