"""Would UEFI firmware start this executable, given its signatures and a trust store?

Answers as EDK II does (DxeImageVerificationLib, DxeImageVerificationHandler): one sound signature
whose signer's certificate leads up to one in db is enough, or a digest of the executable in db; and
nothing about it may be in dbx, be it a digest of the executable or a certificate of any of its
signatures. It is stricter where firmwares differ: a revocation holds whenever something was signed,
and for signatures that do not hold too; and what is no signature at all is not passed over. A
single signature is judged in `sysgraft.sign.verify.authenticode_signature`; the twin is
`sysgraft.sign.authenticode`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.sign.verify.authenticode_signature import judge_signature
from sysgraft.sign.verify.roothash import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sysgraft.sign.verify.authenticode_signature import SignatureVerdict
    from sysgraft.sign.verify.opened_signature import Opened
    from sysgraft.sign.verify.trust import TrustedImage, TrustStore


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """The answers for one executable.

    Attributes:
        signature: whether there is a sound signature; skipped if there is none at all.
        trust: whether somebody trusted made a sound one, or the executable's digest is trusted.
        revocation: whether nothing about it is revoked.
        signatures: one by one.
        by_digest: what names its digest as trusted; empty if nothing does.
        notes: what is no failure, but worth knowing, also of the trust store.
    """

    signature: Outcome
    trust: Outcome
    revocation: Outcome
    signatures: tuple[SignatureVerdict, ...]
    by_digest: str = ""
    notes: tuple[str, ...] = ()


class Judge:
    """Judges the signatures of one executable.

    What can be said without the executable's digest is found out at once, so that the digest may
    be computed meanwhile.

    Args:
        signatures: of its certificate table, in that order.
        store: whom to trust.
        now: the time validity is compared with, with its time zone; only notes depend on it.
    """

    def __init__(self, signatures: Sequence[Opened], store: TrustStore, now: datetime) -> None:
        self._store = store
        self._parts = [judge_signature(each, store, now) for each in signatures]

    def verdict(self, digests: Mapping[str, bytes]) -> ImageVerdict:
        """The verdict for an executable with these digests (see `needed_digests`)."""
        signatures = tuple(each.of(digests) for each in self._parts)
        by_digest = self._trusted_digest(digests)
        source = by_digest.source if by_digest else ""
        return ImageVerdict(
            signature=_signature(signatures, source),
            trust=_trust(signatures, by_digest),
            revocation=self._revocation(signatures, digests),
            signatures=signatures,
            by_digest=source,
            notes=(*self._store.notes, *_notes(signatures)),
        )

    def _trusted_digest(self, digests: Mapping[str, bytes]) -> TrustedImage | None:
        """Which entry trusts the executable itself.

        Of a signed one firmware looks at the digests its signatures use, and at no others.
        """
        used = {each.digest.algorithm for each in self._parts if each.digest}
        wanted = used if self._parts else set(digests)
        for each in self._store.images:
            if each.algorithm in wanted and digests.get(each.algorithm) == each.digest:
                return each
        return None

    def _revocation(
        self, signatures: Sequence[SignatureVerdict], digests: Mapping[str, bytes]
    ) -> Outcome:
        revocations = self._store.revocations
        if revocations is None:
            return Outcome("skipped", "no dbx given")
        reason = revocations.revokes_image(digests)
        if reason is not None:
            return Outcome("fail", reason)
        failed = next((each for each in signatures if each.revocation.status == "fail"), None)
        if failed is not None:
            who = f"{failed.signer.identity}: " if failed.signer else ""
            return Outcome("fail", who + failed.revocation.reason)
        return Outcome("ok", f"none of {revocations.count} revocations concerns the executable")


def _signature(signatures: Sequence[SignatureVerdict], by_digest: str) -> Outcome:
    """The answer of the signature that counts: one that is trusted, else a sound one."""
    if not signatures:
        trusted = f", its digest is trusted by {by_digest}" if by_digest else ""
        return Outcome("skipped", f"unsigned{trusted}")
    malformed = next((each for each in signatures if each.malformed), None)
    holding = next((each for each in signatures if each.holds), None)
    sound = next((each for each in signatures if each.signature.status == "ok"), None)
    return (malformed or holding or sound or signatures[0]).signature


def _trust(signatures: Sequence[SignatureVerdict], by_digest: TrustedImage | None) -> Outcome:
    holding = next((each for each in signatures if each.holds), None)
    if holding is not None:
        return holding.trust
    if by_digest is not None:
        text = f"the {by_digest.algorithm} of the executable is trusted by {by_digest.source}"
        return Outcome("ok", text)
    if not signatures:
        return Outcome("skipped", "unsigned, and its digest is not trusted either")
    trusted = next((each for each in signatures if each.trust.status == "ok"), None)
    if trusted is not None and trusted.signer is not None:
        return Outcome("fail", f"{trusted.signer.identity} did not make a sound signature")
    return signatures[0].trust


def _notes(signatures: Sequence[SignatureVerdict]) -> Iterator[str]:
    if len(signatures) == 1:
        yield from signatures[0].notes
        return
    for number, each in enumerate(signatures, 1):
        yield from (f"signature {number}: {note}" for note in each.notes)
        if each.signature.status != "ok":
            yield f"signature {number} does not hold: {each.signature.reason}"
