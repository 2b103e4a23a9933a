"""The record of an activation, ``/run/sysgraft/activation.json``: what was decided, and why.

Its format is that of ``sysgraft node activate --json`` (docs/reference/schemas). It names the boot
it is of, should ``/run`` outlive that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sysgraft.formats.x509 import serial_text
from sysgraft.host.boot_state import BootState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sysgraft.node.activation import Activated, Activation
    from sysgraft.node.trust import Trusted

NAME: Final = "activation"
SCHEMA: Final = "sysgraft.node.activate/1"


def activation_document(activation: Activation) -> dict[str, object]:
    """What there is to tell of an activation, without the schema."""
    return {
        "ok": activation.ok,
        "entry": activation.entry or None,
        "profiles": list(activation.profiles),
        "mode": str(activation.mode),
        "systemd": activation.systemd,
        "policies": {str(kind): text for kind, text in activation.policies.items()},
        "certificates": [_certificate(each) for each in activation.certificates],
        "images": [_image(each) for each in activation.images],
        "others": [
            {"kind": str(e.kind), "path": e.path, "reason": e.reason, "masked": e.masked}
            for e in activation.others
        ],
        "hierarchies": list(activation.hierarchies),
        "mounts": list(activation.mounts),
        "notes": list(activation.notes),
    }


def _certificate(trusted: Trusted) -> dict[str, object]:
    certificate = trusted.certificate
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": serial_text(certificate.serial),
        "fingerprint": certificate.fingerprint.hex(),
        "source": trusted.source,
    }


def _image(image: Activated) -> dict[str, object]:
    candidate, judged = image.candidate, image.judgement
    return {
        "kind": str(candidate.kind),
        "name": candidate.name,
        "file": candidate.file,
        "path": candidate.path,
        "profile": candidate.profile,
        "linked": image.linked,
        "fate": str(image.fate),
        "state": str(judged.state) if judged else None,
        "reason": image.reason,
        "shadowedBy": image.shadowed_by or None,
        "dataRead": judged.read if judged else None,
        "rootHash": (judged.root_hash or None) if judged else None,
        "signer": (judged.signer or None) if judged else None,
        "trustedBy": (judged.trusted_by or None) if judged else None,
        "notMerged": list(image.not_merged),
    }


def write_activation(activation: Activation, root: str) -> None:
    """Keep the record for this boot.

    Raises:
        OutputError: it cannot be written.
    """
    document = {"schema": SCHEMA, **activation_document(activation)}
    BootState(NAME, root).write(document)


def read_activation(root: str) -> Mapping[str, Any]:
    """The record of this boot; empty if there is none."""
    return BootState(NAME, root).read()
