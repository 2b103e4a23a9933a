"""What a dbx revokes (UEFI 2.10 §32.4.1, §32.6.1): certificates, and programs by their digest.

Prepared from signature lists for questions about certificates and executables. It is stricter than
firmware in doubt: what cannot be checked counts as revoked where a name says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from sysgraft.errors import FormatError, KeyMaterialError
from sysgraft.formats import esl
from sysgraft.formats.x509 import parse_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.formats.x509 import Certificate

MAX_ISSUERS: Final = 8
"""Issuers climbed from a certificate to a revoked one: chains in use have one to three."""


@dataclass(frozen=True, slots=True)
class Revocations:
    """What a dbx revokes, prepared for questions about certificates and programs.

    Attributes:
        certificates: revoked certificates that can be read; what they issued is revoked too.
        ders: all revoked certificates as bytes, the unreadable ones too.
        images: digests of programs, by digest name. A certificate whose own SHA-256 is there
            counts as revoked too, since that can only make us stricter.
        tbs_hashes: hashes of the signed part of certificates, by digest name. Their time of
            revocation is not looked at: no time in a signature could be trusted against it.
    """

    certificates: tuple[Certificate, ...] = ()
    ders: frozenset[bytes] = frozenset()
    images: frozenset[tuple[str, bytes]] = frozenset()
    tbs_hashes: frozenset[tuple[str, bytes]] = frozenset()

    @classmethod
    def from_lists(cls, lists: Iterable[esl.SignatureList]) -> Self:
        """What these lists, the value of a dbx, revoke."""
        found = tuple(lists)
        ders = [one.data for each in found if each.type == esl.CERT_X509 for one in each.signatures]
        return cls(
            certificates=tuple(_readable(ders)),
            ders=frozenset(ders),
            images=frozenset(esl.image_digests(found)),
            tbs_hashes=frozenset(
                (digest, one.data[: -esl.EFI_TIME])
                for each in found
                if (digest := esl.TBS_DIGESTS.get(each.type))
                for one in each.signatures
            ),
        )

    def __or__(self, other: Revocations) -> Revocations:
        """What either revokes."""
        return Revocations(
            self.certificates + other.certificates,
            self.ders | other.ders,
            self.images | other.images,
            self.tbs_hashes | other.tbs_hashes,
        )

    @property
    def count(self) -> int:
        """The number of different entries."""
        return len(self.ders) + len(self.images) + len(self.tbs_hashes)

    def revokes_image(self, digests: Mapping[str, bytes]) -> str | None:
        """Why a program with these digests, by name, is revoked; None if it is not."""
        for name, value in digests.items():
            if (name, value) in self.images:
                return f"dbx holds the {name} of this executable"
        return None

    def is_revoked(self, certificate: Certificate, known: Sequence[Certificate] = ()) -> str | None:
        """Why the certificate, or one it descends from, is revoked; None if none is.

        Args:
            certificate: the one in question.
            known: certificates that may be its issuers, or theirs: with them, a revoked root is
                found above an intermediate that no dbx names. `MAX_ISSUERS` levels are climbed.
        """
        level = [certificate]
        seen = {certificate.der}
        for _ in range(MAX_ISSUERS + 1):
            for each in level:
                reason = self._own_reason(each)
                if reason:
                    above = f"{each.subject}, above it, is revoked: "
                    return reason if each is certificate else above + reason
            # Each certificate once: issuers may go in a circle.
            issuers = {
                above.der: above
                for above in known
                if above.der not in seen and any(_may_have_issued(above, each) for each in level)
            }
            seen |= issuers.keys()
            level = list(issuers.values())
        return None

    def _own_reason(self, certificate: Certificate) -> str | None:
        """Why the certificate itself or its issuer is revoked."""
        if certificate.der in self.ders:
            return "dbx holds this certificate"
        if ("sha256", certificate.fingerprint) in self.images:
            return "dbx holds the certificate's SHA-256"
        for digest in esl.TBS_DIGESTS.values():
            if (digest, hashlib.new(digest, certificate.tbs_der).digest()) in self.tbs_hashes:
                return f"dbx holds the {digest} of the certificate's signed part"
        return next(filter(None, (_issued(certificate, each) for each in self.certificates)), None)


def _readable(ders: Iterable[bytes]) -> Iterable[Certificate]:
    for der in ders:
        try:
            yield parse_certificate(der)
        except FormatError:
            # Its bytes still count; only what it might have issued cannot be told.
            continue


def _issued(certificate: Certificate, revoked: Certificate) -> str | None:
    """Why `certificate` falls with `revoked`; what cannot be checked counts as issued by it."""
    issued = _is_issued_by(certificate, revoked)
    if issued is False:
        return None
    doubt = "" if issued else " (by its name; the signature cannot be checked)"
    return f"dbx holds its issuer, {revoked.subject}{doubt}"


def _may_have_issued(issuer: Certificate, certificate: Certificate) -> bool:
    return _is_issued_by(certificate, issuer) is not False


def _is_issued_by(certificate: Certificate, issuer: Certificate) -> bool | None:
    """None if only the name says so, and the signature cannot be checked."""
    try:
        return certificate.is_issued_by(issuer)
    except KeyMaterialError:
        return None
