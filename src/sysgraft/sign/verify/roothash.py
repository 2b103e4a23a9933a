"""Is this the signature of that root hash, by somebody trusted and not revoked?

Answers as systemd does in user space (OpenSSL's PKCS7_verify with NOINTERN and NOVERIFY: every
signer must be one of the trusted certificates, found by issuer and serial; no chain, no dates,
no key usage), and is stricter in what a signature may hold. The certificate inside a signature
says who claims to have signed; it never creates trust. The twin is `sysgraft.sign.roothash`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Self, TypeAlias

from sysgraft.errors import FormatError, KeyMaterialError
from sysgraft.formats import cms, cms_signer
from sysgraft.formats.x509 import parse_certificate, serial_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.verify.trust import TrustedCertificate, TrustStore

Status: TypeAlias = Literal["ok", "fail", "skipped"]

# When a signature has several signers, all must be good: the worst answer counts.
_SEVERITY: Final[dict[Status, int]] = {"ok": 0, "skipped": 1, "fail": 2}


class Outcome(NamedTuple):
    """The answer of one check, and why."""

    status: Status
    reason: str


class SignerInfo(NamedTuple):
    """Who signed, or claims to have.

    Attributes:
        issuer: the name of the issuer of the signer's certificate.
        serial: its serial number.
        certificate: the signer's certificate, None if nobody has it.
        source: where the trust in it comes from; empty if it is not trusted.
    """

    issuer: str
    serial: int
    certificate: Certificate | None = None
    source: str = ""

    @property
    def identity(self) -> str:
        """What the signature says about the signer: ``issuer … serial …``, as OpenSSL shows it."""
        return f"issuer {self.issuer} serial {serial_text(self.serial).upper()}"


class RoothashVerdict(NamedTuple):
    """The answers for one root-hash signature.

    Attributes:
        signature: whether it is a sound signature of this root hash by the certificate it names.
        trust: whether a trusted certificate made it.
        revocation: whether its signer is not revoked.
        signer: who signed; None if the signature cannot be read.
        notes: what is no failure, but worth knowing, also of the trust store.
    """

    signature: Outcome
    trust: Outcome
    revocation: Outcome
    signer: SignerInfo | None = None
    notes: tuple[str, ...] = ()


def signed_content(root_hash: bytes) -> bytes:
    """What is signed: the root hash as lower-case hex, without a newline."""
    return root_hash.hex().encode("ascii")


def check_roothash_signature(
    pkcs7: bytes,
    root_hash: bytes,
    *,
    fingerprint: bytes | None,
    store: TrustStore,
    now: datetime,
) -> RoothashVerdict:
    """Check the signature of a root hash. Bad signatures are answers, not errors.

    Args:
        pkcs7: the signature in DER.
        root_hash: the root hash it should be of.
        fingerprint: the SHA-256 that the image says the signer's certificate has, if it does;
            where there are several signers, it would have to be right for all.
        store: whom to trust.
        now: the time that validity is compared with, with its time zone; only notes depend on it.
    """
    try:
        signed = cms.parse(pkcs7)
        embedded = tuple(map(parse_certificate, signed.certificates))
    except FormatError as error:
        return _unreadable(error.message, store)
    question = _Question(
        content=signed_content(root_hash),
        fingerprint=fingerprint,
        store=store,
        now=now,
        embedded=embedded,
        has_content=signed.content is not None,
    )
    verdicts = [_judge(question, signer) for signer in signed.signers]
    return RoothashVerdict(
        _worst(each.signature for each in verdicts),
        _worst(each.trust for each in verdicts),
        _worst(each.revocation for each in verdicts),
        verdicts[0].signer,
        (*store.notes, *(note for each in verdicts for note in each.notes)),
    )


class _Question(NamedTuple):
    """What is the same for all signers of one signature."""

    content: bytes
    fingerprint: bytes | None
    store: TrustStore
    now: datetime
    embedded: tuple[Certificate, ...]
    has_content: bool


class _Candidates(NamedTuple):
    """The certificates that one signer's issuer and serial name."""

    trusted: tuple[TrustedCertificate, ...]
    embedded: tuple[Certificate, ...]

    @classmethod
    def find(cls, question: _Question, signer: cms_signer.SignerInfo) -> Self:
        """Look in the store and in the signature."""
        trusted: dict[bytes, TrustedCertificate] = {}
        for each in question.store.certificates:
            if signer.is_by(each.certificate):
                trusted.setdefault(each.certificate.der, each)
        return cls(tuple(trusted.values()), cms_signer.find_signer(signer, question.embedded))

    def all(self) -> tuple[Certificate, ...]:
        """The trusted ones, or those in the signature where none is trusted."""
        return tuple(each.certificate for each in self.trusted) or self.embedded


def _unreadable(message: str, store: TrustStore) -> RoothashVerdict:
    return RoothashVerdict(
        signature=Outcome("fail", message),
        trust=Outcome("fail", "the signature cannot be read"),
        revocation=Outcome("skipped", "the signature cannot be read"),
        notes=store.notes,
    )


def _judge(question: _Question, info: cms_signer.SignerInfo) -> RoothashVerdict:
    """The answers for one signer."""
    candidates = _Candidates.find(question, info)
    valid, problem = _try_all(candidates.all(), info, question.content)
    certificate = valid or next(iter(candidates.all()), None)
    trusted = next((each for each in candidates.trusted if each.certificate == certificate), None)
    signer = SignerInfo(info.issuer, info.serial, certificate, trusted.source if trusted else "")
    return RoothashVerdict(
        _signature(info, signer, _flaw(question, candidates, signer) or problem),
        _trust(question.store, candidates, signer, problem),
        _revocation(question, certificate),
        signer,
        tuple(_remarks(question, candidates, signer)),
    )


def _try_all(
    certificates: tuple[Certificate, ...],
    info: cms_signer.SignerInfo,
    content: bytes,
) -> tuple[Certificate | None, str]:
    """The first certificate whose key made the signature, or what the last trial said."""
    problem = ""
    for certificate in certificates:
        try:
            if cms_signer.verify(info, content, certificate):
                return certificate, ""
        except KeyMaterialError as error:
            problem = error.message
        else:
            problem = f"it is not a signature of this root hash by the key of {certificate.subject}"
    return None, problem


def _flaw(question: _Question, candidates: _Candidates, signer: SignerInfo) -> str:
    """What is wrong with a signature apart from the cryptography; empty if nothing is."""
    if question.has_content:
        return "the signature holds a content of its own, it must be detached"
    if question.embedded and not candidates.embedded:
        return f"the signature holds certificates, but not its signer's, {signer.identity}"
    if set(candidates.embedded) - set(candidates.all()):
        return f"the signature holds another certificate than the trusted {signer.identity}"
    certificate, expected = signer.certificate, question.fingerprint
    if certificate is None or expected is None or expected == certificate.fingerprint:
        return ""
    return (
        f"the image names a signer with fingerprint {expected.hex()}, "
        f"the signer's is {certificate.fingerprint.hex()}"
    )


def _remarks(question: _Question, candidates: _Candidates, signer: SignerInfo) -> Iterator[str]:
    """What is no failure, but worth knowing."""
    further = len(question.embedded) - len(candidates.embedded)
    if candidates.embedded and further:
        yield f"nothing was done with {further} further certificates inside the signature"
    certificate, now = signer.certificate, question.now
    if certificate is not None and now > certificate.not_after:
        yield f"the signer's certificate expired on {certificate.not_after:%Y-%m-%d}"
    if certificate is not None and now < certificate.not_before:
        yield f"the signer's certificate is valid only from {certificate.not_before:%Y-%m-%d}"


def _signature(info: cms_signer.SignerInfo, signer: SignerInfo, problem: str) -> Outcome:
    if problem:
        return Outcome("fail", problem)
    if signer.certificate is None:
        return Outcome(
            "skipped",
            "cannot be checked: the signature carries no certificate and none given matches "
            f"{signer.identity}",
        )
    return Outcome("ok", f"{info.scheme.key.upper()} with {info.digest} by {signer.identity}")


def _trust(store: TrustStore, candidates: _Candidates, signer: SignerInfo, problem: str) -> Outcome:
    if not store.certificates:
        return Outcome("fail", "; ".join(("no trusted certificate given", *store.notes[:1])))
    if not signer.source:
        return Outcome("fail", f"no trusted certificate has {signer.identity}")
    if len(candidates.trusted) > 1:
        return Outcome(
            "fail",
            f"{len(candidates.trusted)} different trusted certificates have {signer.identity}: "
            "ambiguous, systemd would try only the first",
        )
    if problem:
        return Outcome("fail", f"{signer.identity} of {signer.source} did not make this signature")
    return Outcome("ok", f"{signer.identity} is trusted by {signer.source}")


def _revocation(question: _Question, certificate: Certificate | None) -> Outcome:
    revocations = question.store.revocations
    if revocations is None:
        return Outcome("skipped", "no dbx given")
    if certificate is None:
        return Outcome("skipped", "the signer's certificate is not known")
    trusted = (each.certificate for each in question.store.certificates)
    reason = revocations.is_revoked(certificate, (*trusted, *question.embedded))
    if reason is not None:
        return Outcome("fail", reason)
    return Outcome("ok", f"none of {revocations.count} revocations concerns the signer")


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    return max(outcomes, key=lambda outcome: _SEVERITY[outcome.status])
