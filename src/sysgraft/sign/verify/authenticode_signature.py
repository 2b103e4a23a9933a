"""One Authenticode signature: is it sound, does trust reach its signer, is the signer revoked?

What firmware asks of every signature of an executable (EDK II's AuthenticodeVerify): the signer's
certificate is inside, its key made the signature, and it leads up to a trusted one. Dates and
purposes of certificates do not count. Certificates inside a signature are links of a chain and
never create trust. The digest of the executable comes last, since it takes longest. How the
answers of several signatures add up is `sysgraft.sign.verify.authenticode`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sysgraft.errors import KeyMaterialError
from sysgraft.formats import cms_signer
from sysgraft.formats.x509_issuing import contradiction, read_issuing, signer_problem
from sysgraft.formats.x509_names import same_name
from sysgraft.sign.verify.chain import find_path
from sysgraft.sign.verify.roothash import Outcome, SignerInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sysgraft.formats.authenticode import ImageDigest, Signature
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.verify.chain import Path
    from sysgraft.sign.verify.opened_signature import Opened
    from sysgraft.sign.verify.trust import TrustStore

_UNREADABLE = "the signature cannot be read"
_UNKNOWN = "the signer's certificate is not known"


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """The answers for one signature of an executable.

    Attributes:
        signature: whether it is a sound signature of this executable.
        trust: whether a trusted certificate is its signer's, or stands above it.
        revocation: whether none of its certificates is revoked.
        signer: who signed; None if the signature cannot be read.
        digest: of the executable, as the signature has it.
        timestamp: the kind of time stamp that is there, unverified; empty if there is none.
        malformed: whether it is no signature at all, rather than one of a kind not accepted.
        notes: what is no failure, but worth knowing.
    """

    signature: Outcome
    trust: Outcome
    revocation: Outcome
    signer: SignerInfo | None = None
    digest: ImageDigest | None = None
    timestamp: str = ""
    malformed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it makes the executable a trusted one, as long as nothing is revoked."""
        return (self.signature.status, self.trust.status) == ("ok", "ok")

    def of(self, digests: Mapping[str, bytes]) -> SignatureVerdict:
        """The verdict for an executable that has these digests."""
        if self.digest is None or self.signature.status != "ok":
            return self
        name, value = self.digest.algorithm, self.digest.value
        if value == digests[name]:
            return self
        reason = (
            f"the executable is not what was signed: its {name} is {digests[name].hex()}, "
            f"the signature's {value.hex()}"
        )
        return replace(self, signature=Outcome("fail", reason))


def judge_signature(opened: Opened, store: TrustStore, now: datetime) -> SignatureVerdict:
    """All that can be said without the executable's digest.

    Args:
        opened: the signature.
        store: whom to trust.
        now: the time validity is compared with, with its time zone; only notes depend on it.
    """
    if opened.signature is None:
        return SignatureVerdict(
            signature=Outcome("fail", opened.problem),
            trust=Outcome("fail", _UNREADABLE),
            revocation=_unknown_revocation(_UNREADABLE, store),
            malformed=opened.malformed,
        )
    info = opened.signature.signer
    certificate, problem = _find_signer(opened.signature, opened.certificates)
    signer = SignerInfo(info.issuer, info.serial, certificate)
    trust, path = _trust(signer, opened, store)
    text = f"{info.scheme.key.upper()} with {info.digest} by {signer.identity}"
    return SignatureVerdict(
        signature=Outcome("fail", problem) if problem else Outcome("ok", text),
        trust=trust,
        revocation=_revocation(certificate, opened, store),
        signer=signer._replace(source=path.anchor.source if path else ""),
        digest=opened.signature.digest,
        timestamp=opened.signature.timestamp,
        notes=(*_remarks(opened.signature, opened, path), *_dates(certificate, now)),
    )


def _find_signer(
    signature: Signature, certificates: Sequence[Certificate]
) -> tuple[Certificate | None, str]:
    """The certificate whose key made the signature, or what is wrong with it.

    Firmware takes it from the signature alone, so it has to be there. Of several with its issuer
    and serial OpenSSL would take the first, whoever signed; here none is taken.
    """
    info = signature.signer
    named = {
        each.der: each
        for each in certificates
        if each.serial == info.serial and same_name(each.issuer_der, info.issuer_der)
    }
    if len(named) > 1:
        return None, f"{len(named)} certificates inside have its signer's issuer and serial number"
    signer = next(iter(cms_signer.find_signer(info, named.values())), None)
    if signer is None:
        return None, "the signature does not hold its signer's certificate, which firmware needs"
    try:
        if cms_signer.verify(info, signature.content, signer):
            return signer, ""
    except KeyMaterialError as error:
        return signer, error.message
    return signer, "the signer's key did not make this signature"


def _trust(signer: SignerInfo, opened: Opened, store: TrustStore) -> tuple[Outcome, Path | None]:
    """The answer, and the way trust takes."""
    if not store.certificates:
        reason = "; ".join(("no trusted certificate given", *store.notes[:1]))
        return Outcome("fail", reason), None
    if signer.certificate is None:
        return Outcome("fail", _UNKNOWN), None
    path = find_path(signer.certificate, store.certificates, opened.certificates)
    if path is None:
        reason = f"no trusted certificate is, or stands above, that of {signer.identity}"
        return Outcome("fail", _obstacle(signer.certificate, store) or reason), None
    source = path.anchor.source
    if len(path.links) == 1:
        return Outcome("ok", f"{signer.identity} is trusted by {source}"), path
    anchor = path.anchor.certificate.subject
    return Outcome("ok", f"{signer.identity} is below {anchor}, trusted by {source}"), path


def _obstacle(certificate: Certificate, store: TrustStore) -> str:
    """Why the signer's certificate, or a trusted one of its issuer's name, does not count."""
    problem = signer_problem(certificate)
    if problem:
        return f"{certificate.subject} does not count: {problem}"
    for each in store.certificates:
        if each.certificate.subject_der == certificate.issuer_der:
            other = contradiction(certificate, each.certificate)
            if other:
                return f"{certificate.subject} is not below that of {each.source}: {other}"
            problem = read_issuing(each.certificate).problem or "it did not sign this one"
            return f"{each.certificate.subject} of {each.source} is no issuer: {problem}"
    return ""


def _revocation(certificate: Certificate | None, opened: Opened, store: TrustStore) -> Outcome:
    if store.revocations is None:
        return Outcome("skipped", "no dbx given")
    trusted = (each.certificate for each in store.certificates)
    known = (*trusted, *opened.certificates)
    # Where the signer is not known, a certificate that is revoked makes the better reason.
    for each in (certificate,) if certificate else opened.certificates:
        reason = store.revocations.is_revoked(each, known)
        if reason is not None:
            return Outcome("fail", reason)
    if certificate is None:
        return _unknown_revocation(_UNKNOWN, store)
    return Outcome("ok", "no revocation concerns the signer")


def _unknown_revocation(reason: str, store: TrustStore) -> Outcome:
    """The answer for a signer that nobody can tell: it might be revoked, so a dbx refuses it.

    Firmware reads signatures that are not accepted here, and refuses one by a revoked signer.
    """
    if store.revocations is None:
        return Outcome("skipped", "no dbx given")
    return Outcome("fail", f"{reason}, so its signer may be revoked")


def _remarks(signature: Signature, opened: Opened, path: Path | None) -> Iterator[str]:
    """What firmware may not know, and what is neither signed nor looked at."""
    if signature.signer.scheme.key == "ec":
        yield "firmware that is built without elliptic curves, as many are, takes only RSA"
    if signature.timestamp:
        yield f"the time stamp ({signature.timestamp}) is not verified"
    if signature.unsigned:
        yield f"nobody signed the attributes {', '.join(signature.unsigned)} of the signature"
    further = len(set(opened.certificates) - set(path.links)) if path else 0
    if further:
        yield f"nothing was done with {further} further certificates inside the signature"


def _dates(certificate: Certificate | None, now: datetime) -> Iterator[str]:
    if certificate is not None and now > certificate.not_after:
        yield (
            f"the signer's certificate expired on {certificate.not_after:%Y-%m-%d}; "
            "firmware does not look at dates"
        )
    if certificate is not None and now < certificate.not_before:
        yield (
            f"the signer's certificate is valid only from {certificate.not_before:%Y-%m-%d}; "
            "firmware does not look at dates"
        )
