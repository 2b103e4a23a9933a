"""How the outcome of checks is told, on a terminal and in JSON, the same by every verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from sysgraft.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sysgraft.cli.output import Output
    from sysgraft.image.checks import Check
    from sysgraft.sign.verify.roothash import SignerInfo


class Verified(Protocol):
    """What became of one file."""

    @property
    def file(self) -> str:
        """As the caller named it."""

    @property
    def checks(self) -> Sequence[Check]:
        """All of them, in their order."""

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know and no check fails for."""

    @property
    def ok(self) -> bool:
        """Whether it is good."""


_Result = TypeVar("_Result", bound=Verified)


def verify_each(
    files: Sequence[str],
    verify: Callable[[str], _Result],
    as_json: Callable[[_Result], dict[str, object]],
    out: Output,
    *,
    schema: str,
    on_request: Collection[str],
    concerns_all: Callable[[InputError], bool] = lambda _: False,
) -> int:
    """Verify files and tell of each; 0 if all are good, 1 if one is not, 2 if one is unreadable.

    Args:
        files: as they were named.
        verify: verifies one.
        as_json: one file's part of the document.
        out: where to say it.
        schema: the name of the document, version 1.
        on_request: see `show`.
        concerns_all: whether an error is about more than its file, and ends the command.
    """
    results: list[_Result] = []
    errors: list[InputError] = []
    for file in files:
        try:
            result = verify(file)
        except InputError as error:
            if concerns_all(error):
                raise
            # One unreadable file must not hide what there is to say of the others.
            errors.append(error)
            out.note(f"error: {error}")
            continue
        results.append(result)
        if not out.json_wanted:
            show(result.file, result.checks, result.notes, out, on_request=on_request)
    good = not errors and all(result.ok for result in results)
    if out.json_wanted:
        document = {
            "ok": good,
            "images": [as_json(result) for result in results],
            "errors": [{"file": error.file, "message": error.message} for error in errors],
        }
        out.json(schema, 1, document)
    return 2 if errors else 0 if good else 1


def show(
    file: str,
    checks: Sequence[Check],
    notes: Sequence[str],
    out: Output,
    *,
    on_request: Collection[str],
    words: tuple[str, str] = ("verified", "NOT VERIFIED"),
) -> None:
    """The verdict in one line, the checks in a table, the notes below.

    Args:
        file: what was checked.
        checks: in their order.
        notes: sentences for a person.
        out: where to say it.
        on_request: names of checks that are made only if they were asked for.
        words: what a good and a bad verdict are called.
    """
    failed = [check.name for check in checks if not check.passes]
    verdict = f"{words[1]}: {', '.join(failed)}" if failed else words[0]
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
