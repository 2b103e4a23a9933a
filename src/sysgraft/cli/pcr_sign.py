"""``sysgraft pcr sign``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sysgraft.cli.pcr_arguments import boot_request, pcr_numbers
from sysgraft.cli.pcr_predict import show_skipped
from sysgraft.cli.signing import ask_passphrase
from sysgraft.errors import UsageError
from sysgraft.formats import pcrsig
from sysgraft.host.output import atomic_output
from sysgraft.seal import policies
from sysgraft.seal.prediction import DEFAULT_BANKS, predict
from sysgraft.sign.pair import load_signer
from sysgraft.sign.pcr_public import PublicKey, from_der, read_public

if TYPE_CHECKING:
    import argparse

    from sysgraft.cli.output import Output
    from sysgraft.seal.prediction import Prediction
    from sysgraft.sign.keys import Signer

DEFAULT_PCRS: Final = ("11+13",)
_SAID_BY_POLICIES: Final = (
    *("uki", "extra", "esp", "global_folder", "sets"),
    *("pcrs", "phases", "banks", "policyref"),
)


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Sign policies, or write what is to be signed."""
    _check(arguments)
    prediction, wanted = _wanted(arguments, out)
    signer, public = _keys(arguments)
    document = _document(arguments, wanted, signer, public, out)
    made = policies.count(document)
    before = policies.read_all(arguments.append)
    merged = policies.joined(before, document)
    text = pcrsig.render(merged)
    if arguments.output:
        with atomic_output(arguments.output, replace=arguments.force) as file:
            file.write(text.encode("ascii") + b"\n")
    elif not out.json_wanted:
        out.script(text)
    _report(arguments, out, prediction, made=made, merged=merged, public=public)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.to_be_signed and (arguments.private_key or arguments.attach):
        raise UsageError("--to-be-signed excludes --private-key and --attach")
    if arguments.private_key and arguments.attach:
        raise UsageError("--private-key excludes --attach: the signatures are there already")
    if not (arguments.private_key or arguments.public_key):
        raise UsageError(
            "whose policies these are is not known",
            hint="give --private-key to sign them, or --public-key with --to-be-signed or --attach",
        )
    if not (arguments.private_key or arguments.to_be_signed or arguments.attach):
        raise UsageError("who signs: give --private-key, --to-be-signed or --attach")
    if arguments.policies and not arguments.attach:
        raise UsageError("--policies goes with --attach")
    given = (name for name in _SAID_BY_POLICIES if getattr(arguments, name))
    if arguments.policies and any(given):
        raise UsageError(
            "--policies says everything about the boot, PCRs, phases, banks, policyref"
        )


def _wanted(
    arguments: argparse.Namespace, out: Output
) -> tuple[Prediction | None, pcrsig.Signatures]:
    """The policies, and the prediction they come from."""
    if arguments.policies:
        document = policies.read_document(arguments.policies)
        for entry in (entry for found in document.values() for entry in found):
            policies.check_reference(entry.reference)
        return None, document
    pcrs = pcr_numbers(arguments.pcrs or DEFAULT_PCRS)
    prediction = predict(
        boot_request(arguments),
        pcrs=pcrs,
        banks=arguments.banks or DEFAULT_BANKS,
        phases=arguments.phases,
        progress=out.progress,
    )
    return prediction, policies.policies(prediction, pcrs, reference=arguments.policyref or "")


def _keys(arguments: argparse.Namespace) -> tuple[Signer | None, PublicKey]:
    public = read_public(arguments.public_key) if arguments.public_key else None
    if not arguments.private_key:
        if public is None:  # _check has seen to it
            raise UsageError("--public-key is missing")
        return None, public
    signer = load_signer(
        arguments.private_key,
        lambda: ask_passphrase(arguments.passphrase_file, arguments.private_key),
    )
    own = from_der(signer.key_der)
    if public is not None and public.fingerprint != own.fingerprint:
        raise UsageError(
            "the public key does not belong to the private key",
            hint="leave it out: the private key knows its public half",
            file=arguments.public_key,
        )
    return signer, own


def _document(
    arguments: argparse.Namespace,
    wanted: pcrsig.Signatures,
    signer: Signer | None,
    public: PublicKey,
    out: Output,
) -> pcrsig.Signatures:
    if signer is not None:
        return policies.signed(wanted, signer, out.progress)
    if arguments.attach:
        answers = policies.read_signatures(arguments.attach, wanted)
        return policies.attached(wanted, answers, public.der)
    return policies.to_be_signed(wanted, public.fingerprint)


def _report(
    arguments: argparse.Namespace,
    out: Output,
    prediction: Prediction | None,
    *,
    made: int,
    merged: pcrsig.Signatures,
    public: PublicKey,
) -> None:
    notes = prediction.notes if prediction else ()
    total = policies.count(merged)
    if out.json_wanted:
        out.json(
            "pcr.sign",
            1,
            {
                "output": arguments.output,
                "key": public.fingerprint.hex(),
                "signed": not arguments.to_be_signed,
                "sets": len(prediction.sets) if prediction else None,
                "policies": made,
                "total": total,
                "signatures": None if arguments.output else pcrsig.as_json(merged),
                "notes": list(notes),
            },
        )
        return
    for note in notes:
        out.note(f"note: {note}")
    if not arguments.output:
        return
    sets = f" for {len(prediction.sets)} sets" if prediction and len(prediction.sets) > 1 else ""
    verb = "to be signed" if arguments.to_be_signed else "signed"
    out.text(f"{arguments.output}: {made} policies{sets} {verb}, {total} in all")
    out.text(f"  key {public.fingerprint.hex()}")
    if prediction:
        for each in prediction.sets:
            show_skipped(each.skipped, out)
