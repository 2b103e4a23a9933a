"""Signatures of an executable as they are read, before anything is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sysgraft.errors import FormatError, UnsupportedError
from sysgraft.formats import authenticode
from sysgraft.formats.x509 import parse_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sysgraft.formats.authenticode import Signature
    from sysgraft.formats.x509 import Certificate
    from sysgraft.sign.verify.trust import TrustStore


@dataclass(frozen=True, slots=True)
class Opened:
    """A signature that was read, or why it could not be.

    Attributes:
        signature: None if it cannot be read.
        certificates: those inside.
        problem: why it cannot be read.
        malformed: whether that is because it is none.
    """

    signature: Signature | None
    certificates: tuple[Certificate, ...] = ()
    problem: str = ""
    malformed: bool = False


def open_signature(data: bytes) -> Opened:
    """Read a signature of a certificate table; bad ones are answers, not errors."""
    try:
        signature = authenticode.parse(data)
        return Opened(signature, tuple(map(parse_certificate, signature.signed.certificates)))
    except UnsupportedError as error:
        return Opened(None, problem=error.message)
    except FormatError as error:
        return Opened(None, problem=error.message, malformed=True)


def needed_digests(signatures: Sequence[Opened], store: TrustStore) -> frozenset[str]:
    """The digests of the executable that its signatures and the store speak of."""
    return frozenset(
        (
            *(each.signature.digest.algorithm for each in signatures if each.signature),
            *(each.algorithm for each in store.images),
            *(name for name, _ in (store.revocations.images if store.revocations else ())),
        )
    )
