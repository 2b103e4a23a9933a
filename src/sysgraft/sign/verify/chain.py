"""The way from a signer's certificate up to a trusted one, as UEFI firmware finds it.

EDK II gives OpenSSL one certificate of db as the only trusted one, those of the signature as
possible links, and asks for any purpose, without dates, content with a partial chain
(Pkcs7Verify). So db may hold the signer's certificate itself, one that issued it, or a root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sysgraft.errors import KeyMaterialError
from sysgraft.formats.x509_issuing import contradiction, read_issuing, signer_problem

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
    candidates = [*(each.certificate for each in trusted.values()), *known]
    level: list[tuple[Certificate, ...]] = [(certificate,)]
    seen = {certificate.der}
    for _ in range(MAX_LENGTH + 1):
        for links in level:
            if links[-1].der in trusted:
                return Path(trusted[links[-1].der], links)
        # Each certificate once, where the way to it is shortest: issuers may go in a circle.
        above: list[tuple[Certificate, ...]] = []
        for links in level:
            for issuer in candidates:
                if issuer.der not in seen and _has_issued(issuer, links):
                    seen.add(issuer.der)
                    above.append((*links, issuer))
        level = above
    return None


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
