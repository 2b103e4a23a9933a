"""What systemd will do with a set of extensions: merged, passed over, or refused with all others.

``src/sysext/sysext.c``: the metadata of all images are read first, and one that is no extension by
its name ends everything there (``image_discover_and_read_metadata``). So does one that the policy
does not allow or that cannot be activated (``merge_subprocess``); one that does not fit the host is
passed over, and the others are merged. Signatures are checked as `sysgraft.image.verify` does, the
hash tree too. ``tests/boot/test_extensions.py`` holds this against systemd 257.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from sysgraft.formats.extension_release import Kind
from sysgraft.image import matching
from sysgraft.image.content_checks import FORBIDDEN
from sysgraft.image.lint.finding import found
from sysgraft.image.policy_assess import (
    GUESSED_ROOT_HASH_SINCE,
    Facts,
    Protection,
    Signature,
    assess,
)
from sysgraft.image.policy_check import partitions, policy_of
from sysgraft.image.verify import VerifyOptions, verify_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sysgraft.base.progress import Progress
    from sysgraft.formats.extension_release import ExtensionRelease
    from sysgraft.image.lint.finding import Finding
    from sysgraft.image.lint.scene import Subject
    from sysgraft.image.policy_assess import Assessment
    from sysgraft.image.verify import Verification
    from sysgraft.sign.verify.trust import TrustStore


class Outcome(StrEnum):
    """What becomes of one image."""

    MERGES = "merges"
    IF_TRUSTED = "if-trusted"  # merged if the target trusts its signer, which nobody could tell
    IGNORED = "ignored"  # passed over, without harm to the others
    REFUSED = "refused"  # ends the merge of all
    UNKNOWN = "unknown"  # its content cannot be read here


class Fate(NamedTuple):
    """What becomes of one image, and why.

    Attributes:
        file: as the caller named it.
        kind: system or configuration extension.
        outcome: what becomes of it, as long as no other one ends the merge.
        reason: one sentence.
        protection: how it is protected when it is merged.
        code: of the finding to make of it; empty for none.
    """

    file: str
    kind: Kind
    outcome: Outcome
    reason: str
    protection: Protection = Protection.NONE
    code: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Who decides.

    Attributes:
        release: of systemd.
        image_policy: text or name of a policy; None for what systemd has built in.
        trust: certificates; None if nobody said, which leaves signers open.
        os_release: of the host; None leaves the match out.
        architecture: of the host; None leaves it out.
    """

    release: int
    image_policy: str | None = None
    trust: TrustStore | None = None
    os_release: Mapping[str, str] | None = None
    architecture: str | None = None

    def policy(self, kind: Kind) -> str:
        """The policy in force for a kind."""
        return self.image_policy or f"@{kind}"


@dataclass(frozen=True, slots=True)
class Merge:
    """What becomes of all extensions of one kind.

    Attributes:
        kind: system or configuration extensions.
        policy: in force.
        fates: of each image, in the order of their layers.
    """

    kind: Kind
    policy: str
    fates: tuple[Fate, ...]

    @property
    def refused(self) -> tuple[str, ...]:
        """The files that end the merge, so that nothing is merged."""
        return tuple(each.file for each in self.fates if each.outcome is Outcome.REFUSED)

    @property
    def merged(self) -> tuple[str, ...]:
        """The files that are merged, the lowest layer first; signers not known are trusted."""
        merging = (Outcome.MERGES, Outcome.IF_TRUSTED)
        found = tuple(each.file for each in self.fates if each.outcome in merging)
        return () if self.refused else found


def preflight(subjects: Sequence[Subject], target: Target, progress: Progress) -> tuple[Merge, ...]:
    """What becomes of all images, system extensions first.

    Args:
        subjects: of each kind the lowest layer first.
        target: who decides.
        progress: told about the data that is verified.

    Raises:
        UsageError: the policy makes no sense.
        InputError: a file cannot be read.
    """
    merges = []
    for kind in Kind:
        fates = tuple(_fate(each, target, progress) for each in subjects if each.kind is kind)
        if fates:
            merges.append(Merge(kind, target.policy(kind), fates))
    return tuple(merges)


def findings(merges: Sequence[Merge]) -> Iterator[Finding]:
    """A finding for each image that is not merged as it is."""
    for merge in merges:
        for each in merge.fates:
            if each.code:
                yield found(each.code, each.reason, each.file)


def _fate(subject: Subject, target: Target, progress: Progress) -> Fate:
    """Follow one image through the merge, in systemd's order."""
    options = _options(subject, target)
    verified = verify_image(subject.file, options, progress=progress)
    activated = _activated(subject, options, verified)
    if activated.outcome is Outcome.REFUSED:
        return activated
    other = _no_match(subject, target)
    if other is not None:
        return other
    if subject.release is None:
        reason = "its release file cannot be read here"
        return Fate(subject.file, subject.kind, Outcome.UNKNOWN, reason)
    return activated


def _options(subject: Subject, target: Target) -> VerifyOptions:
    return VerifyOptions(
        trust=target.trust,
        image_policy=target.policy(subject.kind),
        systemd_version=target.release,
    )


def _activated(subject: Subject, options: VerifyOptions, verified: Verification) -> Fate:
    """Whether the policy lets the image in, and its signature and hash tree hold."""
    policy = policy_of(subject.kind, options)
    facts = partitions(subject.dissection)
    state = _signature(verified, is_open=options.trust is None)
    possible = (Signature.OK, Signature.UNKNOWN) if state is None else (state,)
    results = [
        assess(policy, Facts(facts, each), systemd_version=options.systemd_version)
        for each in possible
    ]
    first, last = results[0], results[-1]
    if not first.accepts:
        return _refused(subject, first.reason, "refused")
    merged = last if last.accepts else first
    if (damage := _fatal_damage(verified, merged, options.systemd_version)) is not None:
        return _refused(subject, damage, "damaged")
    if verified.damage is not None and _uses_tree(merged, options.systemd_version):
        reason, code = f"reading it will fail: {verified.damage.what}", "damaged"
    elif _status(verified)["revocation"] == "fail":
        reason, code = "its signer is revoked, which systemd does not look at", "revoked"
    else:
        reason, code = _reason(subject, results), ""
    outcome = Outcome.MERGES if last.accepts else Outcome.IF_TRUSTED
    return Fate(subject.file, subject.kind, outcome, reason, merged.protection, code)


def _reason(subject: Subject, results: Sequence[Assessment]) -> str:
    """Why it is merged; there are two results where the signer's trust is open."""
    if not results[-1].accepts:
        return "merged if its signer is trusted"
    if len(results) > 1 and subject.dissection.signature is not None:
        return "merged whoever signed it: the policy does not insist on a signature"
    return results[-1].reason


def _signature(verified: Verification, *, is_open: bool) -> Signature | None:
    """The state of the signature; None where the signer's trust is open."""
    status = _status(verified)
    if status["signature"] == "fail":
        return Signature.BAD
    if is_open:
        return None
    return Signature.OK if status["trust"] == "ok" else Signature.UNKNOWN


def _status(verified: Verification) -> dict[str, str]:
    return {check.name: check.status for check in verified.checks}


def _refused(subject: Subject, reason: str, code: str) -> Fate:
    return Fate(subject.file, subject.kind, Outcome.REFUSED, reason, code=code)


def _uses_tree(assessment: Assessment, release: int) -> bool:
    """Whether blocks are compared with the hash tree when they are read."""
    if assessment.protection is Protection.SIGNED:
        return True
    return assessment.protection is Protection.VERITY and release >= GUESSED_ROOT_HASH_SINCE


def _fatal_damage(verified: Verification, assessment: Assessment, release: int) -> str | None:
    """Damage that keeps it from being mounted: at the tree's top, or in the superblock."""
    damage = verified.damage
    if damage is None or not _uses_tree(assessment, release):
        return None
    first = damage.length if damage.partition == "hash" else 0
    if damage.offset > first:
        return None
    return f"it cannot be mounted: {damage.what}"


def _no_match(subject: Subject, target: Target) -> Fate | None:
    """What becomes of an image that does not match; None if it does, or nobody can tell."""
    if subject.choice is None:
        return None
    if subject.choice.name is None:
        return _refused(subject, subject.choice.reason, "name-mismatch")
    if FORBIDDEN in subject.tree:
        reason = "systemd passes over images with /usr/lib/os-release"
        return Fate(subject.file, subject.kind, Outcome.IGNORED, reason, code="os-release-inside")
    problem = _mismatch(subject.release, target) if subject.release else ""
    if problem:
        return Fate(subject.file, subject.kind, Outcome.IGNORED, problem, code="host-mismatch")
    return None


def _mismatch(release: ExtensionRelease, target: Target) -> str:
    """Why it does not match the host, as far as that is known; empty if it may."""
    host = target.os_release
    if host is None:
        # What decides without a host, and what matches every one.
        anywhere = {"ID": release.id or "none"}
        if release.version_id:
            anywhere["VERSION_ID"] = release.version_id
        host = anywhere
    verdict = matching.match_host(
        release, host, architecture=target.architecture, systemd_version=target.release
    )
    return "" if verdict.ok else verdict.reason
