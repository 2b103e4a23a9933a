"""``sysgraft pcr check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sysgraft.cli.pcr_arguments import boot_request, pcr_numbers
from sysgraft.errors import KeyMaterialError, UsageError, in_file
from sysgraft.formats import pcrsig
from sysgraft.seal import binding, check, policies
from sysgraft.seal.prediction import DEFAULT_BANKS, predict
from sysgraft.sign.pcr_public import from_pem, read_public

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from sysgraft.cli.output import Output
    from sysgraft.seal.binding import Binding
    from sysgraft.seal.check import Answer, CheckReport
    from sysgraft.seal.prediction import Prediction
    from sysgraft.sign.pcr_public import PublicKey


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Check signature files; 0 if they open everything, 1 if not."""
    given = policies.read_all(arguments.signatures)
    expected = read_public(arguments.public_key) if arguments.public_key else None
    bindings = binding.bindings_of(arguments.luks, expected) if arguments.luks else ()
    _check_usage(arguments)
    wanted = {pcr for each in bindings for pcr in each.pcrs} | set(pcr_numbers(arguments.pcrs))
    if not wanted:
        wanted = {pcr for found in given.values() for entry in found for pcr in entry.pcrs}
    banks = tuple(dict.fromkeys(each.bank for each in bindings)) or arguments.banks or DEFAULT_BANKS
    prediction = predict(
        boot_request(arguments),
        pcrs=tuple(sorted(wanted)),
        banks=banks,
        phases=arguments.phases or check.DEFAULT_PHASES,
        progress=out.progress,
    )
    document = given if arguments.signatures else _own_signatures(prediction)
    bindings = bindings or binding.bindings_for(
        document,
        prediction.banks,
        pcr_numbers(arguments.pcrs),
        expected or _own_key(prediction),
        arguments.policyref or "",
    )
    report = check.check(document, prediction, bindings, one_is_enough=bool(arguments.luks))
    if out.json_wanted:
        out.json("pcr.check", 1, as_json(report, bindings, document))
    else:
        _show(report, out)
    return 0 if report.ok else 1


def _check_usage(arguments: argparse.Namespace) -> None:
    if arguments.luks and (arguments.pcrs or arguments.banks or arguments.policyref):
        raise UsageError("--luks says which PCRs, bank and policyref: leave --pcr and these out")


def _own_signatures(prediction: Prediction) -> pcrsig.Signatures:
    """Those in the image.

    Raises:
        UsageError: it has none.
    """
    data = prediction.uki.signatures if prediction.uki else b""
    if not data or prediction.uki is None:
        raise UsageError(
            "there are no signatures to check", hint="give a signature file, or an image with some"
        )
    with in_file(prediction.uki.executable.name):
        return pcrsig.parse(data)


def _own_key(prediction: Prediction) -> PublicKey | None:
    """The key in the image, which systemd-cryptenroll takes where none is named."""
    data = prediction.uki.public_key if prediction.uki else b""
    try:
        return from_pem(data) if data else None
    except KeyMaterialError:
        return None


def _show(report: CheckReport, out: Output) -> None:
    out.text("unlocks" if report.ok else "DOES NOT UNLOCK")
    out.table([_row(each, out) for each in report.answers], indent=2)
    for note in report.notes:
        out.text(f"  note: {note}")


def _row(each: Answer, out: Output) -> tuple[str, ...]:
    return (
        out.symbol(each.status),
        each.binding,
        each.set or "files",
        each.phase or "(kernel)",
        each.reason,
    )


def as_json(
    report: CheckReport, bindings: tuple[Binding, ...], document: pcrsig.Signatures
) -> dict[str, object]:
    """The report as ``sysgraft.pcr.check/1``."""
    return {
        "ok": report.ok,
        "signatures": policies.count(document),
        "bindings": bindings_json(bindings),
        "answers": [
            {
                "binding": each.binding,
                "set": each.set,
                "phase": each.phase,
                "status": each.status,
                "reason": each.reason,
                "policy": each.policy.hex(),
            }
            for each in report.answers
        ],
        "notes": list(report.notes),
    }


def bindings_json(bindings: Iterable[Binding]) -> list[dict[str, object]]:
    """What is wanted of the signatures, as ``pcr check`` and ``pcr plan`` say it."""
    return [
        {
            "name": each.name,
            "bank": each.bank,
            "pcrs": list(each.pcrs),
            "key": each.key.fingerprint.hex() if each.key else None,
            "reference": each.reference,
        }
        for each in bindings
    ]
