"""The way from a signer's certificate up to a trusted one, as UEFI firmware finds it.

EDK II gives OpenSSL one certificate of db as the only trusted one, those of the signature as
possible links, and asks for any purpose, without dates, content with a partial chain
(Pkcs7Verify). So db may hold the signer's certificate itself, one that issued it, or a root.
OpenSSL looks among the trusted ones first and tries one way only, so a way that is one of several
is none here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import KeyMaterialError
from sysgraft.formats.x509_issuing import contradiction, read_issuing, signer_problem
from sysgraft.formats.x509_names import same_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.verify.trust import TrustedCertificate

MAX_LENGTH: Final = 8
"""Certificates above the signer's: chains in use have one to three."""


@dataclass(frozen=True, slots=True)
class Path:
    """How trust reaches a signer.

    Attributes:
        anchor: the trusted certificate.
        links: the certificates from the signer's own up to the anchor's.
    """

    anchor: TrustedCertificate
    links: tuple[Certificate, ...]


def find_path(
    certificate: Certificate,
    anchors: Iterable[TrustedCertificate],
    known: Sequence[Certificate],
) -> Path | None:
    """The shortest way from a signer to a trusted certificate; None if there is none.

    Args:
        certificate: the signer's.
        anchors: whom to trust.
        known: certificates that may lie between, such as those inside the signature.
    """
    if signer_problem(certificate):
        return None
    trusted: dict[bytes, TrustedCertificate] = {}
    for each in anchors:
        trusted.setdefault(each.certificate.der, each)
    links: tuple[Certificate, ...] | None = (certificate,)
    while links is not None and links[-1].der not in trusted:
        links = _climb(links, [each.certificate for each in trusted.values()], known)
    return Path(trusted[links[-1].der], links) if links else None


def _climb(
    links: tuple[Certificate, ...], anchors: Sequence[Certificate], known: Sequence[Certificate]
) -> tuple[Certificate, ...] | None:
    """These and the next one, as OpenSSL would take it; None if there is none."""
    last = links[-1]
    # OpenSSL goes on from none that is self-signed: it has to be trusted itself.
    if len(links) > MAX_LENGTH or same_name(last.issuer_der, last.subject_der):
        return None
    for anchor in anchors:
        if _has_issued(anchor, links):
            return (*links, anchor)
    # Of several OpenSSL takes one and tries no other; which one depends on its version.
    above = {each.der: each for each in known if _may_be_issuer(each, last)}
    issuer = next(iter(above.values())) if len(above) == 1 else None
    if issuer is None or issuer in links or not _has_issued(issuer, links):
        return None
    return (*links, issuer)


def _may_be_issuer(issuer: Certificate, certificate: Certificate) -> bool:
    """Whether OpenSSL would try `issuer`, before it looks at the signature (X509_check_issued)."""
    return same_name(certificate.issuer_der, issuer.subject_der) and not contradiction(
        certificate, issuer
    )


def _has_issued(issuer: Certificate, links: tuple[Certificate, ...]) -> bool:
    """Whether `issuer` may stand above these, the last of which it has to have signed."""
    if links[-1].issuer_der != issuer.subject_der:
        return False
    issuing = read_issuing(issuer)
    between = len(links) - 1
    if issuing.problem or (issuing.path_length is not None and issuing.path_length < between):
        return False
    if contradiction(links[-1], issuer):
        return False
    try:
        return bool(links[-1].is_issued_by(issuer))
    except KeyMaterialError:
        return False
