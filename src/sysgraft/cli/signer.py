"""How a signer is told in JSON, the same by every verb."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.formats.x509 import serial_text

if TYPE_CHECKING:
    from sysgraft.formats.x509 import Certificate


def signer_fields(issuer: str, serial: int, certificate: Certificate | None) -> dict[str, object]:
    """Issuer and serial as the signature has them, and the subject if the certificate is known."""
    return {
        "issuer": issuer,
        "serial": serial_text(serial),
        "subject": certificate.subject if certificate else None,
    }
