"""What a dbx revokes (UEFI 2.10 §32.4.1, §32.6.1): certificates, and programs by their digest.

Prepared from signature lists for questions about certificates and executables. It is stricter than
firmware in doubt: what cannot be checked counts as revoked where a name says so, and names are
compared as OpenSSL does, not as bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sysgraft.errors import FormatError, KeyMaterialError
from sysgraft.formats import esl
from sysgraft.formats.der import SEQUENCE, DerReader
from sysgraft.formats.x509 import parse_certificate
from sysgraft.formats.x509_names import same_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sysgraft.formats.x509 import Certificate


@dataclass(frozen=True, slots=True)
class Revocations:
    """What a dbx revokes, prepared for questions about certificates and programs.

    Attributes:
        certificates: revoked certificates that can be read; what they issued is revoked too.
        unreadable: those that cannot be read, as bytes. A certificate whose name or whose issuer's
            name is in one counts as revoked.
        images: digests of programs, by digest name. A certificate whose own SHA-256 is there
            counts as revoked too, since that can only make us stricter.
        tbs_hashes: hashes of the signed part of certificates, by digest name. Their time of
            revocation is not looked at: no time in a signature could be trusted against it.
    """

    certificates: tuple[Certificate, ...] = ()
    unreadable: frozenset[bytes] = frozenset()
    images: frozenset[tuple[str, bytes]] = frozenset()
    tbs_hashes: frozenset[tuple[str, bytes]] = frozenset()

    @classmethod
    def from_lists(cls, lists: Iterable[esl.SignatureList]) -> Self:
        """What these lists, the value of a dbx, revoke."""
        found = tuple(lists)
        certificates, unreadable = _read_all(
            one.data for each in found if each.type == esl.CERT_X509 for one in each.signatures
        )
        return cls(
            certificates=certificates,
            unreadable=unreadable,
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
            self.unreadable | other.unreadable,
            self.images | other.images,
            self.tbs_hashes | other.tbs_hashes,
        )

    @property
    def count(self) -> int:
        """The number of different entries."""
        certificates = {each.der for each in self.certificates} | self.unreadable
        return len(certificates) + len(self.images) + len(self.tbs_hashes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be read, in a sentence; empty if all could."""
        count = len(self.unreadable)
        if not count:
            return ()
        found = "a certificate" if count == 1 else f"{count} certificates"
        return (f"{found} that cannot be read: what it issued is known by its name only",)

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
                found above an intermediate that no dbx names, however far above.
        """
        level = [certificate]
        seen = {certificate.der}
        while level:
            for each in level:
                reason = self._own_reason(each)
                if reason:
                    above = f"{each.subject}, above it, is revoked: "
                    return reason if each is certificate else above + reason
            # Each certificate once: issuers may go in a circle, and the climb has an end.
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
        if any(_is_same(certificate, each) for each in self.certificates):
            return "dbx holds this certificate"
        names = (certificate.subject_der, certificate.issuer_der)
        if any(name in each for each in self.unreadable for name in names):
            return "dbx holds a certificate that cannot be read, with its name or its issuer's"
        if ("sha256", certificate.fingerprint) in self.images:
            return "dbx holds the certificate's SHA-256"
        for digest in esl.TBS_DIGESTS.values():
            if (digest, hashlib.new(digest, certificate.tbs_der).digest()) in self.tbs_hashes:
                return f"dbx holds the {digest} of the certificate's signed part"
        return next(filter(None, (_issued(certificate, each) for each in self.certificates)), None)


def _read_all(ders: Iterable[bytes]) -> tuple[tuple[Certificate, ...], frozenset[bytes]]:
    """The certificates, and those that cannot be read. Firmware ignores what is behind the DER."""
    readable: list[Certificate] = []
    unreadable: set[bytes] = set()
    for der in ders:
        try:
            readable.append(parse_certificate(DerReader(der, "it").take(SEQUENCE).raw))
        except FormatError:
            unreadable.add(der)
    return tuple(readable), frozenset(unreadable)


def _is_same(certificate: Certificate, revoked: Certificate) -> bool:
    """Whether they are one certificate, be its signature written otherwise or made anew.

    Who has an ECDSA signature can make a second one that holds, without the key.
    """
    if certificate.tbs_der == revoked.tbs_der:
        return True
    return (certificate.serial, certificate.key_der) == (
        revoked.serial,
        revoked.key_der,
    ) and same_name(certificate.issuer_der, revoked.issuer_der)


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
    if not same_name(certificate.issuer_der, issuer.subject_der):
        return False
    try:
        return certificate.is_signed_by(issuer)
    except KeyMaterialError:
        return None
