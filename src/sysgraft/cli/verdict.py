"""How the outcome of checks is told, on a terminal and in JSON, the same by every verb."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sysgraft.cli.output import Output
    from sysgraft.image.checks import Check
    from sysgraft.sign.verify.roothash import SignerInfo


def show(
    file: str,
    checks: Sequence[Check],
    notes: Sequence[str],
    out: Output,
    *,
    on_request: Collection[str],
) -> None:
    """The verdict in one line, the checks in a table, the notes below.

    Args:
        file: what was checked.
        checks: in their order.
        notes: sentences for a person.
        out: where to say it.
        on_request: names of checks that are made only if they were asked for.
    """
    failed = [check.name for check in checks if not check.passes]
    verdict = f"NOT VERIFIED: {', '.join(failed)}" if failed else "verified"
    out.text(f"{file}: {verdict}")
    rows = [
        (out.symbol(check.status), check.name, _word(check, on_request), check.reason)
        for check in checks
    ]
    out.table(rows, indent=2)
    for note in notes:
        out.text(f"  note: {note}")


def _word(check: Check, on_request: Collection[str]) -> str:
    if check.status != "skipped" or check.required:
        return check.status
    return "not asked" if check.name in on_request else "allowed"


def checks_json(checks: Sequence[Check]) -> list[dict[str, object]]:
    """The checks of one document."""
    return [
        {
            "name": check.name,
            "status": check.status,
            "required": check.required,
            "reason": check.reason,
        }
        for check in checks
    ]


def signer_json(signer: SignerInfo | None) -> dict[str, object] | None:
    """Who signed, as far as that is known, and by what that is trusted."""
    from sysgraft.cli.signer import signer_fields  # noqa: PLC0415  only for JSON

    if signer is None:
        return None
    certificate = signer.certificate
    return {
        **signer_fields(signer.issuer, signer.serial, certificate),
        "fingerprint": certificate.fingerprint.hex() if certificate else None,
        "trustedBy": signer.source or None,
    }
